"""The last revisions of a release, as Helm recorded them."""

from __future__ import annotations

from typing import Any

from devtools.clients.kube import Kube
from devtools.run.facts import record_path, revision_of
from devtools.run.recovery import records
from devtools.stack.model import ObjectRef, ReleaseId
from devtools.tools.helm_applied import Applied, applied


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
