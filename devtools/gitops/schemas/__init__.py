"""Checks objects against the schemas of their kinds: by a real API server, or by kubeconform."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devtools.base.yaml_positions import KeyPath

NOT_SERVED = frozenset({"kustomize.config.k8s.io", "config.kubernetes.io"})  # files for programs, not for the server
_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\[([^\]]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An error in one object: the field, if known, and the message of the program that checked it."""

    index: int  # of the object
    path: KeyPath
    message: str
    unknown: bool = False  # the field does not exist


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The results of a program: `by` names it, `skipped` the kinds it has no schema for."""

    by: str
    rejections: tuple[Rejection, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)  # kind to number of objects


def key_path(text: str) -> KeyPath:
    """Return the keys of a field as the API server writes it: `spec.sources[0].repoURL`."""
    return tuple(
        int(found[2]) if found[2] else str(found[1] or found[3]) for found in _PART.finditer(text) if found[0] != "."
    )


def kind_of(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return group, version and kind of an object."""
    group, _, version = str(item.get("apiVersion") or "").rpartition("/")
    return group, version, str(item.get("kind") or "")


def counted(items: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many objects there are of each kind and API version."""
    return dict(Counter(f"{item.get('kind')} ({item.get('apiVersion')})" for item in items))


def without_status(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as it is applied: without the fields that only the server sets."""
    metadata = {
        key: value
        for key, value in (item.get("metadata") or {}).items()
        if key not in {"resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"}
    }
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}
