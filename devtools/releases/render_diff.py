"""Notices that a release rendered differently from the same inputs."""

from __future__ import annotations

from devtools.base.words import shortened
from devtools.diff.difference import changes
from devtools.helm.labels import LABEL_DIGEST
from devtools.helm.ownership import revision_of
from devtools.helm.revision import applied
from devtools.kube.client import Kube
from devtools.model import ReleaseId
from devtools.releases.facts import record_path
from devtools.releases.recovery import records


def rerendered(kube: Kube, release: ReleaseId, revision: int) -> str:
    """Return the fields in which a revision differs from the previous one with the same inputs' digest; empty if none.

    It takes one list of metadata if the inputs changed, two more requests if they did not. Values are never shown.
    """
    found = {revision_of(item): item["labels"] for item in records(kube, release)}
    digest = found.get(revision, {}).get(LABEL_DIGEST, "")
    same = [number for number, labels in found.items() if number < revision and labels.get(LABEL_DIGEST) == digest]
    if not digest or not same:
        return ""
    before, after = (kube.get(record_path(release, number)) for number in (max(same), revision))
    if before is None or after is None:
        return ""
    old, new = (
        {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item for item in revised.objects}
        for revised in (applied(before, release), applied(after, release))
    )
    differing = [f"{kind}/{name}" for kind, _, name in sorted({*old} ^ {*new}, key=str)]
    differing += [
        f"{key[0]}/{key[2]} {change.path}" for key in new if key in old for change in changes(old[key], new[key], "")
    ]
    return shortened(differing)
