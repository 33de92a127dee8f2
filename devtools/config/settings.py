"""Where things are and what may be written to: `devtools.yaml` at the repository's root, all of it optional."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from devtools.config.settings_file.gitops import LOCAL, GitopsSettings, gitops_settings
from devtools.errors import ConfigError, Problem, config_error

if TYPE_CHECKING:
    from devtools.base.yaml_positions import Document

FILE = "devtools.yaml"
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
    kubernetes: str = ""  # of k3d, as all that follows
    image: str = ""
    servers: int | None = None
    agents: int | None = None
    ports: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    traefik: bool = False
    config: str = ""  # file, from the root
    declared: tuple[str, ...] = ()  # keys that devtools.yaml has


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
    clusters: Mapping[str, ClusterSettings] = field(default_factory=dict)  # by environment, if it has its own
    gitops: GitopsSettings | None = None
    chart_mirror: str = ""  # where charts come from instead of the lock's sources

    def cluster_of(self, environment: str) -> ClusterSettings:
        """The cluster of an environment."""
        return self.clusters.get(environment, self.cluster)


def find_root(start: Path) -> Path:
    """The nearest directory at or above `start` that holds devtools.yaml or layers/; ConfigError where none does."""
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / FILE).is_file() or (directory / "layers").is_dir():
            return directory
    raise ConfigError(
        f"no stack here: neither {FILE} nor layers/ in {start} or above it",
        hint=f"change to the repository, or create {FILE} or layers/10-bootstrap.yaml at its root",
    )


def load_settings(root: Path) -> Settings:
    """Settings of the repository at `root`; ConfigError with every problem of the file."""
    from devtools.base.yaml_positions import Document, read
    from devtools.config.cluster_keys import cluster_problems
    from devtools.config.settings_file.checks import gitops_problems
    from devtools.config.settings_file.declared import SettingsFile
    from devtools.config.validate import validated

    root = root.resolve()
    path = root / FILE
    document = read(path, Path(FILE)) if path.exists() else Document(file=Path(FILE))
    data, problems = validated(SettingsFile, document)
    found = [*problems, *_path_problems(document, data), *cluster_problems(document, data, root)]
    found += gitops_problems(document, data, root)
    if found:
        raise config_error(found)
    return _settings(root, data)


def _settings(root: Path, data: Mapping[str, Any]) -> Settings:
    name = data.get("name") or _sanitised(root.name)
    paths = data.get("paths", {})
    cluster = {"name": name, **data.get("cluster", {})}
    environments = {key: value["cluster"] for key, value in data.get("environments", {}).items() if "cluster" in value}
    return Settings(
        name=name,
        root=root,
        layers=root / paths.get("layers", "layers"),
        charts=root / paths.get("charts", "charts"),
        environments=root / paths.get("environments", "environments"),
        simulation=root / paths.get("simulation", "simulation"),
        cluster=_cluster(cluster),
        clusters={key: _cluster({**cluster, **keys}) for key, keys in environments.items()},
        environment=data.get("environment", "local"),
        allowed_contexts=tuple(data.get("allowed_contexts", ())),
        gitops=gitops_settings(data, name, _environments(root, data)) if "gitops" in data else None,
        chart_mirror=data.get("chart_mirror", ""),
    )


def _environments(root: Path, data: Mapping[str, Any]) -> list[str]:
    """Return the names of all environments but the local one."""
    directory = root / data.get("paths", {}).get("environments", "environments")
    return sorted(path.name for path in directory.glob("[!_.]*") if path.is_dir() and path.name != LOCAL)


def _cluster(data: Mapping[str, Any]) -> ClusterSettings:
    """From the keys of one cluster, with their lists as tuples."""
    mirrors = {host: tuple(urls) for host, urls in data.get("mirrors", {}).items()}
    lists = {key: tuple(data.get(key, ())) for key in ("ports", "volumes")}
    declared = tuple(key for key in data if key != "name")
    return ClusterSettings(**{**data, **lists, "mirrors": mirrors, "declared": declared})


def _sanitised(name: str) -> str:
    """A directory's name as a DNS label: `My Repo_2` is `my-repo-2`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:_NAME_AT_MOST].strip("-") or "stack"


def _path_problems(document: Document, data: Mapping[str, Any]) -> list[Problem]:
    """Paths stay in the repository: what they name is read, hashed and committed."""
    from devtools.config.validate import is_inside

    problems = []
    for key, value in data.get("paths", {}).items():
        if not is_inside(value):
            problems.append(document.problem(("paths", key), f"'{key}' must be a path inside the repository"))
    return problems
