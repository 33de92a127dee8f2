"""Compares live objects with the manifest of each release's Helm record.

A dry-run apply on the API server (as Helm, taking over fields of others) shows what the declared object would change,
so the server's defaults, quantities and undeclared fields are never differences.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from devtools.base.words import plural
from devtools.config.values import secret_shapes
from devtools.diff.difference import Change, changes
from devtools.diff.replaced_items import replaced
from devtools.drift.changes import PlannedField, planned_field
from devtools.drift.ignored import is_ignored
from devtools.drift.objects import PARALLEL, Item, LiveObjects
from devtools.errors import DevtoolsError
from devtools.helm.revision import MANAGER
from devtools.kube.api_errors import FORBIDDEN, NOT_FOUND
from devtools.kube.client import ApiError, Kube
from devtools.model import ObjectRef, Release, ReleaseId
from devtools.process.runner import Cancel
from devtools.redaction import Redactor
from devtools.redaction.origin import marked_at
from devtools.releases.recovery import Revision, basis

_SCALERS = "/apis/autoscaling/v2/horizontalpodautoscalers"
_INVALID = 422
_AGAIN = 3  # times that an object is compared again because it changed meanwhile
_VALUE = re.compile(r"Invalid value: .*?(?=: [^:]*$)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDrift:
    """An object that differs from its declaration; `reason` says why it could not be compared field by field."""

    ref: ObjectRef
    state: Literal["changed", "missing", "refused"]
    fields: tuple[PlannedField, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDrift:
    """A release with the number of compared objects, and the revision that they were compared with, if any.

    `status` is Helm's, of the newest revision; `absent` if there is no record. `reason` says why an existing revision
    could not be used for comparison.
    """

    release: Release
    status: str
    revision: int = 0
    basis: Revision | None = None
    objects: int = 0
    drifts: tuple[ObjectDrift, ...] = ()
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether it is deployed and unchanged since."""
        return self.status == "deployed" and self.basis is not None and not self.drifts


def find_drift(
    kube: Kube,
    releases: Sequence[Release],
    cancel: Cancel,
    say: Callable[[str], None],
    values: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[ReleaseDrift]:
    """Compare every object of these releases with the live one, in the order of the releases.

    If the newest revision is not deployed, the last deployed one is compared, else the newest (see `basis`). Deployed
    values at the keys that `values`, by release, mark are secret. Lists Helm's records once (their metadata), and each
    kind at most once.
    Raises EnvironmentFault if the API server does not answer or refuses, Interrupted on cancel.
    """
    return _Look(kube, cancel, releases, values or {}).drifts(say)


class _Look(LiveObjects):
    def __init__(
        self, kube: Kube, cancel: Cancel, releases: Sequence[Release], values: Mapping[str, Mapping[str, Any]]
    ) -> None:
        super().__init__(kube, cancel)
        self._releases = releases
        self._ignored = {release.id: release.ignore for release in releases}
        # The keys of values that are secret by their origin.
        self._secret = {release.id: secret_shapes(release, values.get(str(release.id))) for release in releases}

    def drifts(self, say: Callable[[str], None]) -> list[ReleaseDrift]:
        records = self.revisions({release.namespace for release in self._releases})
        known = [_known(release, records.get(release.id, ())) for release in self._releases]
        inputs = [(item.release.id, item.basis, records[item.release.id]) for item in known if item.basis]
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="drift") as pool:
            declared = {name: found for (name, *_), found in self.each(pool, self._declared, inputs)}
            items = {name: found for name, found in declared.items() if not isinstance(found, str)}
            every = _with_others([item for found in items.values() for item in found])
            say(f"comparing {plural(len(every), 'object')} of {plural(len(items), 'release')}")
            live = self.live(pool, every)
            drifts = {
                item.ref: drift
                for item, drift in self.each(pool, lambda item: self._compare(item, live.get(item.ref)), every)
                if drift is not None
            }
        return [_compared(item, declared.get(item.release.id, []), drifts) for item in known]

    def _declared(self, inputs: tuple[ReleaseId, Revision, Sequence[Revision]]) -> list[Item] | str:
        """Return the objects that a revision declares, or why they are unknown.

        Live objects may be of a later, failed revision, so its secrets are hidden, too.
        """
        release, against, every = inputs
        redactor = Redactor()
        bodies: list[Mapping[str, Any]] = []
        for revision in (against, *(one for one in every if one.number > against.number)):
            try:
                found = self.stored(release, revision)
            except DevtoolsError as error:
                return f"revision {revision.number}: {error.message}"
            if found:  # else it was removed just now
                redactor.learn(found.values, *found.objects)
                redactor.learn(*(marked_at(found.values, shape) for shape in self._secret[release]))
                bodies += [*found.objects, *found.repeated, *found.crds()] if revision is against else []
        return self.items(release, bodies, redactor)

    def _compare(self, item: Item, live: dict[str, Any] | None) -> ObjectDrift | None:
        """Return how one object differs from its declarations; None if it matches one of them.

        Helm applies all declarations of an object concurrently, so any of them may be the last.
        """
        drift = self._compare_with(item, live)
        others = item.others if drift and drift.state == "changed" else ()
        if any(self._compare_with(replace(item, body=body), live) is None for body in others):
            return None
        return drift

    def _compare_with(self, item: Item, live: dict[str, Any] | None) -> ObjectDrift | None:
        """Return how one object differs from one declaration; None if it does not."""
        if not item.path:
            return ObjectDrift(ref=item.ref, state="missing", reason="the API server does not serve this kind")
        found: Sequence[Change] = ()
        for _ in range(_AGAIN):
            if live is None:
                return ObjectDrift(ref=item.ref, state="missing")
            try:
                desired = self._kube.rehearse(item.path, item.body, MANAGER)
            except ApiError as error:
                return self._replaced(item, live, error) or self._refused(item, error)
            found = changes(live, desired, MANAGER)
            if not found or _version(live) == _version(desired):
                break
            live = self._kube.get(item.path)  # it changed in between
        return self._changed(item, found)

    def _changed(self, item: Item, found: Iterable[Change]) -> ObjectDrift | None:
        """Return the drift of these fields, except those that an autoscaler sets or the release ignores."""
        ref, ignored = item.ref, self._ignored[item.release]
        fields = tuple(
            planned_field(item, change)
            for change in found
            if not is_ignored(ignored, ref, item.body, change.steps)
            and not (change.steps == ("spec", "replicas") and (ref.namespace, ref.kind, ref.name) in self._scaled)
        )
        return ObjectDrift(ref=ref, state="changed", fields=fields) if fields else None

    def _replaced(self, item: Item, live: Mapping[str, Any], error: ApiError) -> ObjectDrift | None:
        """Return items that others put in place of declared ones, and other differences; None if there are none."""
        found = replaced(live, item.body, MANAGER) if error.status == _INVALID else None
        if found is None:
            return None
        try:
            desired = self._kube.rehearse(item.path, found.rest, MANAGER)
        except ApiError:
            return None  # it is refused for another reason, too
        return self._changed(item, (*changes(live, desired, MANAGER), *found.lost, *found.foreign))

    def _refused(self, item: Item, error: ApiError) -> ObjectDrift:
        """Return the drift of an object that can no longer be applied; raises the error if the user may not patch."""
        if error.status == NOT_FOUND:
            return ObjectDrift(ref=item.ref, state="missing", reason="its namespace is gone")
        if error.status == FORBIDDEN and "cannot patch resource" in error.text:
            hint = "drift uses dry-run applies: this user needs permission to patch the deployed objects"
            raise error.changed(hint=hint)
        reason = item.redactor.text(_VALUE.sub("Invalid value", error.text))
        return ObjectDrift(ref=item.ref, state="refused", reason=reason)

    @cached_property
    def _scaled(self) -> frozenset[tuple[str, str, str]]:
        """Return the objects that an autoscaler scales; looked up on first use, which is rare."""
        found = self._kube.items(_SCALERS)
        targets = ((item["metadata"].get("namespace", ""), item["spec"]["scaleTargetRef"]) for item in found)
        return frozenset((str(space), str(target.get("kind")), str(target.get("name"))) for space, target in targets)


def _with_others(items: Sequence[Item]) -> list[Item]:
    """Return the objects, each with its declarations in other releases: several charts may have the same CRD."""
    declared = defaultdict(list)
    for item in items:
        declared[item.ref].append(item.body)
    return [
        replace(item, others=(*item.others, *(body for body in declared[item.ref] if body is not item.body)))
        for item in items
    ]


def _known(release: Release, found: Sequence[Revision]) -> ReleaseDrift:
    if not found:
        return ReleaseDrift(release=release, status="absent")
    return ReleaseDrift(release=release, status=found[-1].status, revision=found[-1].number, basis=basis(found))


def _compared(item: ReleaseDrift, found: Sequence[Item] | str, drifts: Mapping[ObjectRef, ObjectDrift]) -> ReleaseDrift:
    if isinstance(found, str):
        return replace(item, basis=None, reason=found)
    return replace(item, objects=len(found), drifts=tuple(drifts[one.ref] for one in found if one.ref in drifts))


def _version(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("resourceVersion", ""))
