"""Where things are and what may be written to: `devtools.yaml` at the repository's root, all of it optional."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from devtools.errors import ConfigError, Problem, config_error

if TYPE_CHECKING:
    from devtools.base.yaml_positions import Document

FILE = "devtools.yaml"
_LONGEST_NAME = 255  # bytes: NAME_MAX of Linux and macOS
_LONGEST_PATH = 900  # bytes: with a root before it, still less than PATH_MAX of macOS
_NAME_AT_MOST = 32  # k3d's limit for a cluster's name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The cluster that tasks use."""

    name: str
    provider: Literal["auto", "kwok", "k3d", "context"] = "auto"
    context: str = ""  # of provider `context`
    nodes: int = 3  # simulated ones
    api_port: int = 6550  # of k3d, on this machine
    registry_port: int = 5550  # of k3d's registry, on this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `devtools.yaml` says, with its defaults filled in; paths are absolute."""

    name: str
    root: Path
    layers: Path
    charts: Path
    environments: Path
    simulation: Path
    cluster: ClusterSettings
    environment: str = "local"
    allowed_contexts: tuple[str, ...] = field(default=())


def find_root(start: Path) -> Path:
    """The nearest directory at or above `start` that holds devtools.yaml or layers/; ConfigError where none does."""
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / FILE).is_file() or (directory / "layers").is_dir():
            return directory
    raise ConfigError(
        f"no stack here: neither {FILE} nor layers/ in {start} or above it",
        hint=f"go to the repository, or make {FILE} or layers/10-bootstrap.yaml at its root",
    )


def load_settings(root: Path) -> Settings:
    """Settings of the repository at `root`; ConfigError with every problem of the file."""
    from devtools.base.yaml_positions import Document, read  # noqa: PLC0415
    from devtools.config.declared import SettingsFile  # noqa: PLC0415 - imports pydantic
    from devtools.config.validate import validated  # noqa: PLC0415 - only who reads a file anew

    root = root.resolve()
    path = root / FILE
    document = read(path, Path(FILE)) if path.exists() else Document(file=Path(FILE))
    data, problems = validated(SettingsFile, document)
    found = [*problems, *_path_problems(document, data), *_context_problems(document, data)]
    if found:
        raise config_error(found)
    return _settings(root, data)


def _settings(root: Path, data: Mapping[str, Any]) -> Settings:
    name = data.get("name") or _sanitised(root.name)
    paths = data.get("paths", {})
    cluster = {"name": name, **data.get("cluster", {})}
    return Settings(
        name=name,
        root=root,
        layers=root / paths.get("layers", "layers"),
        charts=root / paths.get("charts", "charts"),
        environments=root / paths.get("environments", "environments"),
        simulation=root / paths.get("simulation", "simulation"),
        cluster=ClusterSettings(**cluster),
        environment=data.get("environment", "local"),
        allowed_contexts=tuple(data.get("allowed_contexts", ())),
    )


def _sanitised(name: str) -> str:
    """A directory's name as a DNS label: `My Repo_2` is `my-repo-2`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:_NAME_AT_MOST].strip("-") or "stack"


def _path_problems(document: Document, data: Mapping[str, Any]) -> list[Problem]:
    """Paths stay in the repository: what they name is read, hashed and committed."""
    problems = []
    for key, value in data.get("paths", {}).items():
        if not is_inside(value):
            problems.append(document.problem(("paths", key), f"'{key}' must be a path inside the repository"))
    return problems


def is_inside(value: str) -> bool:
    """Whether a path from a repository's root stays in it, and is one that a file can have."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\0" in value:
        return False
    sizes = [len(part.encode(errors="surrogatepass")) for part in path.parts]
    return max(sizes, default=0) <= _LONGEST_NAME and sum(sizes) + len(sizes) <= _LONGEST_PATH


def _context_problems(document: Document, data: Mapping[str, Any]) -> list[Problem]:
    """Provider `context` names its context, and the context is one that may be written to."""
    cluster = data.get("cluster", {})
    context = cluster.get("context", "")
    if cluster.get("provider") != "context":
        if not context:
            return []
        message = "'context' is for provider 'context' only"
        return [document.problem(("cluster", "context"), message, "add provider: context, or take it out")]
    if not context:
        return [document.problem(("cluster", "provider"), "provider 'context' needs 'context': which kube context")]
    if context not in data.get("allowed_contexts", ()):
        message = f"context '{context}' may not be written to"
        return [document.problem(("cluster", "context"), message, f"add it to allowed_contexts: [{context}]")]
    return []
