"""Compares two states of the stack, such as two environments or two git revisions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.words import plural
from devtools.config.environments import chosen
from devtools.config.stack import load_stack
from devtools.config.values import inputs_digest, merge, with_stand_ins
from devtools.drift.rendered import compare_renderings
from devtools.errors import ConfigError
from devtools.model import Action, ChartRef, Facts, Plan, Release, ReleaseId, Stack, Step
from devtools.planning.plan import Selection, behind, make_plan
from devtools.rendering.steps import StepRendering, render_steps
from devtools.report.changes.document import changes_json
from devtools.report.changes.text import changes_lines
from devtools.report.text import Line, Span
from devtools.toolchain.versions import tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The stack of one environment at one revision, with Helm's inputs for each release."""

    plan: Plan  # a plan that installs everything
    values: Mapping[ReleaseId, Mapping[str, Any]]
    digests: Mapping[ReleaseId, str]
    charts: Mapping[ReleaseId, str]  # digests

    @property
    def steps(self) -> Mapping[ReleaseId, Step]:
        """The releases that this environment installs."""
        return {step.id: step for step in self.plan.steps if step.action is Action.INSTALL}


def side_of(app: App, environment: str, root: Path | None = None) -> Side:
    """Read one side, with real charts, from `root` or the project. Raises ConfigError with every problem."""
    if root:
        app = replace(app, cwd=root)
    charts = app.real_charts
    stack: Stack = load_stack(app.settings, chosen(app.settings, environment), charts)
    releases = [release for release in stack.releases() if release.installed]
    values = {release.id: merge(release, stack.environment, root=stack.root).data for release in releases}
    sums = {release.id: _chart_digest(app, release) for release in releases}
    digests = {item.id: inputs_digest(item, values[item.id], sums[item.id]) for item in releases}
    whole = Selection(layers=tuple(layer.name for layer in stack.layers))
    shown = with_stand_ins(releases, values)
    return Side(plan=make_plan(stack, whole, Facts(), digests), values=shown, digests=digests, charts=sums)


def _chart_digest(app: App, release: Release) -> str:
    """Return the digest of a chart's bytes, or of its name and version if it is not vendored."""
    try:
        return app.real_charts.digest(release.chart)
    except ConfigError:
        return hashlib.sha256(f"{release.chart.name} {release.chart.version}".encode()).hexdigest()


def with_chart(side: Side, pin: str, chart: ChartRef, digest: str) -> Side:
    """Return a side whose releases of a pinned chart use this chart instead, with the digest of its bytes."""
    used = {step.id for step in side.plan.steps if step.release.chart.pin == pin and step.id in side.digests}
    digests = {**side.digests, **{name: f"{side.digests[name]} {digest}" for name in used}}
    steps = [
        replace(step, release=replace(step.release, chart=chart), digest=digests[step.id]) if step.id in used else step
        for step in side.plan.steps
    ]
    plan = replace(side.plan, steps=tuple(steps))
    return replace(side, plan=plan, digests=digests, charts={**side.charts, **dict.fromkeys(used, digest)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The changes that turn one side into another, and the renderings of both sides."""

    plan: Plan
    changes: list[Any] = field(default_factory=list)
    before: Mapping[ReleaseId, Any] = field(default_factory=dict)
    after: Mapping[ReleaseId, Any] = field(default_factory=dict)


def compare_sides(
    app: App,
    before: Side,
    after: Side,
    only: Collection[ReleaseId] = (),
    memory: MutableMapping[Any, Any] | None = None,
    *,
    crds_stay: bool = False,
) -> Difference:
    """Compare two sides; helm renders the charts. With `only` other releases are left out.

    `memory` stores renderings for other comparisons; `crds_stay` is explained at `compare_renderings`.
    """
    plan = _difference(before, after, only)
    steps = [step for step in plan.steps if step.action is not Action.UNCHANGED]
    if not steps:
        return Difference(plan=plan)
    app.say(f"rendering {plural(len(steps), 'release')}")
    names = {step.id for step in steps}
    memory = {} if memory is None else memory
    with app.rendering() as rendering:
        old, new = (_rendered(rendering, side, names, memory) for side in (before, after))
    nothing = StepRendering()
    changes = [
        compare_renderings(
            step,
            old.get(step.id, nothing),
            new.get(step.id, nothing),
            [side.values[step.id] for side in (before, after) if step.id in side.values],
            crds_stay=crds_stay,
        )
        for step in steps
    ]
    return Difference(plan=plan, changes=changes, before=old, after=new)


def _rendered(
    rendering: Any, side: Side, names: Collection[ReleaseId], memory: MutableMapping[Any, Any]
) -> Mapping[ReleaseId, Any]:
    """Render the named releases, and those they need, which may have CRDs for their kinds."""
    needed = {one.id for step in side.steps.values() if step.id in names for one in behind(side.plan, step)}
    steps = tuple(step for step in side.steps.values() if step.id in needed)
    version = tool("kube-apiserver").version
    return render_steps(rendering, replace(side.plan, steps=steps), side.values, None, version, memory)


def _difference(before: Side, after: Side, only: Collection[ReleaseId]) -> Plan:
    old, new = before.steps, after.steps
    steps = [_step(step, old.get(step.id), before, after) for step in new.values()]
    environment = after.plan.stack.environment.name
    gone = [step for name, step in old.items() if name not in new]
    steps += [
        replace(step, action=Action.UNINSTALL, reason=f"is not installed in {environment}", needs=())
        for step in reversed(gone)
    ]
    return replace(after.plan, steps=tuple(step for step in steps if not only or step.id in only))


def _step(step: Step, old: Step | None, before: Side, after: Side) -> Step:
    if old is None:
        return replace(step, reason="is new")
    if before.digests[step.id] == after.digests[step.id]:
        return replace(step, action=Action.UNCHANGED, reason="same inputs")
    return replace(step, action=Action.UPGRADE, reason=", ".join(_reasons(step, old, before, after)))


def _reasons(step: Step, old: Step, before: Side, after: Side) -> list[str]:
    reasons = []
    was, now = old.release.chart, step.release.chart
    if before.charts[step.id] != after.charts[step.id]:
        version = f"chart {was.version} → {now.version}" if was.version != now.version else "the chart's files differ"
        reasons.append(version if was.name == now.name else f"chart {was.name} → {now.name}")
    if before.values[step.id] != after.values[step.id]:
        reasons.append("values differ")
    return reasons or ["Helm's settings differ"]


def difference_json(found: Difference, before: str, after: str, seconds: float) -> dict[str, Any]:
    """Return the documented `gitops-diff` document: a `plan-diff` between two sides."""
    made = changes_json(found.plan, "", found.changes, (), seconds)
    return {**made, "kind": "gitops-diff", "from": before, "to": after}


def difference_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the document as text for people."""
    head = (Span(f"from {document['from']} to {document['to']}", "strong"),)
    if not document["releases"]:
        return [head, (Span("nothing differs", "good"),)]
    return [head, (), *changes_lines(document, width)]
