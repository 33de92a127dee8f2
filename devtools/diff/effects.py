"""Determines side effects of a change of an object: restarted pods, deleted kinds and data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from devtools.diff.managed_fields import Steps

CRD = "CustomResourceDefinition"
_ROLLED = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_LOST = {
    CRD: "deletes every object of this kind",
    "Namespace": "deletes everything in it",
    "PersistentVolumeClaim": "its data may be lost",
    "PersistentVolume": "its data may be lost",
}


def restarts(
    kind: str, fields: Iterable[Steps], live: Mapping[str, Any], desired: Mapping[str, Any]
) -> tuple[int, str]:
    """Return how many pods a change of these fields restarts, and how; 0 if it does not restart pods itself."""
    if kind not in _ROLLED or not any(steps[:2] == ("spec", "template") for steps in fields):
        return 0, ""
    spec = desired.get("spec") or {}
    strategy = (spec.get("strategy") or spec.get("updateStrategy") or {}).get("type")
    if strategy == "OnDelete":
        return 0, "its pods change only when they are deleted (OnDelete)"
    if spec.get("paused"):
        return 0, "its pods change only when it is no longer paused"
    return min(pods_of(kind, live), pods_of(kind, desired)), "all at once" if strategy == "Recreate" else ""


def pods_of(kind: str, item: Mapping[str, Any]) -> int:
    """Return how many pods a workload has."""
    if kind == "DaemonSet":
        return int((item.get("status") or {}).get("desiredNumberScheduled") or 0)
    replicas = (item.get("spec") or {}).get("replicas")
    return int(1 if replicas is None else replicas) if kind in _ROLLED else int(kind == "Pod")


def loss(kind: str) -> str:
    """Return what is deleted together with an object of this kind; empty if nothing is."""
    return _LOST.get(kind, "")


def crd_view(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CRD with its versions by name, so that schemas of the same version are compared."""
    spec = {**(item.get("spec") or {})}
    spec["versions"] = {str(version.get("name")): version for version in spec.get("versions") or ()}
    return {**item, "spec": spec}


def storage_version(crd: Mapping[str, Any]) -> str:
    """Return the storage version of a CRD."""
    versions = (crd.get("spec") or {}).get("versions") or ()
    return next((str(version.get("name")) for version in versions if version.get("storage")), "")
