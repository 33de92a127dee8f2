"""Reads what the cluster holds now, by metadata-only lists.

Helm keeps one Secret per revision, `sh.helm.release.v1.<name>.v<revision>`, with labels `owner`, `name`, `status`,
`version` (https://helm.sh/docs/topics/advanced/#storage-backends); `upgrade --labels` adds those of devtools. So a
single list has name, status, revision and inputs' digest of every release, and there is no state file that could be
lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from devtools.base.machine_json import read_json
from devtools.errors import DevtoolsError
from devtools.helm.labels import (
    ANNOTATION_OBJECTS,
    LABEL_CHART,
    LABEL_DIGEST,
    LABEL_LAYER,
    LABEL_READY,
    LABEL_READY_REVISION,
    LABEL_STACK,
    LABEL_TESTED,
)
from devtools.helm.ownership import Origin, origin_of_newest, revision_of, rolled_back_to, written_by
from devtools.kube.api_errors import FORBIDDEN, Tolerated
from devtools.kube.client import ApiError, Kube, Resource
from devtools.model import BUSY, PENDING, Facts, ObjectRef, ReleaseFact, ReleaseId

_SECRETS = "Helm keeps its releases in Secrets: allow this user to list them in the namespaces of the stack"
_MOST = 8  # connections
_EACH = 8  # lists for each further connection, whose handshake costs both sides as much as several lists


def observe(
    kube: Kube,
    about: Callable[[ReleaseId], bool] = lambda _: True,
    namespaces: Collection[str] = (),
    must_exist: Collection[str] = (),
) -> Facts:
    """Return all releases on the cluster, and the missing objects of those for which `about` is true.

    It takes one list of Secrets' metadata, and one metadata list per kind that these releases own, in parallel. For a
    user who may not list everywhere only `namespaces` are read. The namespaces in `must_exist` are checked, too. Raises
    EnvironmentFault when the API server does not answer, ApiError when it refuses.
    """
    records = helm_records(kube, namespaces)
    newest = newest_records(records)
    histories: dict[ReleaseId, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        histories[release_of(record)].append(record)
    cut_off = cut_off_revisions(records, newest)
    leaving = _leaving(kube)
    owned = {
        release: objects_in_record(kube, release, revision_of(metadata))
        if _is_ready(metadata) and not _is_inventoried(metadata) and about(release)
        else owned_objects(metadata)
        for release, metadata in newest.items()
    }
    wanted = {
        ref for release, refs in owned.items() if about(release) and release.namespace not in leaving for ref in refs
    }
    required = {ObjectRef("v1", "Namespace", "", name) for name in must_exist}
    there, going = _existing(kube, wanted | required)
    facts = [
        _fact(release, histories[release], owned[release], wanted - there, going, cut_off.get(release, ()))
        for release in newest
    ]
    # The objects in a namespace that is being deleted count as being deleted, even if none is gone yet.
    gone = [replace(fact, status="uninstalled", leaving=True) for fact in facts if fact.id.namespace in leaving]
    absent = sorted(ref.name for ref in required if ref not in there or ref in going)
    return Facts(releases={fact.id: fact for fact in (*facts, *gone)}, absent=tuple(absent))


def helm_records(kube: Kube, namespaces: Collection[str]) -> list[dict[str, Any]]:
    """Return the metadata of Helm's records: on the whole cluster, or only in these namespaces if that is forbidden."""
    try:
        return kube.metadata("/api/v1/secrets", labelSelector="owner=helm")
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        if not namespaces:
            raise error.changed(hint=_SECRETS) from error
    try:
        paths = [f"/api/v1/namespaces/{name}/secrets" for name in sorted(namespaces)]
        return [record for path in paths for record in kube.metadata(path, labelSelector="owner=helm")]
    except ApiError as error:
        raise (error.changed(hint=_SECRETS) if error.status == FORBIDDEN else error) from error


def _leaving(kube: Kube) -> set[str]:
    """Return the namespaces that are being deleted, as far as this user may read them."""
    with Tolerated(FORBIDDEN):
        found = kube.metadata("/api/v1/namespaces", fieldSelector="status.phase=Terminating")
        return {str(item["name"]) for item in found}
    return set()


def mark_ready(kube: Kube, release: ReleaseId, revision: int, digest: str, objects: Iterable[ObjectRef]) -> None:
    """Record on the release's Helm record that this revision became ready, and which objects it owns.

    That happens after readiness and contracts, so the next run finishes the work of a killed one.
    """
    inventory = json.dumps(sorted([ref.api_version, ref.kind, ref.namespace, ref.name] for ref in set(objects)))
    labels = {LABEL_READY: digest, LABEL_READY_REVISION: str(revision)}
    patch = {"metadata": {"labels": labels, "annotations": {ANNOTATION_OBJECTS: inventory}}}
    kube.merge(record_path(release, revision), patch)


def mark_tested(kube: Kube, release: ReleaseId, revision: int, digest: str | None) -> None:
    """Record on a smoke release's Helm record the digest its tests passed on, or that they failed; None clears it."""
    kube.merge(record_path(release, revision), {"metadata": {"labels": {LABEL_TESTED: digest}}})


def record_path(release: ReleaseId, revision: int) -> str:
    """Return the Secret that holds one revision."""
    return f"/api/v1/namespaces/{release.namespace}/secrets/sh.helm.release.v1.{release.name}.v{revision}"


def owned_objects(metadata: Mapping[str, Any]) -> tuple[ObjectRef, ...]:
    """Return the inventory that `mark_ready` wrote; empty if there is none."""
    try:
        rows = read_json((metadata.get("annotations") or {}).get(ANNOTATION_OBJECTS, "[]"))
        return tuple(ObjectRef(*map(str, row)) for row in rows)
    except (ValueError, TypeError):
        return ()


def _is_inventoried(metadata: Mapping[str, Any]) -> bool:
    """Return whether the record still has the annotation of `mark_ready`, which Helm drops when it rewrites it."""
    return ANNOTATION_OBJECTS in (metadata.get("annotations") or {})


def _is_ready(metadata: Mapping[str, Any]) -> bool:
    """Return whether this revision was marked ready, even if its annotation is gone, as after a manual `helm test`."""
    return (metadata.get("labels") or {}).get(LABEL_READY_REVISION) == str(revision_of(metadata))


def objects_in_record(kube: Kube, release: ReleaseId, revision: int) -> tuple[ObjectRef, ...]:
    """Return the objects that a revision's record declares; empty if it cannot be read."""
    from devtools.helm.record import read_record

    try:
        secret = kube.get(record_path(release, revision))
        found = read_record(secret).objects() if secret else ()
    except DevtoolsError:
        return ()
    return tuple(scoped(kube, ref) for ref in found)


def scoped(kube: Kube, ref: ObjectRef) -> ObjectRef:
    """Return the reference, without a namespace if its kind has none; only the API server knows, not the manifest."""
    resource = kube.resource(ref.kind, ref.api_version)
    return ref if resource is None or resource.namespaced else replace(ref, namespace="")


def newest_records(records: Iterable[Mapping[str, Any]]) -> dict[ReleaseId, Mapping[str, Any]]:
    """Return the newest revision's record of each release, from the metadata of records."""
    newest: dict[ReleaseId, Mapping[str, Any]] = {}
    for record in records:
        release = release_of(record)
        if release not in newest or revision_of(record) > revision_of(newest[release]):
            newest[release] = record
    return newest


def cut_off_revisions(
    records: Iterable[Mapping[str, Any]], newest: Mapping[ReleaseId, Mapping[str, Any]]
) -> dict[ReleaseId, tuple[int, ...]]:
    """Return the revisions that Helm still calls pending although there is a newer one (`newest_records`), by release.

    Their helm was killed. A rollback restores a working revision, and leaves such a record unchanged (`performRollback`
    in Helm's `pkg/action/rollback.go`).
    """
    found: dict[ReleaseId, set[int]] = defaultdict(set)
    for record in records:
        release, revision = release_of(record), revision_of(record)
        is_pending = (record.get("labels") or {}).get("status") in PENDING
        if is_pending and revision < revision_of(newest[release]):
            found[release].add(revision)
    return {release: tuple(sorted(numbers)) for release, numbers in found.items()}


def release_of(record: Mapping[str, Any]) -> ReleaseId:
    """Return the release of a record, from its metadata."""
    return ReleaseId(str(record["namespace"]), str((record.get("labels") or {}).get("name", "")))


def stack_of(history: Iterable[Mapping[str, Any]]) -> str:
    """Return the stack that a release's records name, the newest first; empty if another tool installed it.

    A helm of another version may have dropped the labels of devtools when it upgraded the stack's release.
    """
    ordered = sorted(history, key=revision_of, reverse=True)
    return next((stack for record in ordered if (stack := (record.get("labels") or {}).get(LABEL_STACK))), "")


def _fact(
    release: ReleaseId,
    history: Sequence[Mapping[str, Any]],
    objects: tuple[ObjectRef, ...],
    gone: set[ObjectRef],
    going: set[ObjectRef],
    cut_off: tuple[int, ...],
) -> ReleaseFact:
    record = max(history, key=revision_of)
    labels: Mapping[str, str] = record.get("labels") or {}
    unfinished = labels.get("status") in BUSY
    return ReleaseFact(
        id=release,
        status=labels.get("status", "unknown"),
        revision=revision_of(record),
        digest=labels.get(LABEL_DIGEST, ""),
        # `helm test` rewrites the record and drops annotations: without an inventory no object is known
        ready=labels.get(LABEL_READY, "") if _is_ready(record) or _is_inventoried(record) else "",
        tested=labels.get(LABEL_TESTED, ""),
        objects=objects,
        missing=tuple(ref for ref in objects if ref in gone),
        going=tuple(ref for ref in objects if ref in going),
        layer=labels.get(LABEL_LAYER, ""),
        stack=stack_of(history),
        chart=labels.get(LABEL_CHART, ""),
        rolled_back_to=rolled_back_to(history),
        cut_off=cut_off,
        other_helm=written_by(record)[0] if unfinished and origin_of_newest(history) is Origin.OTHER else "",
    )


def _existing(kube: Kube, wanted: set[ObjectRef]) -> tuple[set[ObjectRef], set[ObjectRef]]:
    """Return which of the inventory's objects exist and which are being deleted, by one metadata list per kind."""
    kinds: dict[tuple[str, str], set[ObjectRef]] = defaultdict(set)
    for ref in wanted:
        kinds[ref.api_version, ref.kind].add(ref)
    if not kinds:
        return set(), set()
    kube.resource("Namespace")  # discover once, before the threads
    workers = min(_MOST, len(kinds) // _EACH + 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="facts") as pool:
        pairs = [pair for found in pool.map(lambda item: _existing_of(kube, *item), kinds.items()) for pair in found]
    return {ref for ref, _ in pairs}, {ref for ref, is_going in pairs if is_going}


def _existing_of(kube: Kube, kind: tuple[str, str], wanted: set[ObjectRef]) -> list[tuple[ObjectRef, bool]]:
    """Return the existing objects of a kind, each with whether it is being deleted."""
    resource = kube.resource(kind[1], kind[0])
    if resource is None:
        return []
    with Tolerated(FORBIDDEN):
        listed = _listed(kube, resource, {ref.namespace for ref in wanted})
        found = {(item.get("namespace", ""), item["name"]): item for item in listed}
        return [
            (ref, "deletionTimestamp" in item)
            for ref in wanted
            if (item := found.get((ref.namespace if resource.namespaced else "", ref.name)))
        ]
    return [(ref, False) for ref in wanted]  # a user who may not list them cannot tell that they are gone


def _listed(kube: Kube, resource: Resource, namespaces: Collection[str]) -> list[dict[str, Any]]:
    """Return the metadata of a kind's objects: of all, or only in these namespaces if that is forbidden."""
    try:
        return kube.metadata(resource.path())
    except ApiError as error:
        if error.status != FORBIDDEN or not resource.namespaced:
            raise
    return [item for name in sorted(namespaces) for item in kube.metadata(resource.path(name))]
