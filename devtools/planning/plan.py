"""Makes the plan from stack, selection and facts: the action for each release, the order, the reasons. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from devtools.base.words import plural
from devtools.errors import Location, config_error
from devtools.helm.labels import AFTER_DUE
from devtools.model import (
    BUSY,
    PENDING,
    STAND_IN,
    SYNCED,
    Action,
    ChartRef,
    Facts,
    Plan,
    Release,
    ReleaseFact,
    ReleaseId,
    Stack,
    Step,
)
from devtools.planning.graph import check_graph, edges_of, in_order, reached

_LEFT_ALONE = frozenset({Action.BLOCKED, Action.DISABLED, Action.UNINSTALL})
_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})  # that every cluster has
_NAMED = 3  # missing objects that a reason names


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The selected layers by exact name and, unless all of their releases are selected, some releases."""

    layers: tuple[str, ...]
    releases: frozenset[ReleaseId] | None = None

    def takes(self, release: Release) -> bool:
        """Return whether the release is selected."""
        return release.layer in self.layers and (self.releases is None or release.id in self.releases)

    def enabled(self, stack: Stack) -> list[Release]:
        """Return the selected releases of a stack that its environment installs, as they are declared."""
        return [release for release in stack.releases() if release.installed and self.takes(release)]

    def must_exist(self, stack: Stack) -> frozenset[str]:
        """Return the namespaces that must exist for those of the releases that are installed."""
        return frozenset(release.namespace for release in self.enabled(stack) if not release.create_namespace)


def of_new_cluster(must_exist: Collection[str]) -> Facts:
    """Return what a new cluster holds, and which required namespaces it lacks."""
    return Facts(absent=tuple(sorted({*must_exist} - _NAMESPACES)))


def make_plan(
    stack: Stack,
    selection: Selection,
    facts: Facts,
    digests: Mapping[ReleaseId, str],
    *,
    force: bool = False,
    adopt: Collection[ReleaseId] = (),
) -> Plan:
    """Return one step for each selected release, in an order that respects every edge.

    `digests` holds the inputs' digest of every enabled selected release. `force` upgrades unchanged releases, `adopt`
    names releases that may be upgraded although this stack did not install them. Raises ConfigError with all problems
    of the stack's graph; the same arguments give the same plan.
    """
    if problems := check_graph(stack):
        raise config_error(problems)
    selected = {release.id: release for release in stack.releases() if selection.takes(release)}
    everyone = {release.id: release for release in stack.releases()}
    edges = edges_of(stack, selected)
    steps: dict[ReleaseId, Step] = {}
    for name in in_order(edges, edges):
        release = selected[name]
        fact = facts.releases.get(name)
        foreign = fact is not None and fact.stack != stack.name and fact.status != "uninstalled"
        reason = _foreign(release, fact) if fact and foreign and name not in adopt else ""
        reason = reason or _blocked(release, edges[name], everyone, facts, steps)
        reason = reason or _real(release, fact, digests[name]) or _homeless(release, edges, facts, steps)
        if reason:
            step = Step(release=release, action=Action.BLOCKED, reason=reason, digest=digests[name])
        elif fact and foreign:
            step = _adopted(release, fact, digests[name])
        else:
            step = _enabled(release, fact, digests[name], force=force)
        steps[name] = replace(step, needs=edges[name])
    off = [release for release in selected.values() if not release.installed]
    steps.update(_switched_off(off, facts, stack))
    everything = {name: steps[name].needs for name in selected}
    return Plan(
        stack=stack,
        layers=tuple(layer.name for layer in stack.layers if layer.name in selection.layers),
        steps=tuple(steps[name] for name in in_order(selected, everything)),
        undeclared=_undeclared(stack, selection, facts),
    )


def down_plan(
    stack: Stack,
    selection: Selection,
    facts: Facts,
    *,
    declared_too: bool = True,
    dependents: Collection[ReleaseId] = (),
) -> Plan:
    """Return the uninstallation, in reverse order, of the selected releases of this stack and their dependents.

    It includes releases that a selected or removed layer no longer declares; without `declared_too` only those.
    """
    there = ours(stack, facts)
    chosen = [item for item in stack.releases() if selection.takes(item) or item.id in dependents]
    declared = [release for release in chosen if declared_too and release.id in there]
    orphans = [_orphan(there[name], stack) for name in _undeclared(stack, selection, facts)]
    releases = {release.id: release for release in (*reversed(orphans), *reversed(declared))}
    off = {release.id: _needs_among(release, releases) for release in declared if not release.installed}
    edges = _reversed(releases.values(), {**edges_of(stack, releases), **off})
    try:
        order = in_order(releases, edges)
    except ValueError:
        raise config_error(check_graph(stack)) from None
    reasons = dict.fromkeys(order, "asked for") | {orphan.id: "no longer declared" for orphan in orphans}
    reasons |= dict.fromkeys(dependents, "needs a release that is uninstalled")
    steps = tuple(_uninstall(releases[name], there[name], reasons[name], edges[name]) for name in order)
    held = {*selection.layers, *(releases[name].layer for name in dependents if name in releases)}
    layers = tuple(layer.name for layer in reversed(stack.layers) if layer.name in held)
    return Plan(stack=stack, layers=layers, steps=steps)


def in_waves(plan: Plan, waves: Mapping[ReleaseId, int]) -> Plan:
    """Return the plan sorted by wave, with edges from each wave to the whole one before it instead of its own."""
    numbers = sorted({waves[step.id] for step in plan.steps})
    before = dict(zip(numbers[1:], numbers[:-1], strict=True))
    members = {number: tuple(step.id for step in plan.steps if waves[step.id] == number) for number in numbers}
    steps = [replace(step, needs=members.get(before.get(waves[step.id], -1), ())) for step in plan.steps]
    return replace(plan, steps=tuple(sorted(steps, key=lambda step: waves[step.id])))


def behind(plan: Plan, step: Step) -> tuple[Step, ...]:
    """Return a step and all its direct and indirect needs, on which the tests of a smoke release depend."""
    needs = {item.id: item.needs for item in plan.steps}
    found = reached([step.id], lambda name: needs.get(name, ()))
    return tuple(item for item in plan.steps if item.id in found)


def digest_behind(plan: Plan, step: Step) -> str:
    """Return one digest of all that a smoke release's tests depend on; 40 hexadecimal digits."""
    parts = sorted(f"{item.id}={item.digest}" for item in behind(plan, step) if item.digest)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


def has_passed(plan: Plan, step: Step, fact: ReleaseFact | None) -> bool:
    """Return whether a smoke release's tests passed on the current state and nothing they depend on will change."""
    unchanged = all(item.action is Action.UNCHANGED for item in behind(plan, step))
    return unchanged and fact is not None and fact.tested == digest_behind(plan, step)


def changes(plan: Plan, facts: Facts, *, sync: bool, test: bool, retest: bool) -> bool:
    """Return whether carrying out a plan writes anything to the cluster; tests do."""
    if sync and any(step.action in {*SYNCED, Action.UNINSTALL} for step in plan.steps):
        return True
    smoke = [step for step in plan.steps if step.release.smoke and step.action not in _LEFT_ALONE]
    return test and any(retest or not has_passed(plan, step, facts.releases.get(step.id)) for step in smoke)


def _foreign(release: Release, fact: ReleaseFact) -> str:
    """Return why a release that this stack did not install is not upgraded, and the command that upgrades it."""
    owner = (
        f"it belongs to stack '{fact.stack}'" if fact.stack else "a release of this name was installed by another tool"
    )
    more = "" if fact.stack or fact.status in BUSY else ", or all of these: --take-ownership '*'"
    return f"{owner} on this cluster: to adopt it, invoke layer {release.layer} --take-ownership {release.id}{more}"


def _adopted(release: Release, fact: ReleaseFact, digest: str) -> Step:
    """Return the upgrade of a release that another stack or tool installed, whatever its state."""
    owner = f"stack '{fact.stack}'" if fact.stack else "another tool"
    return Step(
        release=release,
        action=Action.UPGRADE,
        reason=f"installed by {owner}",
        digest=digest,
        recover=fact.status if fact.status in BUSY else "",
        cut_off=fact.cut_off,
        revision=fact.revision if fact.status == "deployed" else fact.revision - 1,
        adopt=True,
    )


def _enabled(release: Release, fact: ReleaseFact | None, digest: str, *, force: bool) -> Step:
    """Return the step of a release that should exist."""
    install, recover = "", ""
    if fact is None or fact.status == "uninstalled":
        leaving = fact is not None and fact.leaving
        install = f"namespace {release.namespace} is being deleted" if leaving else "not on the cluster"
        # helm must not start before the namespace is gone, because it would find the old records
        recover = "uninstalled" if leaving else ""
    elif fact.chart == STAND_IN and release.chart.kind != STAND_IN:
        install, recover = "the real chart replaces its stand-in, which is uninstalled first", STAND_IN
    elif fact.status in ("uninstalling", "pending-install"):
        install, recover = _unfinished(fact), fact.status
    elif fact.status == "failed" and fact.revision <= 1:
        install, recover = "its first install failed", fact.status
    if fact is None or install:
        return Step(release=release, action=Action.INSTALL, reason=install, digest=digest, recover=recover)
    reason = _stuck(fact) or _changed(fact, digest) or ("forced" if force else "")
    return Step(
        release=release,
        action=Action.UPGRADE if reason else Action.UNCHANGED,
        reason=reason or "inputs unchanged, objects present",
        digest=digest,
        recover=fact.status if fact.status in PENDING else "",
        cut_off=fact.cut_off,
        going=fact.going,
        revision=fact.revision if fact.status == "deployed" else fact.revision - 1,
    )


def _stuck(fact: ReleaseFact) -> str:
    """Return what is wrong with the last revision; empty if it is deployed."""
    if fact.status in PENDING:
        return _unfinished(fact)
    if fact.status == "failed":
        return "last revision failed"
    return "" if fact.status == "deployed" else f"its status is {fact.status}"


def _unfinished(fact: ReleaseFact) -> str:
    """Return what is known about the helm that has not finished its work on a release."""
    if fact.other_helm:
        return f"{fact.status} by another helm (field manager {fact.other_helm})"
    return f"the last run was interrupted ({fact.status})"


def _changed(fact: ReleaseFact, digest: str) -> str:
    """Return how a deployed revision differs from the declared state; empty if it does not."""
    if fact.digest != digest and fact.rolled_back_to:
        return f"rolled back to revision {fact.rolled_back_to}: up applies the declared version again"
    if fact.digest != digest:
        return "inputs changed" if fact.digest else "upgraded by another tool"
    objects = fact.going or fact.missing
    named = ", ".join(map(str, objects[:_NAMED])) + (", …" if len(objects) > _NAMED else "")
    if fact.going:
        return f"being deleted: {named}"
    if fact.missing:
        return f"{plural(len(objects), 'object is gone', 'objects are gone')}: {named}"
    if fact.ready == AFTER_DUE:
        return "its commands of after did not end well"
    return "" if fact.ready == digest else "never became ready"


def _blocked(
    release: Release,
    edges: tuple[ReleaseId, ...],
    everyone: Mapping[ReleaseId, Release],
    facts: Facts,
    steps: Mapping[ReleaseId, Step],
) -> str:
    """Return why the step cannot be done in this run; empty if it can. `steps` has all steps in `edges`."""
    for need in release.needs:
        target = everyone[need.release]
        if target.id in steps or not target.installed:
            continue
        status = facts.releases[target.id].status if target.id in facts.releases else "uninstalled"
        if status != "deployed":
            state = "not on the cluster" if status == "uninstalled" else f"{status} there"
            layer = target.layer
            return f"needs {target.id} of layer {layer}, which is {state}: invoke layer {layer}"
    blocker = next((name for name in edges if steps[name].action is Action.BLOCKED), None)
    return f"needs {blocker}, which is blocked" if blocker else ""


def _homeless(
    release: Release,
    edges: Mapping[ReleaseId, tuple[ReleaseId, ...]],
    facts: Facts,
    steps: Mapping[ReleaseId, Step],
) -> str:
    """Return why a release has no namespace to be installed into; empty if a release synced earlier may create it."""
    if release.create_namespace or release.namespace not in facts.absent:
        return ""
    if any(steps[name].action in SYNCED for name in reached(edges[release.id], lambda name: edges[name])):
        return ""
    space = release.namespace
    return f"namespace {space} does not exist, and create_namespace is false: kubectl create namespace {space}"


def _real(release: Release, fact: ReleaseFact | None, digest: str) -> str:
    """Return why a stand-in must not replace the deployed release; empty if that is a stand-in, too."""
    if release.chart.kind != STAND_IN or fact is None or fact.status == "uninstalled":
        return ""
    if fact.chart == STAND_IN or fact.digest == digest:
        return ""
    name = release.chart.name
    return f"a stand-in must not replace the real release: invoke charts.vendor --name {name}"


def _switched_off(off: list[Release], facts: Facts, stack: Stack) -> dict[ReleaseId, Step]:
    """Return the steps of disabled releases; those that this stack installed are uninstalled, dependents first."""
    there = ours(stack, facts)
    gone = {release.id: release for release in off if release.id in there}
    edges = _reversed(gone.values(), {release.id: _needs_among(release, gone) for release in gone.values()})
    steps: dict[ReleaseId, Step] = {}
    for release in off:
        if release.id in gone:
            reason = f"switched off by {release.disabled_by}"
            steps[release.id] = _uninstall(release, there[release.id], reason, edges[release.id])
        else:
            steps[release.id] = Step(release=release, action=Action.DISABLED, reason=release.disabled_by)
    return steps


def _needs_among(release: Release, names: Collection[ReleaseId]) -> tuple[ReleaseId, ...]:
    return tuple(dict.fromkeys(need.release for need in release.needs if need.release in names))


def _uninstall(release: Release, fact: ReleaseFact, reason: str, needs: tuple[ReleaseId, ...]) -> Step:
    return Step(release=release, action=Action.UNINSTALL, reason=reason, needs=needs, revision=fact.revision)


def _reversed(
    releases: Iterable[Release], edges: Mapping[ReleaseId, tuple[ReleaseId, ...]]
) -> dict[ReleaseId, tuple[ReleaseId, ...]]:
    """Return the reversed edges: which releases must be gone first."""
    found: dict[ReleaseId, list[ReleaseId]] = {release.id: [] for release in releases}
    for name in found:
        for target in edges.get(name, ()):
            found[target].append(name)
    return {name: tuple(dependents) for name, dependents in found.items()}


def ours(stack: Stack, facts: Facts) -> dict[ReleaseId, ReleaseFact]:
    """Return the releases of this stack that are still on the cluster."""
    found = facts.releases.values()
    return {fact.id: fact for fact in found if fact.stack == stack.name and fact.status != "uninstalled"}


def _undeclared(stack: Stack, selection: Selection, facts: Facts) -> tuple[ReleaseId, ...]:
    """Return releases on the cluster that a selected layer once declared and no layer declares any more.

    Releases of a removed layer are uninstalled with the whole stack.
    """
    if selection.releases is not None:
        return ()
    known, layers = {release.id for release in stack.releases()}, {layer.name for layer in stack.layers}
    covered = {fact.layer for fact in facts.releases.values()} - layers if layers <= {*selection.layers} else set()
    covered |= {*selection.layers}
    there = ours(stack, facts)
    return tuple(name for name in sorted(there) if name not in known and there[name].layer in covered)


def _orphan(fact: ReleaseFact, stack: Stack) -> Release:
    """Return a substitute for a removed declaration, sufficient for an uninstall."""
    files = (layer.file for layer in stack.layers if layer.name == fact.layer)
    where = Location(file=next(files, stack.root))
    chart = ChartRef(name="unknown", path=Path())
    return Release(name=fact.id.name, namespace=fact.id.namespace, layer=fact.layer, chart=chart, where=where)
