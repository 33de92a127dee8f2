"""Predicts a plan's changes on the cluster, object by object and field by field.

Each object that helm renders is applied in a dry run, as Helm would apply it: the API server's answer is the future
object. Nothing is written, no resourceVersion changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from devtools.config.values import secret_shapes
from devtools.diff.difference import Change, changes
from devtools.diff.effects import CRD, pods_of
from devtools.drift.changes import (
    ObjectChange,
    PlannedField,
    ReleaseChange,
    Subject,
    added,
    changed,
    covers,
    crd_notes,
    differences,
    foreign,
    forgotten,
    other_owner,
    planned_field,
    removed_objects,
    same_object,
    varying_fields,
    without_crds,
)
from devtools.drift.objects import PARALLEL, Item, LiveObjects, unplaced
from devtools.helm.labels import LABEL_STACK
from devtools.helm.rejections import immutable_fields, without_values
from devtools.helm.revision import MANAGER, declared
from devtools.kube.api_errors import FORBIDDEN, NOT_FOUND
from devtools.kube.client import ApiError, Kube
from devtools.model import SYNCED, Action, ObjectRef, Plan, ReleaseId, Step
from devtools.process.runner import Cancel
from devtools.redaction import Redactor
from devtools.redaction.origin import marked_at
from devtools.releases.recovery import Revision, basis
from devtools.rendering.renderer import Hook, Rendered
from devtools.rendering.steps import Renderings, StepRendering, Values

_OURS = "devtools"  # the field manager of objects in `crds/`
_NO_DRY_RUN = "does not support dry run"


def predict(
    kube: Kube | None, plan: Plan, renderings: Renderings, values: Values, cancel: Cancel
) -> list[ReleaseChange]:
    """Predict every step that changes something, in the plan's order; without a cluster everything is added.

    Raises EnvironmentFault if the API server does not answer, Interrupted on cancel.
    """
    steps = [step for step in plan.steps if step.action in {*SYNCED, Action.UNINSTALL} and not step.sweep]
    if kube is None:
        return [_on_empty(step, renderings[step.id], values) for step in steps]
    coming = frozenset(name for one in renderings.values() for name in one.kinds())
    return _Prediction(kube, cancel, plan.stack.name, coming).of(steps, renderings, values)


class _Prediction(LiveObjects):
    def __init__(self, kube: Kube, cancel: Cancel, stack: str, coming: frozenset[str]) -> None:
        super().__init__(kube, cancel)
        self._stack, self._coming = stack, coming

    def of(self, steps: Sequence[Step], renderings: Renderings, values: Values) -> list[ReleaseChange]:
        known = self.revisions({step.release.namespace for step in steps})
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="predict") as pool:
            namespaces = self._missing_namespaces(pool, steps)

            def read(step: Step) -> Subject:
                rendering = renderings.get(step.id, StepRendering())
                return self._subject(step, rendering, values.get(step.id) or {}, basis(known.get(step.id, ())))

            subjects = [found for _, found in self.each(pool, read, steps)]
            live = self.live(pool, [item for one in subjects for item in (*one.new, *one.crds, *one.old)])
            work = [(one, item, _OURS) for one in subjects for item in one.crds]
            work += [(one, item, MANAGER) for one in subjects for item in one.new]

            def change(inputs: tuple[Subject, Item, str]) -> ObjectChange | None:
                one, item, manager = inputs
                return self._change(one, item, live.get(item.ref), manager)

            found = {(one.step.id, item.ref): made for (one, item, _), made in self.each(pool, change, work)}
        return [self._release(one, found, live, namespaces) for one in subjects]

    def _missing_namespaces(self, pool: ThreadPoolExecutor, steps: Sequence[Step]) -> dict[str, ReleaseId]:
        """Return the namespaces that will be created, each with its first release."""
        first: dict[str, ReleaseId] = {}
        for step in steps:
            if step.action in SYNCED and step.release.create_namespace:
                first.setdefault(step.release.namespace, step.id)

        def is_missing(name: str) -> bool:
            try:
                return self._kube.get(f"/api/v1/namespaces/{name}") is None
            except ApiError as error:
                if error.status != FORBIDDEN:
                    raise
                return False  # a user who may not read namespaces uses an existing one

        return {name: first[name] for name, missing in self.each(pool, is_missing, list(first)) if missing}

    def _subject(
        self, step: Step, rendering: StepRendering, values: Mapping[str, Any], revision: Revision | None
    ) -> Subject:
        """Read the declared objects, and those of the last deployed revision."""
        stored = self.readable(step.id, revision)
        redactor = Redactor()
        redactor.learn(values, *without_crds(rendering.rendered.objects if rendering.rendered else ()))
        if stored:
            redactor.learn(stored.values, *without_crds(stored.objects))
            redactor.learn(*(marked_at(stored.values, shape) for shape in secret_shapes(step.release, values)))
        new = self._declared(step.id, rendering.rendered, values, redactor)
        again = self._declared(step.id, rendering.again, values, redactor)
        crds = [{**item.data, "metadata": self._crd_metadata(item.data, is_crd=item.is_crd)} for item in rendering.crds]
        old = self.items(step.id, (*stored.objects, *stored.repeated), redactor) if stored else []
        return Subject(
            step=step,
            rendering=rendering,
            redactor=redactor,
            new=tuple(new),
            crds=tuple(self.items(step.id, crds, redactor)),
            old=tuple(old),
            varying=varying_fields(new, again) if rendering.again else {},
            client_side=stored is not None and stored.client_side,
        )

    def _declared(
        self, release: ReleaseId, rendered: Rendered | None, values: Mapping[str, Any], redactor: Redactor
    ) -> list[Item]:
        found = declared(rendered.objects if rendered else (), release, values)
        return self.items(release, (*found.objects, *found.repeated), redactor)

    def _crd_metadata(self, item: Mapping[str, Any], *, is_crd: bool) -> dict[str, Any]:
        metadata = {key: value for key, value in item["metadata"].items() if key != "creationTimestamp"}
        labels = {**(metadata.get("labels") or {}), **({LABEL_STACK: self._stack} if is_crd else {})}
        return {**metadata, "labels": labels} if labels else metadata

    def _change(self, one: Subject, item: Item, live: dict[str, Any] | None, manager: str) -> ObjectChange | None:
        """Predict the change of one declared object; None if there is none."""
        if not item.path:
            comes = f"{item.ref.api_version}/{item.ref.kind}" in self._coming
            never = "the cluster does not serve this kind, and no step of this plan installs its CRD"
            return added(item, "its CRD comes with this plan" if comes else never)
        is_ours = manager == _OURS
        if live is not None and not is_ours and (reason := foreign(one, item, live)):
            return ObjectChange(ref=item.ref, does="refuse", reason=reason)
        body = {key: value for key, value in item.body.items() if key != "status"} if is_ours else item.body
        try:
            desired = self._kube.rehearse(item.path, body, manager)
        except ApiError as error:
            return self._refused(one, item, live, error)
        if live is None:
            return added(item)
        if one.step.action is Action.INSTALL and not is_ours and same_object(one.old, item.ref):
            pods = pods_of(item.ref.kind, desired)
            return ObjectChange(ref=item.ref, does="replace", reason="its release is reinstalled", restarts=pods)
        found = differences(item.ref, live, desired, manager)
        found = (*found, *forgotten(one, item, live, found))
        fields = (_field(one, item, change, owns_all=is_ours or one.step.take) for change in found)
        return changed(item, fields, live, desired) if found else None

    def _refused(
        self, one: Subject, item: Item, live: Mapping[str, Any] | None, error: ApiError
    ) -> ObjectChange | None:
        """Return a change that the API server would refuse, with the fields whose declaration changed."""
        if error.status == NOT_FOUND and live is None:
            return added(item)  # its namespace is created before
        if error.status == FORBIDDEN and "cannot patch resource" in error.text:
            hint = "plan --diff uses dry-run applies: this user needs permission to patch these objects"
            raise error.changed(hint=hint)
        old = same_object(one.old, item.ref)
        found = changes(old.body, item.body, "") if old else ()
        fields = tuple(planned_field(item, change) for change in found)
        reason = item.redactor.text(without_values(error.text))
        if _NO_DRY_RUN in error.text:
            if live is None:
                return added(item, reason)
            return ObjectChange(ref=item.ref, does="change", fields=fields, reason=reason) if fields else None
        immutable = immutable_fields(error.text)
        if immutable is None:
            notes = tuple(crd_notes(live, item.body)) if live and item.ref.kind == CRD else ()
            return ObjectChange(ref=item.ref, does="refuse", fields=fields, reason=reason, notes=notes)
        what = f"{', '.join(immutable) or 'a field'} cannot be changed"
        if one.step.recreate:
            pods = pods_of(item.ref.kind, item.body)
            return ObjectChange(ref=item.ref, does="replace", fields=fields, reason=what, restarts=pods)
        hint = f"{what}: invoke layer {one.step.release.layer} --recreate {one.step.id}"
        return ObjectChange(ref=item.ref, does="refuse", fields=fields, reason=hint)

    def _release(
        self,
        one: Subject,
        found: Mapping[tuple[ReleaseId, ObjectRef], ObjectChange | None],
        live: Mapping[ObjectRef, Mapping[str, Any] | None],
        namespaces: Mapping[str, ReleaseId],
    ) -> ReleaseChange:
        """Combine the changes of one release."""
        step, release = one.step, one.step.release
        if one.rendering.failure:
            return ReleaseChange(step=step, problem=one.redactor.text(one.rendering.failure.message))
        objects = [change for item in (*one.crds, *one.new) if (change := found[step.id, item.ref])]
        if namespaces.get(release.namespace) == step.id:
            ref = ObjectRef("v1", "Namespace", "", release.namespace)
            objects = [item for item in objects if item.ref != ref]
            objects.insert(0, ObjectChange(ref=ref, does="add"))
        objects += removed_objects(one, live)
        blind = ("its templates read the cluster, which this plan will change: lookup found nothing",)
        hooks, notes = _hooks(one.rendering, step), blind if one.rendering.blind else ()
        return ReleaseChange(step=step, objects=tuple(objects), hooks=hooks, notes=notes)


def _field(one: Subject, item: Item, change: Change, *, owns_all: bool) -> PlannedField:
    """Return a field, with whether it varies, and with its other manager unless helm takes over every field."""
    varies = any(covers(steps, change.steps) for steps in one.varying.get(item.ref, ()))
    return replace(planned_field(item, change), varies=varies, owner="" if owns_all else other_owner(change))


def _hooks(rendering: StepRendering, step: Step) -> tuple[Hook, ...]:
    hooks = rendering.rendered.hooks if rendering.rendered else ()
    return tuple(hook for hook in hooks if any(event.endswith(f"-{step.action.value}") for event in hook.events))


def _on_empty(step: Step, rendering: StepRendering, values: Values) -> ReleaseChange:
    """Predict a step on a cluster that does not exist yet."""
    if rendering.failure or rendering.rendered is None:
        return ReleaseChange(step=step, problem=rendering.failure.message if rendering.failure else "")
    redactor = Redactor()
    redactor.learn(values.get(step.id) or {})
    bodies = [*(item.data for item in rendering.crds), *declared(rendering.rendered.objects, step.id, {}).objects]
    objects = tuple(map(added, unplaced(step.id, bodies, redactor)))
    return ReleaseChange(step=step, objects=objects, hooks=_hooks(rendering, step))
