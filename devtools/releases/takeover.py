"""Finds items that other managers set instead of declared ones, if the API server refuses both, and takes them over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devtools.diff.difference import Change
from devtools.diff.managed_fields import handed_over
from devtools.diff.replaced_items import replaced
from devtools.errors import DevtoolsError
from devtools.helm.ownership import revision_of
from devtools.helm.record import KEEP, read_record
from devtools.helm.rejections import Refusal
from devtools.helm.revision import MANAGER
from devtools.kube.api_errors import CONFLICT
from devtools.kube.client import ApiError, Kube
from devtools.model import ObjectRef, ReleaseId
from devtools.readiness.wait import Failure
from devtools.releases.facts import record_path
from devtools.releases.recovery import last_two, object_of

HOLD_DATA = frozenset({"PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition"})
_AGAIN = 3  # times that an object may change meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """An object with items of other managers; their values must not be shown."""

    ref: ObjectRef
    path: str
    found: tuple[Change, ...]

    def refusals(self) -> list[Refusal]:
        """Return a message about it for each field manager."""
        managers = list(dict.fromkeys(change.manager for change in self.found))
        return [
            Refusal(
                why="replaced",
                ref=self.ref,
                fields=tuple(change.path for change in self.found if change.manager == manager),
                holder=manager or "somebody",
            )
            for manager in managers
        ]


def strays_of(kube: Kube, release: ReleaseId, refs: Iterable[ObjectRef]) -> tuple[Stray, ...]:
    """Return the refused objects in which other managers replaced items that the newest revision declares."""
    refs = tuple(refs)
    _, newest = last_two(kube, release) if refs else (None, None)
    strays = []
    for ref in refs:
        path, declared = kube.path_of(ref), object_of(newest, ref) if newest else None
        live = kube.get(path) if path and declared else None
        found = replaced(live, declared, MANAGER) if live and declared else None
        if path and live and found and handed_over(live, [change.steps for change in found.foreign], MANAGER):
            strays.append(Stray(ref=ref, path=path, found=found.foreign))
    return tuple(strays)


def take_over(kube: Kube, stray: Stray, say: Callable[[str], None]) -> None:
    """Make Helm the manager of these items, so that its next apply removes them; `say` reports it.

    Raises ApiError if the API server refuses, or if the object keeps changing.
    """
    for attempt in range(1, _AGAIN + 1):
        live = kube.get(stray.path)
        managers = handed_over(live, [change.steps for change in stray.found], MANAGER) if live else []
        if live is None or not managers:
            return
        metadata = {"managedFields": managers, "resourceVersion": live["metadata"]["resourceVersion"]}
        try:
            kube.merge(stray.path, {"metadata": metadata})
        except ApiError as error:
            if error.status != CONFLICT or attempt == _AGAIN:
                raise
            continue
        say("; ".join(f"{refusal}: removed" for refusal in stray.refusals()))
        return


def keep_data(kube: Kube, release: ReleaseId, known: Sequence[Mapping[str, Any]]) -> None:
    """Annotate objects with data in any revision, so that no upgrade deletes them (`helm.sh/resource-policy`).

    Raises Failure if a record cannot be read, because it is then unknown what an upgrade would delete.
    """
    for record in sorted(known, key=revision_of):
        secret = kube.get(record_path(release, revision_of(record)))
        if secret is None:
            continue
        try:
            objects = read_record(secret).objects()
        except DevtoolsError as error:
            raise Failure(f"{release} cannot be adopted safely: {error.message}", hint=error.hint) from error
        for ref in objects:
            path = kube.path_of(ref) if ref.kind in HOLD_DATA else None
            if path and kube.get(path):
                kube.merge(path, {"metadata": {"annotations": {KEEP: "keep"}}})
