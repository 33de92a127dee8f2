"""Compares two renderings of a release, object by object and field by field. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from devtools.diff.effects import CRD
from devtools.drift.changes import (
    ObjectChange,
    ReleaseChange,
    added,
    changed,
    covers,
    differences,
    gone,
    planned_field,
    same_object,
    varying_fields,
    without_crds,
)
from devtools.drift.objects import Item, unplaced
from devtools.helm.commands import annotations_of
from devtools.helm.record import KEEP
from devtools.helm.revision import declared
from devtools.model import Step
from devtools.redaction import Redactor
from devtools.rendering.renderer import Rendered
from devtools.rendering.steps import StepRendering

_Values = Mapping[str, Any]


def compare_renderings(
    step: Step, before: StepRendering, after: StepRendering, values: Iterable[_Values], *, crds_stay: bool = False
) -> ReleaseChange:
    """Return the changes of the second rendering; an empty rendering has no objects. `values` are those of both.

    `crds_stay`: nothing deletes objects of `crds/`, as with Helm; some controllers do.
    """
    redactor = Redactor()
    redactor.learn(*values)
    for side in (before, after):
        redactor.learn(*without_crds(side.rendered.objects if side.rendered else ()))
    if failure := after.failure or before.failure:
        problem = f"{failure.message}: {failure.hint}" if failure.hint else failure.message
        return ReleaseChange(step=step, problem=redactor.text(problem))
    old, new = (_items(step, side.rendered, side, redactor) for side in (before, after))
    again = _items(step, after.again, StepRendering(), redactor)
    varying = varying_fields(new, again) if after.again else {}
    found = [_changed(item, old, varying.get(item.ref, frozenset())) for item in new]
    names = {crd.data["metadata"]["name"] for crd in before.crds} if crds_stay else set()
    removed = [_removed(item, names) for item in old if not same_object(new, item.ref)]
    return ReleaseChange(step=step, objects=(*(item for item in found if item), *removed))


def _removed(item: Item, staying: Collection[str]) -> ObjectChange:
    """Return the change of an object that the second rendering lacks; `staying` are CRDs that are kept."""
    if annotations_of(item.body).get(KEEP) == "keep":
        return ObjectChange(ref=item.ref, does="keep", reason=f"{KEEP}: keep")
    if item.ref.kind == CRD and item.ref.name in staying:
        return ObjectChange(ref=item.ref, does="keep", reason="it is in crds/, which Helm only ever adds to")
    return gone(item.ref)


def _items(step: Step, rendered: Rendered | None, side: StepRendering, redactor: Redactor) -> list[Item]:
    objects = declared(rendered.objects if rendered else (), step.id, {}).objects
    hooks = declared([hook.object for hook in (rendered.hooks if rendered else ())], step.id, {}).objects
    bodies = [*(item.data for item in side.crds), *objects, *hooks]
    return unplaced(step.id, bodies, redactor)


def _changed(item: Item, old: Iterable[Item], varying: frozenset[Any]) -> ObjectChange | None:
    """Return the change of one object; None if only fields differ that vary at each rendering."""
    before = same_object(old, item.ref)
    if before is None:
        return added(item)
    every = differences(item.ref, before.body, item.body, "")
    found = [one for one in every if not any(covers(steps, one.steps) for steps in varying)]
    fields = (planned_field(item, change) for change in found)
    return changed(item, fields, before.body, item.body) if found else None
