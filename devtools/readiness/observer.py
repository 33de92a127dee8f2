"""Shares lists of the cluster's objects between all waits, so fifty waiting releases need as many lists as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from devtools.kube.client import Kube
from devtools.model import ObjectRef
from devtools.readiness.rules import is_workload, newest_pods, selects

FRESH = 0.1  # seconds a list stays fresh
FRESH_EVENTS = 2.0  # there may be thousands in a namespace
OWNERS = 5  # owner references from a pod up to the object that made it
_LARGE = frozenset({"Secret", "ConfigMap", "CustomResourceDefinition"})  # long lists: read one by one

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A list's objects, and when the request began and ended (monotonic seconds)."""

    began: float
    ended: float
    items: list[dict[str, Any]]


class Observer:
    """A short-lived cache of lists of `kube`: requests within `FRESH` seconds share the answer."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self._lock = Lock()
        self._locks: dict[str, Lock] = {}
        self._looks: dict[str, _Look] = {}
        self._floor = 0.0

    def renew(self) -> None:
        """Forget lists that began before now, because something was changed on purpose."""
        self._floor = time.monotonic()

    def items(self, api_version: str, kind: str, namespace: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Return the objects of a kind in a namespace (all if the kind has none), at most `FRESH` seconds old.

        None of them was read before `since` (monotonic seconds).
        """
        resource = self.kube.resource(kind, api_version)
        if resource is None:
            return []
        path, start = resource.path(namespace), {"apiVersion": api_version, "kind": kind}
        return self._look(path, lambda: [{**start, **item} for item in self.kube.items(path)], since=since)

    def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        """Return one object, from its list if that is cheap."""
        if ref.kind in _LARGE:
            path = self.kube.path_of(ref) or ""
            found = self._look(path, lambda: [item] if path and (item := self.kube.get(path)) else [])
        else:
            found = self.items(ref.api_version, ref.kind, ref.namespace)
        return next((item for item in found if item["metadata"]["name"] == ref.name), None)

    def pods(self, namespace: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Return the pods of a namespace; `since` as for `items`."""
        return self.items("v1", "Pod", namespace, since)

    def events(self, namespace: str) -> list[dict[str, Any]]:
        """Return the warnings of a namespace and all events of its claims, at most `FRESH_EVENTS` seconds old."""
        path, found = f"/api/v1/namespaces/{namespace or 'default'}/events", []
        for selector in ("type=Warning", "type=Normal,involvedObject.kind=PersistentVolumeClaim"):
            look = partial(self.kube.items, path, fieldSelector=selector)
            found += self._look(f"{path}?{selector}", look, FRESH_EVENTS)
        return found

    def claims_of(self, pods: Iterable[Item]) -> list[dict[str, Any]]:
        """Return the volume claims that pods mount."""
        names = {
            (str(pod["metadata"].get("namespace", "")), str(volume["persistentVolumeClaim"].get("claimName")))
            for pod in pods
            for volume in (pod.get("spec") or {}).get("volumes") or ()
            if volume.get("persistentVolumeClaim")
        }
        refs = (ObjectRef("v1", "PersistentVolumeClaim", namespace, name) for namespace, name in sorted(names))
        return [claim for ref in refs if (claim := self.get(ref))]

    def pods_of(self, item: Item, since: float = 0.0) -> list[dict[str, Any]]:
        """Return the pods behind an object: those of a workload or Job, of objects that it owns, or the pod itself.

        A caller that draws conclusions from an object's status passes as `since` when it was read: pods listed earlier
        may not have had a node yet, or not have started.
        """
        namespace, kind = str(item["metadata"].get("namespace", "")), item.get("kind")
        pods = self.pods(namespace, since)
        if kind == "Pod":
            return [pod for pod in pods if pod["metadata"]["name"] == item["metadata"]["name"]]
        if kind == "Deployment" and is_workload(item):
            sets = self.items("apps/v1", "ReplicaSet", namespace, since)
            return [dict(pod) for pod in newest_pods(item, [pod for pod in pods if selects(item, pod)], sets)]
        if is_workload(item) or (kind == "Job" and item.get("apiVersion") == "batch/v1"):
            return [pod for pod in pods if selects(item, pod)]
        uid = str(item["metadata"].get("uid", ""))
        return [pod for pod in pods if self._is_made_by(pod, namespace, uid, OWNERS)]

    def _is_made_by(self, item: Item, namespace: str, uid: str, steps: int) -> bool:
        """Return whether the owners of an object lead up to the one with this uid."""
        owners = item["metadata"].get("ownerReferences") or ()
        if any(owner.get("uid") == uid for owner in owners):
            return True
        for owner in owners if steps else ():
            ref = ObjectRef(str(owner.get("apiVersion")), str(owner.get("kind")), namespace, str(owner.get("name")))
            above = self.get(ref)
            if above and self._is_made_by(above, namespace, uid, steps - 1):
                return True
        return False

    def _look(
        self, path: str, look: Callable[[], list[dict[str, Any]]], fresh: float = FRESH, since: float = 0.0
    ) -> list[dict[str, Any]]:
        with self._lock:
            lock = self._locks.setdefault(path, Lock())
        with lock:  # other threads wait meanwhile, and share the list
            last = self._looks.get(path)
            if last is None or last.began < max(self._floor, since) or time.monotonic() - last.ended > fresh:
                began = time.monotonic()
                items = look()
                last = self._looks[path] = _Look(began=began, ended=time.monotonic(), items=items)
            return last.items
