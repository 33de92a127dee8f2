"""Predicts a GitOps controller's changes on a cluster by dry-run applies as its field manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

from devtools.drift.changes import (
    ObjectChange,
    ReleaseChange,
    added,
    changed,
    differences,
    gone,
    other_owner,
    planned_field,
    same_object,
    without_crds,
)
from devtools.drift.ignored import is_ignored
from devtools.drift.objects import PARALLEL, Item, LiveObjects
from devtools.helm.rejections import without_values
from devtools.helm.revision import declared
from devtools.kube.api_errors import FORBIDDEN, NOT_FOUND
from devtools.kube.client import ApiError, Kube
from devtools.model import Action, Ignore, Step
from devtools.process.runner import Cancel
from devtools.redaction import Redactor
from devtools.releases.recovery import Revision, basis
from devtools.rendering.steps import Renderings, StepRendering, Values

Controller = Literal["argocd", "flux"]
MANAGERS: Mapping[Controller, str] = {"argocd": "argocd-controller", "flux": "helm-controller"}
NAMES: Mapping[Controller, str] = {"argocd": "Argo CD", "flux": "Flux"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """A controller's effect on one release; `revision` is that of Helm's record, if there is one."""

    change: ReleaseChange
    revision: Revision | None = None
    found: int = 0  # existing objects

    @property
    def conflicts(self) -> tuple[tuple[str, str, str], ...]:
        """The fields that would be taken from other managers: object, field, field manager."""
        return tuple(
            (f"{item.ref.kind}/{item.ref.name}", field.change.path, field.owner)
            for item in self.change.objects
            for field in item.fields
            if field.owner
        )


def take_over(
    kube: Kube, steps: Sequence[Step], renderings: Renderings, values: Values, controller: Controller, cancel: Cancel
) -> list[Takeover]:
    """Return a controller's effect on each release; writes nothing."""
    return _Look(kube, cancel, controller).of(steps, renderings, values)


class _Look(LiveObjects):
    def __init__(self, kube: Kube, cancel: Cancel, controller: Controller) -> None:
        super().__init__(kube, cancel)
        self._controller: Controller = controller
        self._manager = MANAGERS[controller]

    def of(self, steps: Sequence[Step], renderings: Renderings, values: Values) -> list[Takeover]:
        known = self.revisions({step.release.namespace for step in steps})
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="takeover") as pool:

            def look(step: Step) -> Takeover:
                revision = basis(known.get(step.id, ()))
                return self._release(step, renderings[step.id], values[step.id], revision)

            return [found for _, found in self.each(pool, look, steps)]

    def _release(
        self, step: Step, rendering: StepRendering, values: Mapping[str, Any], revision: Revision | None
    ) -> Takeover:
        redactor = Redactor()
        rendered = rendering.rendered.objects if rendering.rendered else ()
        stored = self.readable(step.id, revision)
        redactor.learn(values, *without_crds(rendered))
        if rendering.failure:
            problem = redactor.text(rendering.failure.message)
            return Takeover(change=ReleaseChange(step=step, problem=problem), revision=revision)
        named = [item for item in rendered if (item.get("metadata") or {}).get("name")]
        bodies = declared(rendered, step.id, {}).objects if self._controller == "flux" else named
        new = self.items(step.id, [*(item.data for item in rendering.crds), *bodies], redactor)
        live = {item.ref: self._kube.get(item.path) for item in new if item.path}
        ignored = step.release.ignore
        objects = [change for item in new if (change := self._change(item, live.get(item.ref), ignored))]
        before = self.items(step.id, stored.objects if stored else (), redactor)
        old = [item for item in before if not same_object(new, item.ref)]
        objects += [self._undeclared(item) for item in old if item.path and self._kube.get(item.path) is not None]
        there = sum(item is not None for item in live.values())
        return Takeover(change=ReleaseChange(step=step, objects=tuple(objects)), revision=revision, found=there)

    def _change(self, item: Item, live: Mapping[str, Any] | None, ignored: Sequence[Ignore]) -> ObjectChange | None:
        if not item.path:
            return added(item, "the cluster does not serve this kind yet")
        if live is None:
            return added(item)
        body = {key: value for key, value in item.body.items() if key != "status"}
        try:
            desired = self._kube.rehearse(item.path, body, self._manager)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return added(item)
            if error.status == FORBIDDEN and "cannot patch resource" in error.text:
                hint = "dry runs of an apply need the right to patch what would be deployed"
                raise error.changed(hint=hint) from error
            return ObjectChange(ref=item.ref, does="refuse", reason=item.redactor.text(without_values(error.text)))
        every = differences(item.ref, live, desired, self._manager)
        found = [change for change in every if not is_ignored(ignored, item.ref, item.body, change.steps)]
        fields = (replace(planned_field(item, one), owner=other_owner(one, self._manager)) for one in found)
        return changed(item, fields, live, desired) if found else None

    def _undeclared(self, item: Item) -> ObjectChange:
        """Return the change of an object that is in Helm's record and no longer in the chart."""
        if self._controller == "flux":
            return gone(item.ref)
        return ObjectChange(ref=item.ref, does="keep", reason="only Helm's record has it: Argo CD does not prune it")


def action_of(takeover: Takeover) -> Action:
    """Return whether a release is new, changed or unchanged."""
    if not takeover.found and not takeover.revision:
        return Action.INSTALL
    return Action.UPGRADE if takeover.change.objects or takeover.change.problem else Action.UNCHANGED
