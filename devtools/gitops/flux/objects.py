"""Kubernetes objects of an export, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.gitops.component import Object

NAMESPACE = "flux-system"
"""The namespace of Flux's controllers and of every object of an export."""

HELM = "helm.toolkit.fluxcd.io/v2"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"
SOURCE = "source.toolkit.fluxcd.io/v1"
IMAGE = "image.toolkit.fluxcd.io/v1"
INTERVAL = "10m"  # between two checks for drift
# Options of generators whose names stay the same: by the label Flux notices changed values.
WATCHED_VALUES = {"disableNameSuffixHash": True, "labels": {"reconcile.fluxcd.io/watch": "Enabled"}}
RETRY = "1m"  # between two attempts after a failure


def flux_object(
    api_version: str, kind: str, name: str, spec: Mapping[str, Any], labels: Mapping[str, str] | None = None
) -> Object:
    """Return an object in Flux's namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, **({"labels": dict(labels)} if labels else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def kustomization_file(resources: Sequence[str], labels: Mapping[str, str] | None = None, **fields: Any) -> bytes:
    """Return a kustomization.yaml, without the fields that are empty."""
    fields = {"labels": [{"pairs": dict(labels)}] if labels else [], **fields}
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return yaml_file({**head, "resources": list(resources), **{key: value for key, value in fields.items() if value}})


def yaml_file(*objects: Mapping[str, Any]) -> bytes:
    """Return objects as one YAML file."""
    return "---\n".join(map(yaml_text, objects)).encode()


def duration(seconds: float) -> str:
    """Return seconds as Go writes them, in whole minutes if they are."""
    whole = max(1, round(seconds))
    return f"{whole}s" if whole % 60 else f"{whole // 60}m"


def path_from(directory: PurePosixPath, path: PurePosixPath) -> str:
    """Return a path from a directory, both from the Git repository's root."""
    common = 0
    for one, other in zip(directory.parts, path.parts, strict=False):
        if one != other:
            break
        common += 1
    return "/".join([*[".."] * (len(directory.parts) - common), *path.parts[common:]])
