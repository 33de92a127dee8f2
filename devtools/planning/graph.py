"""The graph of releases: its edges, its order, and its errors."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from devtools.base.words import did_you_mean
from devtools.errors import Problem
from devtools.model import Layer, Need, Release, ReleaseId, Stack

Edges = Mapping[ReleaseId, tuple[ReleaseId, ...]]
Node = TypeVar("Node")


def check_graph(stack: Stack) -> list[Problem]:
    """Return every unknown, later and disabled need and every cycle of the whole stack, in the order of the files."""
    releases = {release.id: release for release in stack.releases()}
    position = {layer.name: index for index, layer in enumerate(stack.layers)}
    problems = [
        problem
        for release in releases.values()
        for need in release.needs
        if (problem := _need_problem(release, need, releases, position))
    ]
    for layer in stack.layers:
        problems += _cycles(layer)
    return problems


def _need_problem(
    release: Release, need: Need, releases: Mapping[ReleaseId, Release], position: Mapping[str, int]
) -> Problem | None:
    """Return the problem of a single need, if it has one."""
    target = releases.get(need.release)
    if target is None:
        hint = did_you_mean(str(need.release), map(str, releases))
        return Problem(where=need.where, message=f"{release.id} needs {need.release}, which is not declared", hint=hint)
    if position[target.layer] > position[release.layer]:
        message = f"{release.id} needs {target.id}, whose layer {target.layer} comes after {release.layer}"
        hint = "a release may only need releases of its own layer or an earlier one"
        return Problem(where=need.where, message=message, hint=hint)
    if release.installed and not target.installed and not need.optional:
        message = f"{release.id} needs {target.id}, which is switched off by {target.disabled_by}"
        hint = f"switch it on, or write {{release: {target.id}, optional: true}}"
        return Problem(where=need.where, message=message, hint=hint)
    return None


def _cycles(layer: Layer) -> Iterator[Problem]:
    """Yield cycles inside a layer (between layers, one edge points forward and is a problem by itself)."""
    names = {release.id for release in layer.releases}
    edges = {
        release.id: [
            *(need.release for need in release.needs if need.release in names),
            *(other.id for other in layer.releases if release.smoke and not other.smoke),  # what it tests
        ]
        for release in layer.releases
    }
    where = {(release.id, need.release): need.where for release in layer.releases for need in release.needs}
    for cycle in back_edges(edges):
        written = next((where[pair] for pair in pairwise(cycle) if pair in where), None)
        if written is None:
            continue  # of a release declared twice, once as a smoke release: a problem by itself
        yield Problem(where=written, message="cycle: " + " needs ".join(map(str, cycle)))


def back_edges(edges: Mapping[Node, Sequence[Node]]) -> Iterator[list[Node]]:
    """Search depth first; each edge back onto the path is a cycle, listed from its first release back to it.

    It is not recursive, because a chain of a thousand releases is legal.
    """
    done: set[Node] = set()
    for start in edges:
        if start in done:
            continue
        walk, on_walk, rest = [start], {start}, [iter(edges[start])]
        while walk:
            target = next(rest[-1], None)
            if target is None:
                rest.pop()
                on_walk.discard(walk[-1])
                done.add(walk.pop())
            elif target in on_walk:
                yield [*walk[walk.index(target) :], target]
            elif target not in done:
                walk.append(target)
                on_walk.add(target)
                rest.append(iter(edges[target]))


def reached(start: Iterable[Node], edges: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """Return all that is reachable by edges from `start`, and `start` itself."""
    found: set[Node] = set()
    rest = list(start)
    while rest:
        node = rest.pop()
        if node not in found:
            found.add(node)
            rest += edges(node)
    return found


def edges_of(stack: Stack, members: Collection[ReleaseId]) -> dict[ReleaseId, tuple[ReleaseId, ...]]:
    """Return which members each enabled member must wait for, by release, in the stack's order.

    These are its declared needs; for a smoke release all others of its layer; and for a release with no edge inside its
    layer, all of the nearest earlier layer on the critical path, which keeps the layers in order.
    """
    enabled = {release.id for release in stack.releases() if release.installed and release.id in members}
    edges: dict[ReleaseId, tuple[ReleaseId, ...]] = {}
    previous: tuple[ReleaseId, ...] = ()
    for layer in stack.layers:
        inside = [release for release in layer.releases if release.id in enabled]
        subjects = tuple(release.id for release in inside if not release.smoke)
        names = {release.id for release in inside}
        for release in inside:
            needed = [need.release for need in release.needs if need.release in enabled]
            needed += subjects if release.smoke else ()
            if names.isdisjoint(needed):
                needed += previous
            edges[release.id] = tuple(dict.fromkeys(needed))
        if layer.critical and subjects:
            previous = subjects
    return edges


def in_order(declared: Iterable[ReleaseId], edges: Edges) -> list[ReleaseId]:
    """Sort every edge's target before its source, otherwise as declared (Kahn's algorithm with a heap).

    `edges` point to releases of `declared`. Raises ValueError on a cycle, which `check_graph` reports in words.
    """
    names = list(declared)
    rank = {name: index for index, name in enumerate(names)}
    waiting = {name: len(edges.get(name, ())) for name in names}
    dependents: dict[ReleaseId, list[ReleaseId]] = {name: [] for name in names}
    for name in names:
        for target in edges.get(name, ()):
            dependents[target].append(name)
    ready = [rank[name] for name in names if not waiting[name]]
    order: list[ReleaseId] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for dependent in dependents[name]:
            waiting[dependent] -= 1
            if not waiting[dependent]:
                heapq.heappush(ready, rank[dependent])
    if len(order) != len(names):
        raise ValueError("the needs of the releases form a cycle")
    return order
