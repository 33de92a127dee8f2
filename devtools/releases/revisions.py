"""The last revisions of a release, as Helm recorded them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devtools.helm.applied import Applied, applied
from devtools.helm.ownership import revision_of
from devtools.kube.client import Kube
from devtools.model import ObjectRef, ReleaseId
from devtools.releases.facts import record_path, release_of
from devtools.releases.recovery import records


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Revision:
    """One revision and Helm's status of it."""

    number: int
    status: str


def revisions(records: Iterable[Mapping[str, Any]]) -> dict[ReleaseId, tuple[Revision, ...]]:
    """The revisions of each release, oldest first, from the metadata of records."""
    found: dict[ReleaseId, list[Revision]] = defaultdict(list)
    for record in records:
        status = str((record.get("labels") or {}).get("status", "unknown"))
        found[release_of(record)].append(Revision(number=revision_of(record), status=status))
    return {release: tuple(sorted(items)) for release, items in found.items()}


def basis(found: Sequence[Revision]) -> Revision | None:
    """Of a release's revisions, oldest first, the one that says what should be there; None where nothing should.

    The last that is deployed, else the last of all: what Helm itself lets an upgrade start from (`prepareUpgrade` in
    its `pkg/action/upgrade.go`). A release that was uninstalled with its history kept should not be there at all.
    """
    if not found or found[-1].status == "uninstalled":
        return None
    return next((one for one in reversed(found) if one.status == "deployed"), found[-1])


def last_two(kube: Kube, release: ReleaseId) -> tuple[Applied | None, Applied | None]:
    """What worked last, and what came after it."""
    found = {revision_of(item): item["labels"]["status"] for item in records(kube, release)}
    newest = max(found)
    worked = max((number for number, status in found.items() if status in {"deployed", "superseded"}), default=newest)
    secrets = [kube.get(record_path(release, number)) for number in (worked, newest)]
    before, after = (applied(secret, release) if secret else None for secret in secrets)
    return before, after


def object_of(revision: Applied, ref: ObjectRef) -> dict[str, Any] | None:
    """The object of a revision by kind and name; the namespace need not be in the manifest."""
    for item in revision.objects:
        where = item["metadata"].get("namespace") or ref.namespace
        if (item["kind"], item["metadata"]["name"], where) == (ref.kind, ref.name, ref.namespace):
            return item
    return None
