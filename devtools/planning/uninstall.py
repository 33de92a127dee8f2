"""Plans what an uninstall removes besides the selected releases: dependents, namespaces and CRDs. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from devtools.base.words import plural, shortened
from devtools.errors import ConfigError, Location
from devtools.model import Action, ChartRef, Facts, Plan, Release, ReleaseId, Stack, Step, Sweep
from devtools.planning.graph import reached
from devtools.planning.plan import Selection, ours

LAYER = "cluster"  # under which these steps are shown: no layer has this name
_CRD = "CustomResourceDefinition"
_NAMED = 5  # namespaces that a reason names


def find_dependents(stack: Stack, selection: Selection, facts: Facts) -> tuple[ReleaseId, ...]:
    """Return the releases on the cluster that need a selected one there, directly or not, and are not selected."""
    there = ours(stack, facts)
    declared = [release for release in stack.releases() if release.id in there]
    needed_by: dict[ReleaseId, list[ReleaseId]] = {}
    for release in declared:
        for need in release.needs:
            needed_by.setdefault(need.release, []).append(release.id)
    selected = {release.id for release in declared if selection.takes(release)}
    found = reached(selected, lambda name: needed_by.get(name, ())) - selected
    return tuple(release.id for release in declared if release.id in found)


def refuse_dependents(dependents: Collection[ReleaseId], command: str) -> None:
    """Raise ConfigError if the releases that `command` uninstalls have dependents."""
    if dependents:
        verb, named = "needs" if len(dependents) == 1 else "need", shortened([*map(str, dependents)], _NAMED)
        message = f"{named} still {verb} what would be uninstalled"
        raise ConfigError(message, hint=f"to uninstall dependents, too: invoke {command} --with-dependents")


def with_sweeps(plan: Plan, facts: Facts, *, crds: bool, force: bool) -> Plan:
    """Return the plan with steps that remove objects of no release.

    The stack's namespaces are removed when the releases in them are gone, and, with `crds`, its CRDs after all else.

    With `force` the CRDs are removed with all objects of their kinds.
    """
    steps = list(plan.steps)
    if facts.namespaces:
        named = shortened(facts.namespaces, _NAMED)
        inside = tuple(step.id for step in plan.steps if step.id.namespace in facts.namespaces)
        steps.append(_step(plan, Sweep.NAMESPACES, f"where nothing is left in them: {named}", inside))
    installed = (facts.releases[step.id].objects for step in plan.steps if step.id in facts.releases)
    found = {*facts.crds, *(ref.name for objects in installed for ref in objects if ref.kind == _CRD)}
    if found and crds:
        count = plural(len(found), "kind")
        reason = f"{count} with every object of them" if force else f"{count}, if no object of them is left"
        steps.append(_step(plan, Sweep.CRDS, reason, tuple(step.id for step in steps), force=force))
    return replace(plan, steps=tuple(steps), keeps_crds=bool(found) and not crds)


def _step(plan: Plan, sweep: Sweep, reason: str, needs: tuple[ReleaseId, ...], *, force: bool = False) -> Step:
    """Return a step about objects of no release, under a name that no release can have."""
    release = Release(
        name=plan.stack.name,
        namespace=sweep,
        layer=LAYER,
        chart=ChartRef(name="", path=Path()),
        where=Location(file=plan.stack.root),
    )
    return Step(release=release, action=Action.UNINSTALL, reason=reason, needs=needs, sweep=sweep, force=force)
