"""Removes what remains of a stack after its releases: namespaces that were made for them, and CRDs.

Helm manages neither. A namespace is deleted if it is empty. CRDs are deleted on request, and only with `force` if
objects of their kinds remain: those are not the stack's, whose own objects were deleted before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devtools.events import Notice
from devtools.helm.labels import LABEL_STACK
from devtools.kube.api_errors import FORBIDDEN, NOT_FOUND, Tolerated
from devtools.kube.client import Kube, Resource
from devtools.model import ObjectRef
from devtools.readiness.wait import Failure, Wait
from devtools.releases.crds import CRDS
from devtools.releases.removal import PARALLEL, is_leaving
from devtools.run_context.session import Session

NAMESPACES = "/api/v1/namespaces"
_NOT_ALLOWED = 405  # a kind that cannot be listed
# objects that Kubernetes itself puts into a namespace, and events about deleted objects
_FURNITURE = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})
_Found = tuple[Resource, Mapping[str, Any]]  # and the object's metadata
_TRACES = frozenset({"Event", "Endpoints", "EndpointSlice", "Lease", "PodMetrics"})


def stack_namespaces(kube: Kube, stack: str, must_exist: Collection[str] = ()) -> tuple[str, ...]:
    """Return the namespaces that were made for the stack's releases, except for those in `must_exist`."""
    return tuple(name for name in _marked(kube, NAMESPACES, stack) if name not in must_exist)


def stack_crds(kube: Kube, stack: str) -> tuple[str, ...]:
    """Return the CRDs of the stack: those of `crds/` directories, and those that uninstalled releases left."""
    return _marked(kube, CRDS, stack)


def remove_namespaces(session: Session, stack: str, wait: Wait, must_exist: Collection[str]) -> Sequence[str]:
    """Remove the stack's empty namespaces and return their names; a notice names the others and their content."""
    names = stack_namespaces(session.kube, stack, must_exist)
    held: dict[str, Counter[str]] = {}  # the kinds that remain in each namespace
    for resource, item in _standing(session, _namespaced(session.kube), wait, inside={*names}) if names else ():
        held.setdefault(item["namespace"], Counter())[resource.kind] += 1
    empty = [name for name in names if name not in held]
    for name in empty:
        session.kube.delete(f"{NAMESPACES}/{name}")
    for name, kinds in held.items():
        what = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        session.bus.emit(Notice(level="info", message=f"namespace {name} is kept: it contains {what}"))
    polling = wait.polling()
    while left := [f"Namespace/{name}" for name in stack_namespaces(session.kube, stack) if name in empty]:
        polling.pause(left)
    return empty


def remove_crds(session: Session, stack: str, wait: Wait, *, force: bool) -> Sequence[str]:
    """Remove the stack's CRDs, and with `force` all objects of their kinds; return the names of the CRDs.

    Everything is checked before anything is removed. Raises Failure with the objects that would be deleted if there are
    some and `force` is not set.
    """
    kube = session.kube
    kube.discover()
    names = stack_crds(kube, stack)
    kinds = [resource for name in names if (resource := _served(kube, name))]
    found = sorted(
        ObjectRef(resource.api_version, resource.kind, item.get("namespace", ""), item["name"])
        for resource, item in _standing(session, kinds, wait)
    )
    if found and not force:
        counts = Counter(ref.kind for ref in found)
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        raise Failure(
            f"the CRDs are kept, because objects of their kinds still exist and would be deleted, too: {counted}",
            hint="check these objects; to delete them with the CRDs: invoke down --crds --force",
            details=[f"{ref.namespace + '/' if ref.namespace else ''}{ref}" for ref in found],
        )
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="crds") as pool:
        list(pool.map(lambda name: kube.delete(f"{CRDS}/{name}"), names))
    polling = wait.polling()
    while left := [f"CRD {name}" for name in stack_crds(kube, stack) if name in names]:
        polling.pause(left)
    kube.discover()
    return names


def _standing(
    session: Session, kinds: Sequence[Resource], wait: Wait, inside: Collection[str] | None = None
) -> list[_Found]:
    """Return every object of the kinds, in these namespaces or anywhere, once those being deleted are gone.

    Only the kinds of objects that are being deleted are listed repeatedly: there may be two hundred kinds.
    """

    def going(looked_at: Sequence[Resource]) -> list[_Found]:
        found[:] = _listed(session.kube, looked_at, inside)
        return [(resource, item) for resource, item in found if is_leaving(session.observer, {"metadata": item})]

    found: list[_Found] = []
    while left := going(kinds):
        polling = wait.polling()
        while left := going([*{id(resource): resource for resource, _ in left}.values()]):
            polling.pause([f"{resource.kind}/{item['name']} (to be gone)" for resource, item in left])
    return found


def _listed(kube: Kube, kinds: Sequence[Resource], inside: Collection[str] | None) -> list[_Found]:
    """Return the objects of the kinds, without those that every namespace has."""

    def of(resource: Resource) -> list[_Found]:
        found: list[dict[str, Any]] = []
        with Tolerated(NOT_FOUND, _NOT_ALLOWED):
            found = kube.metadata(resource.path())
        return [
            (resource, item)
            for item in found
            if (inside is None or item.get("namespace") in inside) and (resource.kind, item["name"]) not in _FURNITURE
        ]

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="sweep") as pool:
        return [pair for pairs in pool.map(of, kinds) for pair in pairs]


def _namespaced(kube: Kube) -> list[Resource]:
    """Return every namespaced kind once."""
    kinds: dict[tuple[str, str], Resource] = {}
    for resource in kube.served():
        if resource.namespaced and resource.kind not in _TRACES and "/" not in resource.plural:
            kinds.setdefault((resource.api_version.rpartition("/")[0], resource.plural), resource)
    return list(kinds.values())


def _served(kube: Kube, crd: str) -> Resource | None:
    """Return the kind of a CRD, whose name is `<plural>.<group>`."""
    plural, _, group = crd.partition(".")
    return next(
        (item for item in kube.served() if item.plural == plural and item.api_version.rpartition("/")[0] == group), None
    )


def _marked(kube: Kube, path: str, stack: str) -> tuple[str, ...]:
    """Return the names of cluster-scoped objects with the stack's label; empty for a user who may not list them."""
    with Tolerated(FORBIDDEN):
        return tuple(sorted(str(item["name"]) for item in kube.metadata(path, labelSelector=f"{LABEL_STACK}={stack}")))
    return ()
