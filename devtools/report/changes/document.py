"""The `plan-diff` document (`docs/output.md`), from which text and Markdown are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from devtools.diff.difference import ABSENT
from devtools.drift.changes import ObjectChange, PlannedField, ReleaseChange
from devtools.model import SYNCED, Action, ObjectRef, Plan, Step
from devtools.redaction import Redactor

VERSION = 1
_ACTS = {*SYNCED, Action.UNINSTALL}


def changes_json(
    plan: Plan, context: str, found: Sequence[ReleaseChange], notices: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Return the documented `plan-diff` document."""
    changed = {item.step.id: item for item in found}
    shown = [step for step in plan.steps if step.action not in {Action.UNCHANGED, Action.DISABLED}]
    redactor = Redactor()
    redactor.learn(plan.stack.environment.values)
    releases = [_release_json(step, changed.get(step.id), redactor) for step in shown]
    return {
        "version": VERSION,
        "kind": "plan-diff",
        "stack": plan.stack.name,
        "environment": plan.stack.environment.name,
        "context": context,
        "seconds": round(seconds, 3),
        "sets": [
            {key: redactor.text(text) for key, text in one.shown().items()} for one in plan.stack.environment.sets
        ],
        "before": [redactor.hide([*hook.argv]) for hook in plan.before],
        "after": [redactor.hide([*hook.argv]) for hook in plan.after],
        "changed": any(step.action in _ACTS for step in plan.steps),
        "counts": _counts(plan, releases),
        "notices": list(notices),
        "releases": releases,
    }


def _counts(plan: Plan, releases: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count releases and objects by the action on them."""
    steps = Counter(step.action for step in plan.steps)
    objects = [item for release in releases for item in release["objects"]]
    does = Counter(item["action"] for item in objects)
    return {
        "releases": len(plan.steps),
        **{name: steps[Action(name)] for name in ("unchanged", "install", "upgrade", "uninstall", "blocked")},
        "not_predicted": sum(bool(release["problem"]) for release in releases),
        **{name: does[name] for name in ("add", "change", "replace", "remove", "keep", "refuse")},
        "restarts": sum(item["restarts"] for item in objects),
    }


def _release_json(step: Step, found: ReleaseChange | None, redactor: Redactor) -> dict[str, Any]:
    chart = step.release.chart
    syncs = step.action in SYNCED
    return {
        "release": str(step.id),
        "layer": step.release.layer,
        "action": step.action.value,
        "reason": step.reason,
        "chart": chart.name,
        "chart_version": chart.version,
        "stand_in": step.is_on_stand_in,
        "problem": found.problem if found else "",
        "notes": list(found.notes) if found else [],
        "commands": [redactor.hide([*hook.argv]) for hook in step.release.before if syncs],
        "after": [redactor.hide([*hook.argv]) for hook in step.release.after if syncs],
        "on_failure": step.release.on_failure if syncs else "keep",
        "hooks": [
            {
                "events": list(hook.events),
                "kind": hook.object["kind"],
                "name": str((hook.object.get("metadata") or {}).get("name", "")),
            }
            for hook in (found.hooks if found else ())
        ],
        "objects": [_object_json(item) for item in (found.objects if found else ())],
    }


def _object_json(item: ObjectChange) -> dict[str, Any]:
    return {
        **ref_json(item.ref),
        "action": item.does,
        "reason": item.reason,
        "restarts": item.restarts,
        "notes": list(item.notes),
        "fields": [_field_json(field) for field in item.fields],
        "body": item.body,
    }


def ref_json(ref: ObjectRef) -> dict[str, str]:
    """Return the fields that identify an object."""
    return {"api_version": ref.api_version, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _field_json(field: PlannedField) -> dict[str, Any]:
    """Return one element of an object's `fields`; a value that is absent or hidden is null."""
    change = field.change
    return {
        "path": change.path,
        "hidden": field.hidden,
        "added": change.live is ABSENT,
        "removed": change.declared is ABSENT,
        "before": None if change.live is ABSENT else change.live,
        "after": None if change.declared is ABSENT else change.declared,
        "varies": field.varies,
        "owner": field.owner,
    }
