"""Removes a release: keeps its CRDs, deletes its tests' Jobs, and waits until its objects are gone.

Deleting a CRD deletes every object of its kind, including users' objects, and `helm uninstall` does not ask. So CRDs
are kept whatever the chart says, and deleted only by a request for all of them (`devtools.releases.cleanup`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devtools.errors import DevtoolsError
from devtools.helm.labels import LABEL_STACK
from devtools.helm.record import Stored, read_record
from devtools.kube.api_errors import NOT_FOUND, Tolerated
from devtools.kube.client import ApiError, Kube
from devtools.model import ObjectRef, ReleaseId
from devtools.readiness.observer import Observer
from devtools.readiness.wait import Failure, Wait
from devtools.releases.crds import CRDS
from devtools.releases.facts import record_path
from devtools.releases.recovery import newest

PARALLEL = 8
INSTANCE = "app.kubernetes.io/instance"
_OWNERS = 5  # owner references from an object up to the one that made it
_NAMED = 3


def spare_crds(kube: Kube, release: ReleaseId, stack: str) -> Stored | None:
    """Make the following uninstall keep the release's CRDs, and label them as the stack's; return its record, if any.

    Raises Failure if the record cannot be read: what an uninstall would delete is then unknown.
    """
    revision = newest(kube, release)
    path = record_path(release, revision)
    secret = kube.get(path) if revision else None
    if secret is None:
        return None
    try:
        stored = read_record(secret)
        crds = stored.crds()
    except DevtoolsError as error:
        raise Failure(f"{release} cannot be uninstalled safely: {error.message}", hint=error.hint) from error
    if crds:
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="crds") as pool:
            list(pool.map(lambda name: _label(kube, name, stack), crds))
        kube.merge(path, {"data": {"release": stored.encoded_sparing_crds()}})
    return stored


def tests_of(kube: Kube, release: ReleaseId) -> tuple[ObjectRef, ...]:
    """Return the test hooks of every revision, and the test Jobs with the release's usual label.

    The newest record may not name them all: an upgrade or a killed `helm test` may have dropped some.
    """
    secrets = kube.items(
        f"/api/v1/namespaces/{release.namespace}/secrets", labelSelector=f"owner=helm,name={release.name}"
    )
    found: dict[ObjectRef, None] = {}
    for secret in secrets:
        with contextlib.suppress(DevtoolsError):  # a record that cannot be read names none
            found |= dict.fromkeys(read_record(secret).tests())
    jobs = f"/apis/batch/v1/namespaces/{release.namespace}/jobs"
    for job in kube.items(jobs, labelSelector=f"{INSTANCE}={release.name}"):
        if is_test(job["metadata"]):
            found[ObjectRef("batch/v1", "Job", release.namespace, str(job["metadata"]["name"]))] = None
    return tuple(found)


def is_test(metadata: Mapping[str, Any]) -> bool:
    """Return whether an object is a test hook, by its annotation."""
    return "test" in str((metadata.get("annotations") or {}).get("helm.sh/hook", ""))


def remove_hooks(kube: Kube, stored: Stored, tests: Iterable[ObjectRef] = ()) -> None:
    """Remove objects of the release's test hooks, and Jobs and Pods of other hooks, which would block the namespace."""
    for ref in dict.fromkeys((*stored.tests(), *tests, *stored.ended_hooks())):
        if path := kube.path_of(ref):
            kube.delete(path)


def left_by_hooks(kube: Kube, stored: Stored) -> tuple[str, ...]:
    """Return lines that name the objects of hooks that stay on the cluster, a few in each line.

    Helm leaves them unless a delete policy removed them. They are not deleted here: a hook may have made a volume.
    """
    refs = [ref for ref in stored.lasting_hooks() if (path := kube.path_of(ref)) and kube.get(path)]
    namespaced = {ref: (found := kube.resource(ref.kind, ref.api_version)) and found.namespaced for ref in refs}
    refs.sort(key=lambda ref: bool(namespaced[ref]))
    shown = [f"{ref.kind.lower()}/{ref.name}{f' -n {ref.namespace}' if namespaced[ref] else ''}" for ref in refs]
    lines = (", ".join(shown[start : start + _NAMED]) for start in range(0, len(shown), _NAMED))
    return tuple(f"helm leaves what hooks made (kubectl delete removes it): {line}" for line in lines)


def await_gone(observer: Observer, objects: Iterable[ObjectRef], wait: Wait) -> None:
    """Wait until those of the objects that are being deleted are gone; LateFailure names what holds them.

    An object that is not being deleted was kept, or created again by another program.
    """
    refs, polling = [ref for ref in objects if observer.kube.path_of(ref)], wait.polling()
    while going := [
        (ref, item) for ref in refs if (item := observer.get(ref)) and item["metadata"].get("deletionTimestamp")
    ]:
        refs = [ref for ref, _ in going]
        polling.pause([f"{ref} ({_held(item)})" for ref, item in going])


def refused_deletions(kube: Kube, objects: Iterable[ObjectRef]) -> list[str]:
    """Return the API server's messages about the objects that this user may not delete."""
    last: list[str] = []
    for path in filter(None, map(kube.path_of, objects)):
        try:
            kube.rehearse_delete(path)
        except ApiError as error:
            if error.status != NOT_FOUND:
                last.append(error.text)
    return last


def await_pods(observer: Observer, namespaces: Sequence[str], wait: Wait) -> None:
    """Wait until the pods of the uninstalled objects are gone.

    The namespace controller checks a namespace with terminating pods again only after half of their grace period.
    """
    polling = wait.polling()
    while ending := [pod for name in namespaces for pod in observer.pods(name) if is_leaving(observer, pod)]:
        polling.pause([f"Pod/{pod['metadata']['name']} (to end)" for pod in ending])


def is_leaving(observer: Observer, item: Mapping[str, Any], steps: int = _OWNERS) -> bool:
    """Return whether an object is being deleted, or will be collected because its owner is gone or being deleted."""
    metadata = item["metadata"]
    if metadata.get("deletionTimestamp"):
        return True
    owners = metadata.get("ownerReferences") or ()
    namespace = str(metadata.get("namespace", ""))
    return bool(owners) and steps > 0 and all(_is_gone(observer, owner, namespace, steps - 1) for owner in owners)


def _is_gone(observer: Observer, owner: Mapping[str, Any], namespace: str, steps: int) -> bool:
    """Return whether an owner, identified by its uid, is gone or being deleted."""
    ref = ObjectRef(str(owner.get("apiVersion")), str(owner.get("kind")), namespace, str(owner.get("name")))
    found = observer.get(ref)
    return found is None or found["metadata"].get("uid") != owner.get("uid") or is_leaving(observer, found, steps)


def _held(item: Mapping[str, Any]) -> str:
    finalizers = item["metadata"].get("finalizers") or ()
    return f"held by finalizer {', '.join(finalizers)}" if finalizers else "to be gone"


def _label(kube: Kube, crd: str, stack: str) -> None:
    """Label a CRD as the stack's, unless it is gone."""
    with Tolerated(NOT_FOUND):
        kube.merge(f"{CRDS}/{crd}", {"metadata": {"labels": {LABEL_STACK: stack}}})
