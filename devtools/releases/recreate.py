"""Handles objects that the API server refuses to change: the error, its hint, and their recreation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from devtools.diff.difference import ABSENT, changes, is_hidden
from devtools.helm.rejections import Refusal, invalid, refusals, without_values
from devtools.helm.revision import Applied
from devtools.kube.client import ApiError, Kube
from devtools.model import ObjectRef, Release, ReleaseId, Step
from devtools.readiness.rules import is_workload
from devtools.readiness.wait import Failure, Wait
from devtools.redaction import HIDDEN, Redactor
from devtools.redaction.origin import marked_at
from devtools.releases.recovery import last_two, object_of
from devtools.releases.takeover import HOLD_DATA, Stray, strays_of, take_over

Shapes = Sequence[Mapping[str, Any]]
# The mutable fields of a StatefulSet's spec: the API server does not report which other field changed.
_MUTABLE = frozenset(
    {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "minReadySeconds"}
    | {"persistentVolumeClaimRetentionPolicy"}
)
_LONGEST = 80  # characters of a value
_INVALID = 422


class Refused(Failure):
    """An upgrade that the API server refused for reasons that a flag of devtools can overcome."""

    def __init__(
        self,
        release: Release,
        found: Sequence[Refusal],
        changed: Mapping[ObjectRef, Mapping[str, str]],
        strays: Sequence[Stray] = (),
        secret: Shapes = (),
    ) -> None:
        """`changed` comes from `fields_changed`; `strays` are items that replaced declared ones."""
        found = (*found, *(refusal for stray in strays for refusal in stray.refusals()))
        named = [replace(item, fields=tuple(changed.get(item.ref) or item.fields)) for item in found]
        field_lines = [f"{ref} {path}: {what}" for ref, fields in changed.items() for path, what in fields.items()]
        super().__init__(str(named[0]), hint=_hint(release, found), details=(*map(str, named[1:]), *field_lines))
        self.immutable = immutable(found)
        self.strays = tuple(strays)
        self.secret = secret
        self._why = {item.why for item in found}

    def is_cured(self, *, recreating: bool, taking: bool) -> bool:
        """Return whether the user's overrides resolve all refusals (Helm itself resolves conflicts)."""
        able = {"immutable"} if recreating and not any(ref.kind in HOLD_DATA for ref in self.immutable) else set()
        return self._why <= able | ({"replaced"} if taking else set())


def immutable(found: Sequence[Refusal]) -> tuple[ObjectRef, ...]:
    """Return the objects with a change to immutable fields."""
    return tuple(item.ref for item in found if item.why == "immutable")


def _hint(release: Release, found: Sequence[Refusal]) -> str:
    """Return the command that continues, or why there is none."""
    if protected := [str(item.ref) for item in found if item.why == "immutable" and item.ref.kind in HOLD_DATA]:
        return f"{protected[0]} is not recreated: its data would be lost; undo the change, or delete it yourself"
    flags = [] if all(item.why == "immutable" for item in found) else [f"--take-ownership {release.id}"]
    flags += [f"--recreate {release.id}"] if any(item.why == "immutable" for item in found) else []
    return f"invoke layer {release.layer} {' '.join(flags)}"


def fields_changed(
    kube: Kube, release: ReleaseId, found: Iterable[Refusal], secret: Shapes
) -> dict[ObjectRef, dict[str, str]]:
    """Return the immutable fields that a refused revision would have changed, `.spec.serviceName` to `"a" → "b"`.

    They come from the records of that revision and of the last working one before it; empty if either is not available.
    `secret` are the keys of values that are secret by their origin.
    """
    before, after = last_two(kube, release)
    if before is None or after is None:
        return {}
    redactor = _redactor(secret, before, after)
    return {item.ref: _fields(item, before, after, redactor) for item in found if item.why == "immutable"}


def _fields(refusal: Refusal, before: Applied, after: Applied, redactor: Redactor) -> dict[str, str]:
    """Return the immutable fields of one object that changed."""
    ref = refusal.ref
    old, new = object_of(before, ref), object_of(after, ref)
    found = {}
    for change in changes(old, new, "") if old and new else ():
        free = ref.kind == "StatefulSet" and change.steps[1:2] and change.steps[1] in _MUTABLE
        if free or not any(change.path.startswith(field) or field.startswith(change.path) for field in refusal.fields):
            continue
        values = [HIDDEN, HIDDEN] if is_hidden(ref.kind, change) else [change.live, change.declared]
        was, becomes = (_short(redactor.hide(value)) for value in values)
        found[change.path] = f"{was} → {becomes}"
    return found


def _redactor(secret: Shapes, *revisions: Applied) -> Redactor:
    """Return a redactor for the secrets in these revisions, by key or by origin."""
    redactor = Redactor()
    for one in revisions:
        redactor.learn(one.values, *one.objects, *(marked_at(one.values, shape) for shape in secret))
    return redactor


def _short(value: Any) -> str:
    text = "nothing" if value is ABSENT else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def refused(kube: Kube, release: Release, reason: str, secret: Shapes) -> Refused | None:
    """Return the refusal in the output of a helm upgrade; None if it failed for other reasons."""
    found, strays = refusals(reason), strays_of(kube, release.id, invalid(reason))
    if not (found or strays):
        return None
    return Refused(release, found, fields_changed(kube, release.id, found, secret), strays, secret)


def overcome(kube: Kube, step: Step, wait: Wait, say: Callable[[str], None], error: Refused) -> None:
    """Remove the refused objects and items, as far as the step allows; raise `error` if it does not."""
    if not error.is_cured(recreating=step.recreate, taking=step.take):
        raise error
    _rehearse(kube, step.release.id, error.immutable, error.secret)
    recreate(kube, error.immutable, wait, say)
    for stray in error.strays:
        take_over(kube, stray, say)


def _rehearse(kube: Kube, release: ReleaseId, refs: Iterable[ObjectRef], secret: Shapes) -> None:
    """Validate the new workloads under other names, by a dry run, before the old ones are deleted.

    An object with a change to an immutable field may be invalid in other ways, too. Raises Failure if the API server
    calls a new one invalid. Objects of other kinds may hold something unique, such as a cluster IP.
    """
    _, after = last_two(kube, release)
    for ref in refs:
        item = object_of(after, ref) if after else None
        other = replace(ref, name=f"{ref.name[:40]}-{uuid4().hex[:8]}")
        path = kube.path_of(other)
        if not after or not item or not path or not (is_workload(item) or ref.kind == "Job"):
            continue
        metadata = {**item["metadata"], "name": other.name, "namespace": ref.namespace}
        try:
            kube.rehearse(path, {**item, "metadata": metadata}, "helm")
        except ApiError as error:
            if error.status == _INVALID:
                reason = _redactor(secret, after).text(without_values(error.text.replace(other.name, ref.name)))
                raise Failure(f"{ref} was not deleted, because the new one would be refused, too: {reason}") from error


def recreate(kube: Kube, refs: Iterable[ObjectRef], wait: Wait, say: Callable[[str], None]) -> None:
    """Delete these objects, pods included, and wait until they are gone; volume claims stay. `say` reports each.

    Raises LateFailure if time runs out; ApiError if the API server refuses.
    """
    for ref in refs:
        path = kube.path_of(ref)
        live = kube.get(path) if path else None
        if path is None or live is None:
            continue
        protected = _keep_claims(kube, path, live, wait) if ref.kind == "StatefulSet" else ""
        kube.delete(path)
        polling = wait.polling()
        while (kube.get(path) or {"metadata": {}})["metadata"].get("uid") == live["metadata"]["uid"]:
            polling.pause([f"{ref} to be deleted"])
        say(f"{ref} in {ref.namespace or 'the cluster'} was deleted and will be recreated{protected}")


def _keep_claims(kube: Kube, path: str, live: dict[str, Any], wait: Wait) -> str:
    """Release the volume claims that would be deleted with a StatefulSet; return the message about claims."""
    if not live["spec"].get("volumeClaimTemplates"):
        return ""
    policy = live["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    if policy.get("whenDeleted") == "Delete":
        kube.merge(path, {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}})
        claims = f"/api/v1/namespaces/{live['metadata']['namespace']}/persistentvolumeclaims"
        uid = live["metadata"]["uid"]
        polling = wait.polling()
        while any(owner["uid"] == uid for item in kube.metadata(claims) for owner in item.get("ownerReferences") or ()):
            polling.pause([f"StatefulSet/{live['metadata']['name']} to let go of its volume claims"])
    return "; its volume claims are kept"
