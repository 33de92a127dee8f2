"""Applies a user's overrides for single releases to a plan; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from devtools.errors import ConfigError
from devtools.model import BUSY, Action, Facts, Plan, ReleaseId, Stack, Step
from devtools.planning.plan import Selection
from devtools.planning.selection import find_release

EVERY = "*"  # stands for all releases that another tool installed
RECREATE = "objects that cannot be changed in place are recreated, as requested"
TAKE = "fields of other field managers are taken over, as requested"
_SYNCED = frozenset({Action.INSTALL, Action.UPGRADE, Action.UNCHANGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Releases to sync even if they are unchanged, and how."""

    recreate: frozenset[ReleaseId] = frozenset()  # recreate objects that cannot be changed in place
    take: frozenset[ReleaseId] = frozenset()  # take over fields of other field managers
    adopt: frozenset[ReleaseId] = frozenset()  # adopt releases that others installed, or have not finished
    foreign: bool = False  # the same for all releases that another tool installed, unless it has not finished
    reasons: Mapping[ReleaseId, str] = field(default_factory=dict)  # if the plan itself has none


def find_overrides(
    stack: Stack, selection: Selection, *, recreate: Collection[str], take: Collection[str]
) -> Overrides:
    """Return the overrides as typed; raise ConfigError for a release that is unknown or not part of this run."""
    owners = _releases(stack, selection, [name for name in take if name != EVERY], "--take-ownership")
    again = _releases(stack, selection, recreate, "--recreate")
    return Overrides(recreate=again, take=owners, adopt=owners, foreign=EVERY in take)


def adopted(overrides: Overrides, facts: Facts) -> frozenset[ReleaseId]:
    """Return the releases that may be upgraded although this stack did not install them."""
    found = facts.releases.values() if overrides.foreign else ()
    return overrides.adopt | {fact.id for fact in found if not fact.stack and fact.status not in BUSY}


def with_overrides(plan: Plan, overrides: Overrides) -> Plan:
    """Return the plan with these releases synced whether or not they are unchanged."""
    reasons = dict.fromkeys(overrides.take, TAKE) | dict.fromkeys(overrides.recreate, RECREATE)
    reasons |= dict(overrides.reasons)

    if overrides.foreign:
        reasons |= {step.id: TAKE for step in plan.steps if step.adopt and step.id not in reasons}

    def change(step: Step) -> Step:
        if step.id not in reasons or step.action not in _SYNCED:
            return step
        reason = reasons[step.id]
        if step.action is not Action.UNCHANGED:
            reason = step.reason if step.id in overrides.reasons else f"{step.reason}; {reason}"
        return replace(
            step,
            action=Action.UPGRADE if step.action is Action.UNCHANGED else step.action,
            reason=reason,
            recreate=step.id in overrides.recreate,
            take=step.id in overrides.take or (overrides.foreign and step.adopt),
            take_pending=step.id in overrides.adopt,
        )

    return replace(plan, steps=tuple(map(change, plan.steps)))


def _releases(stack: Stack, selection: Selection, typed: Collection[str], flag: str) -> frozenset[ReleaseId]:
    found = [find_release(stack, name) for name in typed]
    for release in found:
        if not (selection.takes(release) and release.installed):
            why = "is not part of this run" if release.installed else f"is disabled by {release.disabled_by}"
            raise ConfigError(f"{flag}: release {release.id} {why}", hint=f"invoke layer {release.layer}")
    return frozenset(release.id for release in found)
