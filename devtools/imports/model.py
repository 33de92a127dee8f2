"""The types of an import: what it reads and what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.model import ReleaseId

Files = Mapping[PurePosixPath, bytes]  # contents by path below the root of a repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report: what was or was not converted, where it is written, and what to do."""

    carried: bool
    what: str
    where: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart of the other tool, converted: `name` as layer files name it; its lock entry, or its own files."""

    name: str
    version: str = ""
    entry: Mapping[str, Any] = field(default_factory=dict)
    files: Files = field(default_factory=dict)

    @property
    def is_packaged(self) -> bool:
        """Whether it is made of manifests or a kustomization, which accept no values."""
        return self.name.startswith(("manifests/", "kustomize/"))

    @property
    def moves_objects(self) -> bool:
        """Whether helmfile would move objects of other namespaces to the release's, as it does with kustomizations."""
        return self.name.startswith("kustomize/") and any(b"namespace:" in raw for raw in self.files.values())

    def __str__(self) -> str:
        """Return its name and version."""
        return f"{self.name.partition('@')[0]} {self.version}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A release as the other tool declares it in one environment."""

    id: ReleaseId
    keys: Mapping[str, Any]
    source: Path  # of its state file
    installed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The files of an import by their paths below the repository's root, and the report."""

    files: Files
    rows: tuple[Row, ...]
    lock: tuple[Mapping[str, Any], ...] = ()  # entries for charts/third_party/lock.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A release's file of encrypted values, unchanged; empty if it cannot be read."""

    name: str  # as the helmfile has it
    raw: bytes
