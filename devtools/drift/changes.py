"""A plan's changes of a release, object by object, without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from devtools.diff.difference import ABSENT, Change, changes, is_hidden, value_at
from devtools.diff.effects import CRD, crd_view, loss, restarts, storage_version
from devtools.diff.managed_fields import Steps
from devtools.drift.objects import Item
from devtools.helm.commands import annotations_of
from devtools.helm.record import KEEP
from devtools.helm.revision import MANAGER
from devtools.model import Action, ObjectRef, Step
from devtools.redaction import HIDDEN, Redactor
from devtools.releases.crds import compare
from devtools.rendering.renderer import Hook
from devtools.rendering.steps import StepRendering

_NAME, _NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
Does = Literal["add", "change", "replace", "remove", "keep", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedField:
    """A field that will differ: `change.live` is the current value, `change.declared` the future one.

    `hidden`: its values are secret and left out. `varies`: it differs at each rendering. `owner`: another field manager
    that owns it, so that Helm refuses to change it unless it takes ownership.
    """

    change: Change
    hidden: bool = False
    varies: bool = False
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """The change of one object; `restarts` pods restart with it, `body` is that of a new one, without secrets."""

    ref: ObjectRef
    does: Does
    fields: tuple[PlannedField, ...] = ()
    reason: str = ""
    restarts: int = 0
    notes: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseChange:
    """The changes of a step; `problem` says why they cannot be predicted."""

    step: Step
    objects: tuple[ObjectChange, ...] = ()
    hooks: tuple[Hook, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A release with its current declaration and its record on the cluster."""

    step: Step
    rendering: StepRendering
    redactor: Redactor
    new: tuple[Item, ...] = ()
    crds: tuple[Item, ...] = ()
    old: tuple[Item, ...] = ()
    varying: Mapping[ObjectRef, frozenset[Steps]] = field(default_factory=dict)
    client_side: bool = False  # the last revision was applied with client-side patches


def removed_objects(one: Subject, live: Mapping[ObjectRef, Mapping[str, Any] | None]) -> Iterator[ObjectChange]:
    """Yield the objects that the release has on the cluster and no longer declares."""
    uninstall = one.step.action is Action.UNINSTALL
    for item in one.old:
        there = live.get(item.ref)
        if there is None or same_object((*one.new, *one.crds), item.ref):
            continue
        policy = annotations_of(item.body if uninstall else there).get(KEEP)
        if policy == "keep" or (uninstall and item.ref.kind == CRD):
            reason = f"{KEEP}: keep" if policy == "keep" else "CRDs are kept: invoke down --crds removes them"
            yield ObjectChange(ref=item.ref, does="keep", reason=reason)
        else:
            yield gone(item.ref)


def added(item: Item, reason: str = "") -> ObjectChange:
    """Return the change for a new object; a CRD is shown by its name only."""
    body = None if item.ref.kind == CRD else _shown(item)
    return ObjectChange(ref=item.ref, does="add", reason=reason, body=body)


def _shown(item: Item) -> dict[str, Any]:
    """Return an object without secrets, and without Helm's additions to every object."""
    body = {key: value for key, value in item.body.items() if key not in {"apiVersion", "kind", "status"}}
    metadata = {key: value for key, value in body.pop("metadata").items() if key not in {"name", "namespace"}}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != "app.kubernetes.io/managed-by"}
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in {_NAME, _NAMESPACE}}
    metadata = {**metadata, "labels": labels, "annotations": notes}
    metadata = {key: value for key, value in metadata.items() if value}
    if item.ref.kind == "Secret":
        for part in ("data", "stringData"):
            if part in body:
                body[part] = dict.fromkeys(body[part] or {}, HIDDEN)
    hidden: dict[str, Any] = item.redactor.hide({**({"metadata": metadata} if metadata else {}), **body})
    return hidden


def gone(ref: ObjectRef) -> ObjectChange:
    """Return the removal of an object, with everything that is deleted together with it."""
    note = loss(ref.kind)
    return ObjectChange(ref=ref, does="remove", notes=(note,) if note else ())


def differences(
    ref: ObjectRef, live: Mapping[str, Any], desired: Mapping[str, Any], manager: str
) -> tuple[Change, ...]:
    """Return the fields that differ, for a CRD by version."""
    views = (crd_view(live), crd_view(desired)) if ref.kind == CRD else (live, desired)
    return changes(*views, manager)


def changed(
    item: Item, fields: Iterable[PlannedField], live: Mapping[str, Any], desired: Mapping[str, Any]
) -> ObjectChange:
    """Return the change of some fields, with restarted pods and the consequences for objects of a CRD."""
    fields = tuple(fields)
    pods, how = restarts(item.ref.kind, (field.change.steps for field in fields), live, desired)
    notes = (*((how,) if how else ()), *(crd_notes(live, item.body) if item.ref.kind == CRD else ()))
    return ObjectChange(ref=item.ref, does="change", fields=fields, restarts=pods, notes=notes)


def same_object(items: Iterable[Item], ref: ObjectRef) -> Item | None:
    """Return the item that Helm treats as the same object."""
    return next((item for item in items if is_same(item.ref, ref)), None)


def planned_field(item: Item, change: Change) -> PlannedField:
    """Return a field without secret values."""
    if is_hidden(item.ref.kind, change):
        live, desired = (ABSENT if value is ABSENT else None for value in (change.live, change.declared))
        return PlannedField(change=replace(change, live=live, declared=desired), hidden=True)
    before, after = (item.redactor.hide(value) for value in (change.live, change.declared))
    return PlannedField(change=replace(change, live=before, declared=after))


def other_owner(change: Change, manager: str = MANAGER) -> str:
    """Return the owner of a field that a manager would set: neither that nor Helm. Helm would refuse."""
    return "" if change.declared is ABSENT or change.manager in {"", MANAGER, manager} else change.manager


def foreign(one: Subject, item: Item, live: Mapping[str, Any]) -> str:
    """Return why Helm would refuse to adopt an existing object that is new in the release."""
    if one.step.take or same_object(one.old, item.ref):
        return ""
    marks, release = annotations_of(live), one.step.id
    name, namespace = marks.get(_NAME), marks.get(_NAMESPACE)
    if (name, namespace) == (release.name, release.namespace):
        return ""
    owner = f"belongs to release {namespace}/{name}" if name else "no release created it"
    take = f"invoke layer {one.step.release.layer} --take-ownership {release}"
    return f"already exists, and {owner}: {take}"


def forgotten(one: Subject, item: Item, live: Mapping[str, Any], found: Iterable[Change]) -> Iterator[Change]:
    """Yield fields that are removed because they are no longer declared, if the server has no record of the applier.

    That is the case after a client-side apply, as by Helm 3: Helm makes itself the applier of its fields, then applies.
    """
    old = same_object(one.old, item.ref) if one.client_side else None
    known = {change.steps for change in found}
    for change in changes(old.body, item.body, "") if old else ():
        there = value_at(live, change.steps)
        if change.declared is ABSENT and change.steps not in known and there is not ABSENT:
            yield replace(change, live=there)


def is_same(one: ObjectRef, other: ObjectRef) -> bool:
    """Return whether Helm treats both as the same object: the API version does not count."""
    groups = [ref.api_version.rpartition("/")[0] for ref in (one, other)]
    return groups[0] == groups[1] and (one.kind, one.namespace, one.name) == (other.kind, other.namespace, other.name)


def varying_fields(new: Sequence[Item], again: Sequence[Item]) -> dict[ObjectRef, frozenset[Steps]]:
    """Return the fields in which two renderings of the same inputs differ."""
    second = {item.ref: item.body for item in again}
    found = {
        item.ref: frozenset(change.steps for change in changes(item.body, second[item.ref], ""))
        for item in new
        if item.ref in second
    }
    return found | {item.ref: frozenset({()}) for item in new if item.ref not in second}


def covers(varying: Steps, steps: Steps) -> bool:
    """Return whether a field varies, is in one that does, or contains one; list items may be named in two ways."""
    names = {"stringData": "data"}
    pairs = zip(varying, steps, strict=False)
    return all(
        names.get(one, one) == names.get(other, other)
        if isinstance(one, str) and isinstance(other, str)
        else not (isinstance(one, str) or isinstance(other, str))
        for one, other in pairs
    )


def crd_notes(live: Mapping[str, Any], desired: Mapping[str, Any]) -> Iterator[str]:
    """Yield the consequences of a CRD's change for the objects of its kind."""
    found = compare(desired, live)
    if found.added:
        yield f"gains {', '.join(found.added)}"
    if found.dropped:
        yield f"loses {', '.join(found.dropped)}"
    before, after = storage_version(live), storage_version(desired)
    if before != after:
        yield f"storage version {before} → {after}"
    if found.stored:
        yield f"loses {', '.join(found.stored)}, in which objects may be stored: this is refused"


def without_crds(objects: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the objects that may contain secrets; CRDs are large and never do."""
    return [item for item in objects if item.get("kind") != CRD]
