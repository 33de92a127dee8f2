"""Chooses which ready step starts first: the one with the longest path to the end of the run.

List scheduling by the highest level first with estimated times (HLFET: Adam, Chandy and Dickson, "A comparison of
list schedules for parallel processing systems", CACM 17(12), 1974). Any list schedule on m machines ends within
2 - 1/m times the best possible (Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17(2),
1969); following the longest path keeps it near the best in practice. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from graphlib import TopologicalSorter
from typing import TypeVar

from devtools.model import Action, ReleaseId, Step

Name = TypeVar("Name", bound=Hashable)

# Expected seconds of work never measured before: guesses, of which only the proportions matter.
_HELM = 0.5  # helm renders, applies and records
_READY = 0.5  # workloads become ready
_THIRD_PARTY = 1.5  # larger charts, with CRDs and hooks
_CONTRACT = 0.5  # an operator does its work
_HOOK = 0.5  # a command before or after
_TESTS = 10.0  # a smoke release's tests
_NOTHING = 0.01  # nothing to do


def levels(needs: Mapping[Name, Collection[Name]], seconds: Callable[[Name], float]) -> dict[Name, float]:
    """Return the expected seconds from the start of each step to the end of all its direct and indirect dependents.

    `needs` maps each step to those that must end before it; `seconds` is how long a step is expected to take. Raises
    graphlib.CycleError if the graph is not a DAG.
    """
    order = tuple(TopologicalSorter(needs).static_order())
    after: dict[Name, float] = dict.fromkeys(order, 0.0)
    for name in reversed(order):
        after[name] += seconds(name)
        for need in needs.get(name, ()):
            after[need] = max(after[need], after[name])
    return after


def expected(step: Step, known: Mapping[ReleaseId, float], *, test: bool) -> float:
    """Return the expected seconds of a step: what it took before (with its tests), otherwise a guess by its kind."""
    release = step.release
    if step.action not in {Action.INSTALL, Action.UPGRADE, Action.UNINSTALL} and not (release.smoke and test):
        return _NOTHING
    if release.id in known and not (release.smoke and not test):
        return known[release.id]
    guess = _HELM + _HOOK * (len(release.before) + len(release.after)) + _CONTRACT * len(release.contract)
    guess += _READY if release.wait else 0.0
    guess += _THIRD_PARTY if release.chart.kind == "vendored" else 0.0
    return guess + (_TESTS if release.smoke and test else 0.0)
