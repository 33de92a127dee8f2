"""Overrides that a user asks for on single releases, applied to a plan; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from devtools.errors import ConfigError
from devtools.model import Action, Plan, ReleaseId, Stack, Step
from devtools.planning.plan import Selection
from devtools.planning.selection import find_release

RECREATE = "what cannot be changed in place is recreated, as asked"
TAKE = "fields held by others are taken over, as asked"
_SYNCED = frozenset({Action.INSTALL, Action.UPGRADE, Action.UNCHANGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Releases to sync even if they are unchanged, and how."""

    recreate: frozenset[ReleaseId] = frozenset()  # recreate what cannot be changed in place
    take: frozenset[ReleaseId] = frozenset()  # take over fields that others hold
    adopt: frozenset[ReleaseId] = frozenset()  # adopt what others installed, or have not finished
    reasons: Mapping[ReleaseId, str] = field(default_factory=dict)  # if the plan itself has none


def find_overrides(
    stack: Stack, selection: Selection, *, recreate: Collection[str], take: Collection[str]
) -> Overrides:
    """Return the overrides that were typed; ConfigError for a release that is unknown or not part of this run."""
    owners = _releases(stack, selection, take, "--take-ownership")
    return Overrides(recreate=_releases(stack, selection, recreate, "--recreate"), take=owners, adopt=owners)


def with_overrides(plan: Plan, overrides: Overrides) -> Plan:
    """Return the plan with these releases synced whether or not they are unchanged."""
    reasons = dict.fromkeys(overrides.take, TAKE) | dict.fromkeys(overrides.recreate, RECREATE)
    reasons |= dict(overrides.reasons)

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
            take=step.id in overrides.take,
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
