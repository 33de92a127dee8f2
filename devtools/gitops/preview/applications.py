"""The Applications that result from a tree of GitOps files, with their order; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.gitops.tree.applications import Application, selects, steps_of


@dataclass(frozen=True, slots=True)
class Problem:
    """An error or warning of Argo CD about one Application or parameter file."""

    message: str
    application: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationGroup:
    """The Applications of one ApplicationSet, or the plain ones of an app-of-apps; `steps` are None without an order.

    After an error the controller changes no Application of the ApplicationSet.
    """

    name: str
    file: str
    kind: str  # ApplicationSet or Application
    applications: tuple[Application, ...]
    steps: tuple[tuple[str, ...], ...] | None = None
    errors: tuple[Problem, ...] = ()
    dropped: tuple[Problem, ...] = ()
    manual: bool = False  # each step has maxUpdate 0: nothing is synced by itself

    @property
    def order(self) -> str:
        """The order of syncs in Argo CD: rolling, waves or none."""
        if self.kind == "Application":
            return "waves"
        return "none" if self.steps is None else "rolling"

    def step_of(self, name: str) -> int | None:
        """Return the number of an Application's first step, from 1; None if it is in no step."""
        return next((number for number, names in enumerate(self.steps or (), 1) if name in names), None)

    @property
    def outside(self) -> tuple[str, ...]:
        """Applications that no step selects: a rolling sync never syncs them."""
        return () if self.steps is None else tuple(app.name for app in self.applications if not self.step_of(app.name))

    @property
    def repeated(self) -> tuple[str, ...]:
        """Applications that more than one step selects."""
        counts = Counter(name for names in self.steps or () for name in names)
        return tuple(name for name, count in counts.items() if count > 1)

    def frozen_by(self, name: str) -> tuple[str, ...]:
        """Return the Applications that wait while this one is not healthy: all whose first step is later."""
        at = self.step_of(name)
        if at is None:
            return ()
        first = {other: number for number, names in reversed([*enumerate(self.steps or (), 1)]) for other in names}
        return tuple(other for other in sorted(first, key=first.__getitem__) if first[other] > at)


def rolling_steps(
    spec: Mapping[str, Any], applications: Iterable[Application]
) -> tuple[tuple[tuple[str, ...], ...] | None, bool]:
    """Return the Applications that each step of a rolling sync selects, and whether all are manual."""
    steps = steps_of(spec)
    if steps is None:
        return None, False
    apps = list(applications)
    chosen = tuple(tuple(app.name for app in apps if selects(step, app.labels)) for step in steps)
    return chosen, bool(steps) and all(str(step.get("maxUpdate", "")) in {"0", "0%"} for step in steps)


def waves_of(applications: Iterable[Application]) -> tuple[tuple[str, ...], ...]:
    """Return the names of an app-of-apps' Applications by sync wave, lowest first."""
    waves: dict[int, list[str]] = {}
    for app in applications:
        waves.setdefault(app.sync_wave, []).append(app.name)
    return tuple(tuple(waves[wave]) for wave in sorted(waves))
