"""The results of reading a GitOps tree: releases of environments, and a note for each conversion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from devtools.base.open_file import read_source
from devtools.base.yaml_positions import parse
from devtools.errors import Location
from devtools.gitops.tree.read import Tree, mapping, normal

Key = tuple[str, str]  # namespace and name of a release
SMOKE_CHART = "helm-test-jobs"
_DIRECTORIES = frozenset({"environments", "environment", "envs", "clusters", "overlays", "flux", "components"})
_NOT_ENVIRONMENTS = frozenset({"_shared", "shared", "base", "common", "default", "components"})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImportNote:
    """A note about one conversion or one refusal, and its place."""

    where: Location
    subject: str
    message: str
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """One layer of values: a file of the repository, or values written in an object."""

    path: str = ""  # of the file; empty for inline values
    data: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes = b""
    encrypted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundChart:
    """The source of a release's chart."""

    kind: Literal["repository", "oci", "path", "manifests"]
    repository: str = ""
    name: str = ""
    version: str = ""
    path: str = ""  # from the repository's root
    files: tuple[PurePosixPath, ...] = ()  # of plain manifests, from there


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A release in one environment."""

    name: str
    namespace: str
    environment: str
    tier: str
    position: int  # releases with lower positions come first
    where: Location
    chart: FoundChart
    values: tuple[Values, ...] = ()  # weakest first
    needs: tuple[Key, ...] = ()
    manual: bool = False  # it is synced manually
    creates_namespace: bool = True
    by_wave: bool = False  # it is ordered by waves, not by needs
    keys: Mapping[str, Any] = field(default_factory=dict)  # other keys of the release

    @property
    def is_smoke(self) -> bool:
        """Whether it only runs tests, with the chart of this project's smoke releases."""
        return PurePosixPath(self.chart.path).name == SMOKE_CHART

    @property
    def key(self) -> Key:
        """Its name on the cluster."""
        return self.namespace, self.name


def value_file(tree: Tree, path: str) -> Values | None:
    """Return a value file of the repository; None if it cannot be read as a map."""
    clean = normal(path)
    if clean is None:
        return None
    file = tree.root / clean
    try:
        raw = read_source(file)
    except OSError:
        return None
    document = parse(raw, file)
    encrypted = "sops" in mapping(document.data) and b"ENC[" in raw
    return Values(path=str(clean), data=mapping(document.data), raw=raw, encrypted=encrypted)


def environment_of(labels: Mapping[str, Any], paths: Iterable[str]) -> str:
    """Return the environment: a label of that name, else the directory below `environments`, `clusters` or similar."""
    for value in _labelled(labels, "environment", "env"):
        return value
    for path in paths:
        parts = PurePosixPath(path).parts
        for at, part in enumerate(parts[:-1]):
            following = parts[at + 1]
            if part in _DIRECTORIES and following not in _NOT_ENVIRONMENTS and at + 2 < len(parts):
                return following
    return ""


def tier_of(labels: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the tier: a label `tier` or `layer`, else the first name that is a tier; leading digits are an order."""
    for value in (*_labelled(labels, "tier"), *_labelled(labels, "layer")):
        return slug(value)
    return next((found for name in names if (found := slug(name))), "apps")


def _labelled(labels: Mapping[str, Any], *names: str) -> Iterator[str]:
    """Yield the values of labels of these names, with any prefix."""
    return (str(value) for key, value in labels.items() if value and str(key).rpartition("/")[2] in names)


def slug(text: str) -> str:
    """Return a layer's name: lower case, without leading digits."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"^\d+[-_]", "", text.lower())).strip("-")


def depths(edges: Mapping[Any, Iterable[Any]]) -> dict[Any, int]:
    """Return the length of the longest path of needs below each node; a cycle counts once."""
    found: dict[Any, int] = {}

    def depth(node: Any, above: frozenset[Any]) -> int:
        if node in found:
            return found[node]
        if node in above:
            return 0
        below = [depth(one, above | {node}) + 1 for one in edges.get(node, ()) if one in edges]
        found[node] = max(below, default=0)
        return found[node]

    for node in edges:
        depth(node, frozenset())
    return found


def pairs(data: Mapping[str, Any], *names: str) -> Iterator[tuple[str, Any]]:
    """Yield those of the keys that a map has."""
    return ((name, data[name]) for name in names if data.get(name) not in (None, "", [], {}))
