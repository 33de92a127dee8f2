"""Compares two renderings of a release, object by object and field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from devtools.diff.difference import changes
from devtools.diff.effects import CRD, crd_view, loss, restarts
from devtools.drift.changes import (
    ObjectChange,
    ReleaseChange,
    added,
    covers,
    crd_notes,
    is_same,
    planned_field,
    varying_fields,
    without_crds,
)
from devtools.drift.objects import Item
from devtools.errors import DevtoolsError
from devtools.helm.revision import declared
from devtools.model import ObjectRef, Step
from devtools.redaction import Redactor
from devtools.rendering.renderer import Rendered
from devtools.rendering.steps import StepRendering

_Values = Mapping[str, Any]


def compare_renderings(
    step: Step, before: StepRendering, after: StepRendering, values: Iterable[_Values]
) -> ReleaseChange:
    """Return what the second rendering changes; an empty rendering has no objects. `values` are those of both."""
    redactor = Redactor()
    redactor.learn(*values)
    for side in (before, after):
        redactor.learn(*without_crds(side.rendered.objects if side.rendered else ()))
    if failure := after.failure or before.failure:
        return ReleaseChange(step=step, problem=redactor.text(_sentence(failure)))
    old, new = (_items(step, side.rendered, side, redactor) for side in (before, after))
    again = _items(step, after.again, StepRendering(), redactor)
    varying = varying_fields(new, again) if after.again else {}
    found = [_changed(item, old, varying.get(item.ref, frozenset())) for item in new]
    gone = [item for item in old if not any(is_same(item.ref, other.ref) for other in new)]
    removed = [ObjectChange(ref=item.ref, does="remove", notes=_notes(loss(item.ref.kind))) for item in gone]
    return ReleaseChange(step=step, objects=(*(item for item in found if item), *removed))


def _sentence(error: DevtoolsError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message


def _items(step: Step, rendered: Rendered | None, side: StepRendering, redactor: Redactor) -> list[Item]:
    """Return the objects of a rendering; only a cluster knows which kinds have a namespace."""
    objects = declared(rendered.objects if rendered else (), step.id, {}).objects
    hooks = declared([hook.object for hook in (rendered.hooks if rendered else ())], step.id, {}).objects
    bodies = [*(item.data for item in side.crds), *objects, *hooks]
    found: dict[ObjectRef, Item] = {}
    for body in bodies:
        metadata = body["metadata"]
        namespace = str(metadata.get("namespace") or "")
        ref = ObjectRef(str(body.get("apiVersion", "")), str(body["kind"]), namespace, str(metadata["name"]))
        found.setdefault(ref, Item(release=step.id, ref=ref, body=body, path="", redactor=redactor))
    return list(found.values())


def _changed(item: Item, old: Iterable[Item], varying: frozenset[Any]) -> ObjectChange | None:
    """Return what becomes of one object; None if it stays as it is, but for what differs at each rendering."""
    before = next((other.body for other in old if is_same(other.ref, item.ref)), None)
    if before is None:
        return added(item)
    is_crd = item.ref.kind == CRD
    views = (crd_view(before), crd_view(item.body)) if is_crd else (before, item.body)
    found = [one for one in changes(*views, "") if not any(covers(steps, one.steps) for steps in varying)]
    if not found:
        return None
    pods, how = restarts(item.ref.kind, (change.steps for change in found), before, item.body)
    notes = (*_notes(how), *(crd_notes(before, item.body) if is_crd else ()))
    fields = tuple(planned_field(item, change) for change in found)
    return ObjectChange(ref=item.ref, does="change", fields=fields, restarts=pods, notes=notes)


def _notes(text: str) -> tuple[str, ...]:
    return (text,) if text else ()
