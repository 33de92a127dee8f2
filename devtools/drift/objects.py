"""Finds the live objects of declared ones, with as few requests as possible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from devtools.errors import DevtoolsError, Interrupted
from devtools.helm.revision import Applied, applied
from devtools.kube.client import Kube
from devtools.model import ObjectRef, ReleaseId
from devtools.process.runner import Cancel
from devtools.redaction import Redactor
from devtools.releases.facts import helm_records, record_path
from devtools.releases.recovery import Revision, revisions

PARALLEL = 8
_FEW = 3  # maximum objects of a kind to get one by one; more of them are listed
_LARGE = frozenset({"Secret", "ConfigMap", "CustomResourceDefinition"})  # never listed: others may be megabytes
Input = TypeVar("Input")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One declared object and its URL path; `path` is empty if its kind is not served."""

    release: ReleaseId
    ref: ObjectRef
    body: Mapping[str, Any]
    path: str
    redactor: Redactor
    others: tuple[Mapping[str, Any], ...] = ()  # further declarations of the same object


def unplaced(release: ReleaseId, bodies: Iterable[Mapping[str, Any]], redactor: Redactor) -> list[Item]:
    """Return the objects of a release, each once, without a cluster, so namespaced kinds are unknown."""
    found: dict[ObjectRef, Item] = {}
    for body in bodies:
        ref = ref_of(body)
        found.setdefault(ref, Item(release=release, ref=ref, body=body, path="", redactor=redactor))
    return list(found.values())


def ref_of(body: Mapping[str, Any]) -> ObjectRef:
    """Return the reference of an object, with the namespace that is written."""
    metadata = body["metadata"]
    namespace, name = str(metadata.get("namespace") or ""), str(metadata["name"])
    return ObjectRef(str(body.get("apiVersion", "")), str(body["kind"]), namespace, name)


class LiveObjects:
    """One comparison with the cluster."""

    def __init__(self, kube: Kube, cancel: Cancel) -> None:
        self._kube, self._cancel = kube, cancel

    def revisions(self, namespaces: Collection[str]) -> Mapping[ReleaseId, tuple[Revision, ...]]:
        """Return Helm's records in namespaces; discovers the kinds of the cluster, once, before any threads."""
        self._kube.resource("Namespace")
        return revisions(helm_records(self._kube, set(namespaces))) if namespaces else {}

    def stored(self, release: ReleaseId, revision: Revision | None) -> Applied | None:
        """Return Helm's record of a revision, None if there is none; DevtoolsError if it cannot be read."""
        secret = self._kube.get(record_path(release, revision.number)) if revision else None
        return applied(secret, release) if secret else None

    def readable(self, release: ReleaseId, revision: Revision | None) -> Applied | None:
        """Return Helm's record of a revision; None if it cannot be read: Helm cannot read it either, and reports it."""
        try:
            return self.stored(release, revision)
        except DevtoolsError:
            return None

    def each(
        self, pool: ThreadPoolExecutor, work: Callable[[Input], Made], inputs: Sequence[Input]
    ) -> Iterator[tuple[Input, Made]]:
        """Yield each input with its result; no more work starts after an interrupt."""

        def done(item: Input) -> Made:
            if self._cancel.is_set():
                raise Interrupted(self._cancel.reason or "interrupted")
            return work(item)

        return zip(inputs, pool.map(done, inputs), strict=True)

    def items(self, release: ReleaseId, bodies: Iterable[Mapping[str, Any]], redactor: Redactor) -> list[Item]:
        """Return the declared objects of a release, each once."""
        items: dict[ObjectRef, Item] = {}
        for body in bodies:
            ref = ref_of(body)
            resource = self._kube.resource(ref.kind, ref.api_version)
            is_namespaced = resource is None or resource.namespaced
            ref = replace(ref, namespace=(ref.namespace or release.namespace) if is_namespaced else "")
            path = resource.path(ref.namespace, ref.name) if resource else ""
            if ref in items:
                items[ref] = replace(items[ref], others=(*items[ref].others, body))
            else:
                items[ref] = Item(release=release, ref=ref, body=body, path=path, redactor=redactor)
        return list(items.values())

    def live(self, pool: ThreadPoolExecutor, items: Iterable[Item]) -> dict[ObjectRef, dict[str, Any] | None]:
        """Return the live objects: one list for each kind with several objects, else one by one."""
        kinds: dict[tuple[str, str], list[Item]] = defaultdict(list)
        for item in items:
            if item.path:
                kinds[item.ref.api_version, item.ref.kind].append(item)
        listed = [group for (_, kind), group in kinds.items() if kind not in _LARGE and len(group) > _FEW]
        single = [item for group in kinds.values() if group not in listed for item in group]
        live: dict[ObjectRef, dict[str, Any] | None] = {}
        got = self.each(pool, lambda item: self._kube.get(item.path), single)
        for _, found in self.each(pool, self._list, listed):
            live |= found
        return live | {item.ref: one for item, one in got}

    def _list(self, group: Sequence[Item]) -> dict[ObjectRef, dict[str, Any] | None]:
        version, kind = group[0].ref.api_version, group[0].ref.kind
        resource = self._kube.resource(kind, version)
        found = self._kube.items(resource.path()) if resource else []
        return {ref_of({**item, "apiVersion": version, "kind": kind}): item for item in found}
