"""Waves of random stacks: every component has a higher one than all that it waits for in the plan."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.app.environment import App
from devtools.app.stack_cache import exported_stack
from devtools.gitops.components import exported_edges, waves_of
from devtools.model import Facts, ReleaseId, Stack
from devtools.planning.graph import edges_of
from devtools.planning.plan import make_plan
from tests.planning.test_graph_properties import Edge, everything, graphs, stack_of

Graph = tuple[list[int], set[Edge]]


def stacks(graph: Graph, off: set[int], data: st.DataObject) -> Stack:
    sizes, edges = graph
    leaves = sorted(set(range(sum(sizes))) - {b for _, b in edges})
    smoke = set(data.draw(st.lists(st.sampled_from(leaves), max_size=2))) if leaves else set()
    return stack_of(sizes, edges, smoke, off)


def without_exports(stack: Stack, left_out: set[int]) -> Stack:
    """The stack with some releases that are no part of exports."""
    layers = [
        replace(
            layer,
            releases=tuple(
                replace(release, gitops=int(release.name[1:]) not in left_out) for release in layer.releases
            ),
        )
        for layer in stack.layers
    ]
    return replace(stack, layers=tuple(layers))


@given(graphs(), st.sets(st.integers(0, 30)), st.data())
def test_waves_are_higher_than_those_of_all_needs(graph: Graph, off: set[int], data: st.DataObject) -> None:
    stack = stacks(graph, off, data)
    enabled = {release.id for release in stack.releases() if release.installed}
    edges = exported_edges(stack, enabled)
    assert edges == edges_of(stack, enabled)  # those of the plan
    waves = waves_of(edges)
    assert set(waves) == enabled
    for name, needs in edges.items():
        assert waves[name] == max((waves[need] + 1 for need in needs), default=0)


@given(graphs(), st.sets(st.integers(0, 30)), st.data())
def test_wave_after_wave_is_an_order_of_the_plan(graph: Graph, off: set[int], data: st.DataObject) -> None:
    stack = stacks(graph, off, data)
    digests = dict.fromkeys((release.id for release in stack.releases()), "d")
    plan = make_plan(stack, everything(stack), Facts(), digests)
    waves = waves_of(exported_edges(stack, {release.id for release in stack.releases() if release.installed}))
    done: set[ReleaseId] = set()
    steps = {step.id: step for step in plan.steps if step.id in waves}
    for wave in range(max(waves.values(), default=-1) + 1):
        members = {name for name, number in waves.items() if number == wave}
        assert all(set(steps[name].needs) & set(waves) <= done for name in members)
        done |= members
    assert done == set(waves)


@given(graphs(), st.sets(st.integers(0, 30)), st.data())
def test_order_holds_through_releases_that_are_not_exported(
    graph: Graph, left_out: set[int], data: st.DataObject
) -> None:
    stack = without_exports(stacks(graph, set(), data), left_out)
    members = {release.id for release in stack.releases() if release.gitops}
    everyone = {release.id for release in stack.releases()}
    whole, waves = edges_of(stack, everyone), waves_of(exported_edges(stack, members))
    below: dict[ReleaseId, set[ReleaseId]] = {}

    def under(name: ReleaseId) -> set[ReleaseId]:
        if name not in below:
            below[name] = set(whole[name]).union(*(under(need) for need in whole[name]))
        return below[name]

    for name in members:
        assert all(waves[need] < waves[name] for need in under(name) & members)


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_the_platform_has_as_many_waves_as_its_plan_is_deep(environment: str, app: App) -> None:
    stack = exported_stack(app, environment)
    enabled = {release.id for release in stack.releases() if release.installed}
    edges = edges_of(stack, enabled)
    waves = waves_of(exported_edges(stack, enabled))
    assert all(waves[need] < waves[name] for name, needs in edges.items() for need in needs)
    assert max(waves.values()) + 1 == 17
