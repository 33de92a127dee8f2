"""What a user insists on for single releases, laid over a plan; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from devtools.errors import ConfigError
from devtools.model import Action, Plan, ReleaseId, Stack, Step
from devtools.planning.plan import Selection
from devtools.planning.selection import find_release

RECREATE = "what cannot be changed in place is to be recreated"
TAKE = "what others hold is to be taken over"
_SYNCED = frozenset({Action.INSTALL, Action.UPGRADE, Action.UNCHANGED})


def chosen(stack: Stack, selection: Selection, typed: Collection[str], flag: str) -> frozenset[ReleaseId]:
    """The releases that were named with a flag; ConfigError for one that nobody knows, or that this run leaves out."""
    found = [find_release(stack, name) for name in typed]
    for release in found:
        if not (selection.takes(release) and release.installed):
            why = "is not among what this is about" if release.installed else f"is disabled by {release.disabled_by}"
            raise ConfigError(f"{flag}: release {release.id} {why}", hint=f"invoke layer {release.layer}")
    return frozenset(release.id for release in found)


def insisted(
    plan: Plan,
    *,
    recreate: Collection[ReleaseId] = (),
    take: Collection[ReleaseId] = (),
    reasons: Mapping[ReleaseId, str] | None = None,
) -> Plan:
    """The plan with these releases synced whether or not they are unchanged, and how.

    `reasons` says why, where the plan itself knows of no reason.
    """
    told = dict.fromkeys(take, TAKE) | dict.fromkeys(recreate, RECREATE) | dict(reasons or {})

    def over(step: Step) -> Step:
        if step.id not in told or step.action not in _SYNCED:
            return step
        reason = told[step.id]
        if step.action is not Action.UNCHANGED:
            reason = step.reason if reasons and step.id in reasons else f"{step.reason}; {reason}"
        return replace(
            step,
            action=Action.UPGRADE if step.action is Action.UNCHANGED else step.action,
            reason=reason,
            recreate=step.id in recreate,
            take=step.id in take,
        )

    return replace(plan, steps=tuple(map(over, plan.steps)))
