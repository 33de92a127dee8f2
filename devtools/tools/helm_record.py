"""Helm's own record of a release: what is in it, and how to make an uninstall spare the release's CRDs.

An uninstall takes what the stored manifest says, and keeps only what carries `helm.sh/resource-policy: keep` there: an
annotation of the object on the cluster is not looked at (`filterManifestsToKeep` in Helm's `pkg/action`). So that is
where it is put. Format: the Secret's `release` is base64 of gzip of JSON (`encodeRelease` in `pkg/storage/driver`).
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.errors import DevtoolsError
from devtools.stack.model import ObjectRef
from devtools.tools.helm import documents, parse_manifest

KEEP = "helm.sh/resource-policy"
_CRD = "CustomResourceDefinition"
_SEPARATOR = re.compile(r"(?:^|\s*\n)---\s*")  # Helm's own, in pkg/release/v1/util
_TEST = frozenset({"test", "test-success"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One revision as Helm stored it."""

    namespace: str
    document: Mapping[str, Any]

    @property
    def manifest(self) -> str:
        """The rendered objects without hooks."""
        return str(self.document.get("manifest") or "")

    def objects(self) -> tuple[ObjectRef, ...]:
        """What the manifest holds; namespaced or not is the API server's to say."""
        return parse_manifest(self.manifest, self.namespace)

    def crds(self) -> tuple[str, ...]:
        """The names of the CRDs in the manifest."""
        return tuple(ref.name for ref in self.objects() if ref.kind == _CRD) if _CRD in self.manifest else ()

    def tests(self) -> tuple[ObjectRef, ...]:
        """The objects of its test hooks, which an uninstall leaves behind."""
        hooks = [hook for hook in self.document.get("hooks") or () if not _TEST.isdisjoint(hook.get("events") or ())]
        return tuple(
            ObjectRef(item["apiVersion"], item["kind"], metadata.get("namespace") or self.namespace, metadata["name"])
            for hook in hooks
            for item in documents(str(hook.get("manifest") or ""))
            if (metadata := item["metadata"])
        )

    def sparing_crds(self) -> Stored:
        """The same with every CRD marked as one to keep; what is no CRD stays as it is, byte for byte."""
        parts = [part for text in _SEPARATOR.split(self.manifest) if text.strip() for part in _spared(text)]
        manifest = "".join(f"---\n{part.rstrip()}\n" for part in parts)
        return Stored(namespace=self.namespace, document={**self.document, "manifest": manifest})

    def encoded(self) -> str:
        """As the Secret's `data.release`."""
        packed = gzip.compress(json.dumps(self.document).encode(), mtime=0)
        return base64.b64encode(base64.b64encode(packed)).decode()


def read_record(secret: Mapping[str, Any]) -> Stored:
    """The revision in a Secret of Helm's; raises DevtoolsError where it is not what Helm writes."""
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        document = json.loads(gzip.decompress(packed))
        return Stored(namespace=str(secret["metadata"]["namespace"]), document={**document})
    except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
        raise DevtoolsError("its Helm record cannot be read", hint="is it of another version of Helm?") from error


def _spared(text: str) -> Iterator[str]:
    """One document of a manifest: itself, or, where there are CRDs in it, its objects with the CRDs marked."""
    found = list(documents(text)) if _CRD in text else []
    if not any(item["kind"] == _CRD for item in found):
        yield text
        return
    for item in found:
        metadata = item["metadata"]
        if item["kind"] == _CRD:
            metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), KEEP: "keep"}}
        yield json.dumps({**item, "metadata": metadata})  # JSON is YAML
