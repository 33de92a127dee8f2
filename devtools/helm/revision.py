"""Reads from Helm's record which objects it applied for a release."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from devtools.helm.commands import documents
from devtools.helm.record import read_record
from devtools.model import ReleaseId

MANAGER = "helm"  # the field manager: the name of the program
_OWNED = {"app.kubernetes.io/managed-by": "Helm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A revision; both parts hold secrets, so they stay in memory."""

    objects: tuple[dict[str, Any], ...]  # as Helm applied them, without hooks
    repeated: tuple[dict[str, Any], ...]  # declared before another one of `objects` with the same name
    values: Mapping[str, Any]  # the user's values
    client_side: bool = False  # applied by patches that the client computed, as Helm 3 does
    files: Sequence[Mapping[str, Any]] = ()  # of the chart, without templates and subcharts

    def crds(self) -> Iterator[dict[str, Any]]:
        """Yield the CRDs of the chart's own `crds/`, without the fields that only the API server may set.

        Raises DevtoolsError if a file is not YAML.
        """
        for file in self.files:
            if str(file["name"]).startswith("crds/"):
                for item in documents(base64.b64decode(file["data"]).decode()):
                    if item["kind"] == "CustomResourceDefinition":
                        metadata = {key: one for key, one in item["metadata"].items() if key != "creationTimestamp"}
                        yield {key: one for key, one in item.items() if key != "status"} | {"metadata": metadata}


def applied(secret: Mapping[str, Any], release: ReleaseId) -> Applied:
    """Return the revision in a record Secret; raise DevtoolsError if it cannot be read.

    Helm adds a label and two annotations to every object that it applies and stores the manifest without them: they
    are added here, too, because an apply without them would remove them.
    """
    record = read_record(secret)
    values = record.document.get("config")
    found = declared(record.items(), release, values if isinstance(values, Mapping) else {})
    files = (record.document.get("chart") or {}).get("files") or ()
    return replace(found, client_side=record.document.get("apply_method") in {None, "", "csa"}, files=files)


def declared(items: Iterable[Mapping[str, Any]], release: ReleaseId, values: Mapping[str, Any]) -> Applied:
    """Return the objects of a rendered manifest as Helm applies them for a release, without nameless objects."""
    named = [item for item in items if (item.get("metadata") or {}).get("name")]
    found = {_key(item): item for item in named}
    return Applied(
        objects=tuple(_as_applied(item, release) for item in found.values()),
        repeated=tuple(_as_applied(item, release) for item in named if found[_key(item)] is not item),
        values=values,
    )


def _key(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return an object's key. If a manifest declares one twice, Helm applies both at once, in either order."""
    metadata = item["metadata"]
    return str(item.get("apiVersion")), str(item["kind"]), str(metadata.get("namespace", "")), str(metadata["name"])


def _as_applied(item: Mapping[str, Any], release: ReleaseId) -> dict[str, Any]:
    """Return an object of the manifest with the label and annotations of its release."""
    metadata = dict(item["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), **_OWNED}
    marks = {"meta.helm.sh/release-name": release.name, "meta.helm.sh/release-namespace": release.namespace}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    return {**item, "metadata": metadata}
