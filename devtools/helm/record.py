"""Reads Helm's own record of a release, and changes it so that an uninstall keeps the release's CRDs.

An uninstall deletes the objects in the stored manifest, except for those annotated `helm.sh/resource-policy: keep`
there: it does not read annotations of objects on the cluster (`filterManifestsToKeep` in Helm's `pkg/action`). So the
annotation is added to the stored manifest. Format: the Secret's `release` is base64 of gzip of JSON (`encodeRelease` in
`pkg/storage/driver`).
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import json_for_yaml
from devtools.errors import DevtoolsError
from devtools.helm.commands import annotations_of, documents, ref_of
from devtools.model import ObjectRef

KEEP = "helm.sh/resource-policy"
_CRD = "CustomResourceDefinition"
# As Helm splits (pkg/release/v1/util), except that documents keep their last line ends, which belong to a block scalar.
_SEPARATOR = re.compile(r"^---\s*", re.MULTILINE)
_TEST = frozenset({"test", "test-success"})
_RUNS = frozenset({"Job", "Pod"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One document of a manifest: its text, and the objects in it. Parsed once: CRDs are megabytes."""

    text: str
    items: tuple[dict[str, Any], ...]

    def spared(self) -> Iterator[str]:
        """Yield the document itself, or, if it has CRDs, its objects with the CRDs marked to be kept."""
        if not any(item["kind"] == _CRD for item in self.items):
            yield self.text.rstrip()
            return
        for item in self.items:
            metadata = item.get("metadata") or {}
            if item["kind"] == _CRD:
                metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), KEEP: "keep"}}
            yield json_for_yaml({**item, "metadata": metadata})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One revision as Helm stored it."""

    namespace: str
    document: Mapping[str, Any]
    parts: tuple[Part, ...]
    hooks: tuple[tuple[frozenset[str], str], ...] = ()  # the events and the manifest of each

    @classmethod
    def of(cls, namespace: str, document: Mapping[str, Any]) -> Stored:
        """Return the revision in Helm's document.

        Raises DevtoolsError if its manifest is not YAML, TypeError if its hooks are not hooks.
        """
        texts = (text for text in _SEPARATOR.split(str(document.get("manifest") or "")) if text.strip())
        parts = tuple(Part(text=text, items=tuple(documents(text))) for text in texts)
        hooks = tuple(map(_hook, document.get("hooks") or ()))
        return cls(namespace=namespace, document=document, parts=parts, hooks=hooks)

    def items(self) -> tuple[dict[str, Any], ...]:
        """Return the objects of the manifest, without hooks."""
        return tuple(item for part in self.parts for item in part.items)

    def objects(self) -> tuple[ObjectRef, ...]:
        """References to these objects; only the API server knows which kinds are namespaced."""
        return tuple(map(self._ref, self.items()))

    def crds(self) -> tuple[str, ...]:
        """Return the names of the CRDs in the manifest."""
        return tuple(ref.name for ref in self.objects() if ref.kind == _CRD)

    def tests(self) -> tuple[ObjectRef, ...]:
        """Return the objects of its test hooks, which an uninstall leaves behind."""
        return tuple(self._ref(item) for events, item in self._hooked() if events & _TEST)

    def ended_hooks(self) -> tuple[ObjectRef, ...]:
        """Return the Jobs and Pods of its other hooks, which an uninstall also leaves, without those to be kept."""
        runs = [item for events, item in self._hooked() if not events & _TEST and item["kind"] in _RUNS]
        return tuple(self._ref(item) for item in runs if KEEP not in annotations_of(item))

    def lasting_hooks(self) -> tuple[ObjectRef, ...]:
        """Return the other objects of its hooks that an uninstall also leaves behind: RBAC, webhooks, volumes."""
        known = {*self.tests(), *self.ended_hooks()}
        refs = dict.fromkeys(self._ref(item) for _, item in self._hooked())
        return tuple(ref for ref in refs if ref not in known)

    def _hooked(self) -> Iterator[tuple[frozenset[str], dict[str, Any]]]:
        """Yield the objects of its hooks, each with its events."""
        for events, manifest in self.hooks:
            for item in documents(manifest):
                yield events, item

    def encoded_sparing_crds(self) -> str:
        """Return the Secret's `data.release` with every CRD marked to be kept; the rest is unchanged."""
        manifest = "".join(f"---\n{text}\n" for part in self.parts for text in part.spared())
        packed = gzip.compress(json.dumps({**self.document, "manifest": manifest}).encode(), mtime=0)
        return base64.b64encode(base64.b64encode(packed)).decode()

    def _ref(self, item: Mapping[str, Any]) -> ObjectRef:
        return ref_of(item, self.namespace)


def read_document(secret: Mapping[str, Any]) -> dict[str, Any]:
    """Return Helm's document in a Secret, with its manifest unparsed; raise DevtoolsError if Helm did not write it."""
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        return {**read_json(gzip.decompress(packed))}
    except (KeyError, TypeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise _unreadable() from error


def read_record(secret: Mapping[str, Any]) -> Stored:
    """Return the revision in a Secret of Helm; raise DevtoolsError if Helm did not write it."""
    document = read_document(secret)
    try:
        return Stored.of(str(secret["metadata"]["namespace"]), document)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable() from error


def _hook(hook: Mapping[str, Any]) -> tuple[frozenset[str], str]:
    data = {**hook}
    return frozenset(data.get("events") or ()), str(data.get("manifest") or "")


def _unreadable() -> DevtoolsError:
    return DevtoolsError("its Helm record cannot be read", hint="another version of Helm may have written it")
