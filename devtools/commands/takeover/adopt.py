"""`invoke gitops.adopt` and `invoke gitops.diff --live`: show a controller's changes on a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from devtools.app.environment import App
from devtools.base.words import plural, require_known
from devtools.commands.gitops.sides import Difference, Side, difference_json, difference_lines, side_of
from devtools.drift.takeover import NAMES, action_of, take_over
from devtools.errors import ExitCode
from devtools.model import Action, Plan
from devtools.rendering.steps import render_steps
from devtools.report.text import Line, Span

CONTROLLERS = ("argocd", "flux")


def controller_for(app: App, typed: str) -> Any:
    """Return the controller: as typed, else that of devtools.yaml, else Argo CD; ConfigError for others."""
    gitops = app.settings.gitops
    found = gitops.environments.get(app.environment_name) if gitops else None
    name = typed or (found.controller if found else "") or "argocd"
    require_known("--engine", name, CONTROLLERS)
    return name


def look(app: App, engine: str) -> tuple[Plan, Sequence[Any], str]:
    """Return a plan of every exported release, a controller's effect on each, and the cluster's context."""
    cluster = app.provider.find()
    side = _exported(side_of(app, app.environment_name))
    app.say(f"comparing {plural(len(side.plan.steps), 'release')} with the cluster")
    kube = app.client(cluster)
    with app.rendering(cluster) as rendering:
        found = render_steps(rendering, side.plan, side.values, kube.served(), kube.version())
    adopted = take_over(kube, side.plan.steps, found, side.values, controller_for(app, engine), app.cancel)
    steps = [replace(item.change.step, action=action_of(item), reason=_reason(item)) for item in adopted]
    adopted = [replace(item, change=replace(item.change, step=step)) for item, step in zip(adopted, steps, strict=True)]
    return replace(side.plan, steps=tuple(steps)), adopted, cluster.context


def _exported(side: Side) -> Side:
    stack = side.plan.stack
    steps = tuple(
        step for step in side.steps.values() if step.release.gitops and stack.layer(step.release.layer).gitops
    )
    return replace(side, plan=replace(side.plan, steps=steps))


def _reason(item: Any) -> str:
    if item.revision:
        return f"Helm's record has revision {item.revision.number}"
    return f"{plural(item.found, 'object')} without a record of Helm" if item.found else "nothing is there yet"


def adopt(app: App, engine: str, output: str) -> ExitCode:
    """Show what a controller would take over; FAILED if it would take fields from other managers or be refused."""
    started = time.monotonic()
    plan, adopted, context = look(app, engine)
    document = adoption_json(plan, adopted, context, controller_for(app, engine), time.monotonic() - started)
    app.show(document, _lines, output)
    if document["effect"]["counts"]["not_predicted"]:
        return ExitCode.CONFIG
    return ExitCode.FAILED if document["conflicts"] or document["effect"]["counts"]["refuse"] else ExitCode.OK


def live_difference(app: App, engine: str, started: float) -> dict[str, Any]:
    """Return the `gitops-diff` document between a cluster's state and its state under a controller."""
    plan, adopted, context = look(app, engine)
    return _effect(plan, adopted, context, controller_for(app, engine), time.monotonic() - started)


def _effect(plan: Plan, adopted: Sequence[Any], context: str, controller: Any, seconds: float) -> dict[str, Any]:
    changes = [item.change for item in adopted if item.change.step.action is not Action.UNCHANGED]
    after = f"{plan.stack.environment.name} as {NAMES[controller]} would deploy it"
    found = Difference(plan=plan, changes=_without_owners(changes))
    return {**difference_json(found, f"cluster {context}", after, seconds), "context": context}


def _without_owners(changes: Sequence[Any]) -> list[Any]:
    """Return changes whose fields record the previous manager, because a controller overrides field owners."""
    made = []
    for change in changes:
        objects = []
        for item in change.objects:
            owners = dict.fromkeys(
                f"takes {field.change.path} from {field.owner}" for field in item.fields if field.owner
            )
            fields = tuple(replace(field, owner="") for field in item.fields)
            objects.append(replace(item, fields=fields, notes=(*item.notes, *owners)))
        made.append(replace(change, objects=tuple(objects)))
    return made


def adoption_json(plan: Plan, adopted: Sequence[Any], context: str, controller: Any, seconds: float) -> dict[str, Any]:
    """Return the documented `gitops-adoption` document."""
    return {
        "version": 1,
        "kind": "gitops-adoption",
        "environment": plan.stack.environment.name,
        "controller": controller,
        "context": context,
        "releases": [
            {
                "release": str(item.change.step.id),
                "record": item.revision.number if item.revision else None,
                "objects": item.found,
                "action": item.change.step.action.value,
            }
            for item in adopted
        ],
        "conflicts": [
            {"release": str(item.change.step.id), "object": name, "field": field, "manager": manager}
            for item in adopted
            for name, field, manager in item.conflicts
        ],
        "effect": _effect(plan, adopted, context, controller, seconds),
    }


def _lines(document: Mapping[str, Any], width: int) -> list[Line]:
    name = NAMES[document["controller"]]
    adopted = [item for item in document["releases"] if item["action"] != "install"]
    head = f"{name} would adopt {plural(len(adopted), 'release')} on {document['context']}"
    lines: list[Line] = [(Span(head, "strong"),)]
    for item in adopted:
        record = f"revision {item['record']} of Helm" if item["record"] else "no record of Helm"
        note = "changes" if item["action"] == "upgrade" else "stays as it is"
        note = f"  {record}, {plural(item['objects'], 'object')}: {note}"
        lines.append((Span(f"  {item['release']}"), Span(note, "dim")))
    if document["controller"] == "argocd" and any(item["record"] for item in adopted):
        lines.append((Span("  Helm's records stay, and are out of date from then on", "dim"),))
    return [*lines, (), *difference_lines(document["effect"], width)]
