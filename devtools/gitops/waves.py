"""Computes waves: the depth of each release below the releases it waits for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from devtools.model import ReleaseId, Stack
from devtools.planning.graph import Edges, edges_of, in_order


def exported_edges(stack: Stack, members: Collection[ReleaseId]) -> dict[ReleaseId, tuple[ReleaseId, ...]]:
    """Return the exported releases that each exported release waits for: the edges of the plan.

    An edge to a release that is not exported becomes edges to the releases which that one waits for.
    """
    enabled = {release.id for release in stack.releases() if release.installed}
    edges = edges_of(stack, enabled)
    through: dict[ReleaseId, tuple[ReleaseId, ...]] = {}
    for name in in_order(edges, edges):
        found: list[ReleaseId] = []
        for need in edges[name]:
            found += [need] if need in members else through[need]
        through[name] = tuple(dict.fromkeys(found))
    return {name: through[name] for name in edges if name in members}


def waves_of(edges: Edges) -> Mapping[ReleaseId, int]:
    """Return the length of the longest path of edges below each release; 0 for one that waits for nothing."""
    waves: dict[ReleaseId, int] = {}
    for name in in_order(edges, edges):
        waves[name] = max((waves[need] + 1 for need in edges[name]), default=0)
    return waves
