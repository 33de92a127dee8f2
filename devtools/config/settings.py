"""Reads `devtools.yaml` at the repository's root, all of it optional: directories, clusters, allowed contexts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from devtools.base.key_types import (
    ClusterName,
    Derived,
    Host,
    Kubernetes,
    Limits,
    Mirror,
    Name,
    Port,
    PublishedPort,
    Text,
    Url,
    Volume,
    Written,
)
from devtools.config.settings_file.gitops import LOCAL, GitopsSettings, gitops_settings
from devtools.errors import ConfigError, Problem, config_error
from devtools.model import Hook

if TYPE_CHECKING:
    from devtools.base.yaml_positions import Document

FILE = "devtools.yaml"
_NAME_AT_MOST = 32  # k3d's limit for a cluster's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where things are, from the repository's root."""

    layers: Text = "layers"
    """The layer files; `layers` when absent."""
    charts: Text = "charts"
    """The charts; `charts` when absent."""
    environments: Text = "environments"
    """The overlays; `environments` when absent."""
    simulation: Text = "simulation"
    """The directory of Stages that simulate controllers on the embedded cluster; `simulation` when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The cluster that tasks use."""

    name: ClusterName = ""
    """Its name; the stack's when absent."""
    provider: Literal["auto", "kwok", "k3d", "context"] = "auto"
    """`auto` (k3d if a Docker engine answers, else kwok), `kwok`, `k3d` or `context`."""
    context: Text = ""
    """The kube context of provider `context`; it must be in `allowed_contexts`."""
    nodes: Annotated[int, Limits(ge=1, le=100)] = 3
    """How many simulated nodes the embedded cluster has; 3 when absent."""
    api_port: Port = 6550
    """The port of this machine on which a k3d cluster's API server answers; 6550 when absent."""
    registry_port: Port = 5550
    """The port of this machine on which k3d's registry answers; 5550 when absent."""
    kubernetes: Kubernetes = ""
    """The Kubernetes version of a k3d cluster, by its k3s image; what k3d is made for when absent."""
    image: Text = ""
    """The node image of a k3d cluster, instead of `kubernetes`."""
    servers: Annotated[int, Limits(ge=1, le=9)] | None = None
    """How many servers a k3d cluster has; 1 when absent."""
    agents: Annotated[int, Limits(ge=0, le=20)] | None = None
    """How many agents a k3d cluster has; 0 when absent."""
    ports: tuple[PublishedPort, ...] = ()
    """Ports of 127.0.0.1 that lead to the load balancer of a k3d cluster: `8080:80`."""
    mirrors: Mapping[Text, tuple[Url, ...]] = field(default_factory=dict)
    """Registries by host, and the URLs from which the nodes of a k3d cluster pull instead."""
    volumes: tuple[Volume, ...] = ()
    """Volumes mounted into every node of a k3d cluster: paths from the repository's root, or Docker volumes."""
    traefik: bool = False
    """Whether k3s installs Traefik, which takes ports 80 and 443 of a k3d cluster; false when absent."""
    config: Text = ""
    """A k3d configuration file inside the repository; the other keys override it."""
    declared: Derived[tuple[str, ...]] = ()  # keys that devtools.yaml has


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """Settings of one environment."""

    cluster: ClusterSettings = ClusterSettings()
    """Keys of `cluster` for this environment."""
    extends: Name = ""
    """The environment whose values and overlays lie under its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a repository: `devtools.yaml`."""

    root: Derived[Path]
    name: ClusterName = ""
    """The stack's name; the directory's when absent."""
    paths: Paths = Paths()
    """Where things are."""
    environment: Name = "local"
    """The environment when none is asked for; `local` when absent."""
    cluster: ClusterSettings = ClusterSettings()
    """The cluster that tasks use."""
    clusters: Annotated[Mapping[str, ClusterSettings], Written(Mapping[Name, EnvironmentSettings], "environments")] = (
        field(default_factory=dict)
    )
    """Settings of each environment, by its name."""
    extends: Derived[Mapping[str, str]] = field(default_factory=dict)  # the environment under another one
    references: bool = False
    """Whether `${path.to.value}` in layer files and overlays stands for an environment's value; false when absent."""
    before: tuple[Hook, ...] = ()
    """Commands run before anything is changed by `up` or `layer`."""
    after: tuple[Hook, ...] = ()
    """Commands run after that, whatever the result is."""
    allowed_contexts: tuple[Text, ...] = ()
    """Kube contexts that may be written to, besides those of clusters made here."""
    gitops: GitopsSettings | None = None
    """Settings of GitOps exports."""
    chart_mirror: Mirror = ""
    """The source of third-party charts, instead of the lock's sources."""
    chart_ca: Mapping[Host, Text] = field(default_factory=dict)
    """By host (`charts.example.com`, `10.0.0.1:8443`) of charts, the PEM file of the authorities to trust there."""

    @property
    def layers(self) -> Path:
        """The directory of the layer files."""
        return self.root / self.paths.layers

    @property
    def charts(self) -> Path:
        """The directory of the charts."""
        return self.root / self.paths.charts

    @property
    def environments(self) -> Path:
        """The directory of the overlays."""
        return self.root / self.paths.environments

    @property
    def simulation(self) -> Path:
        """The directory of objects that simulate controllers on the embedded cluster."""
        return self.root / self.paths.simulation

    def levels_of(self, environment: str) -> tuple[str, ...]:
        """Return the environment after those that it extends: weakest first."""
        below = self.extends.get(environment)
        return (*self.levels_of(below), environment) if below else (environment,)

    def cluster_of(self, environment: str) -> ClusterSettings:
        """Return the cluster settings of an environment."""
        return self.clusters.get(environment, self.cluster)


def find_root(start: Path) -> Path:
    """Return the nearest directory at or above `start` with devtools.yaml or layers/; ConfigError if none has."""
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / FILE).is_file() or (directory / "layers").is_dir():
            return directory
    raise ConfigError(
        f"no stack here: neither {FILE} nor layers/ in {start} or above it",
        hint=f"change to the repository, or create {FILE} or layers/10-bootstrap.yaml at its root",
    )


def load_settings(root: Path) -> Settings:
    """Return the settings of the repository at `root`; ConfigError with every problem of the file."""
    from devtools.base.yaml_positions import Document, read
    from devtools.config.cluster_keys import cluster_problems
    from devtools.config.settings_file.checks import extends_problems, gitops_problems, hook_problems
    from devtools.config.validate import validated

    root = root.resolve()
    path = root / FILE
    document = read(path, Path(FILE)) if path.exists() else Document(file=Path(FILE))
    data, problems = validated(Settings, document)
    checks = (_path_problems, cluster_problems, extends_problems, gitops_problems, hook_problems)
    if found := [*problems, *(problem for check in checks for problem in check(document, data, root))]:
        raise config_error(found)
    return _settings(document, data, root)


def _settings(document: Document, data: Mapping[str, Any], root: Path) -> Settings:
    from devtools.config.settings_file.checks import known_environments
    from devtools.config.validate import made

    name = data.get("name") or re.sub(r"[^a-z0-9]+", "-", root.name.lower())[:_NAME_AT_MOST].strip("-") or "stack"
    cluster = {"name": name, **data.get("cluster", {})}
    environments = data.get("environments", {})
    clusters = {
        key: _cluster({**cluster, **value["cluster"]}) for key, value in environments.items() if "cluster" in value
    }
    settings = made(
        Settings,
        {**data, "name": name, "cluster": _cluster(cluster), "environments": clusters},
        root=root,
        gitops=None,
        extends={key: value["extends"] for key, value in environments.items() if "extends" in value},
        **{
            key: tuple(made(Hook, item, where=document.at((key, at))) for at, item in enumerate(data.get(key, ())))
            for key in ("before", "after")
        },
    )
    if "gitops" not in data:
        return settings
    exported = [key for key in known_environments(data, root) if key != LOCAL]
    return replace(settings, gitops=gitops_settings(data["gitops"], name, exported))


def _cluster(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**keys, "declared": [key for key in keys if key != "name"]}


def _path_problems(document: Document, data: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Check that paths stay in the repository, because their targets are read, hashed and committed."""
    from devtools.config.validate import is_inside

    for key, value in data.get("paths", {}).items():
        if not is_inside(value):
            yield document.problem(("paths", key), f"'{key}' must be a path inside the repository")
    for host, value in data.get("chart_ca", {}).items():
        if not is_inside(value):
            yield document.problem(("chart_ca", host), f"'{value}' must be a path inside the repository")
        elif not (root / value).is_file():
            yield document.problem(("chart_ca", host), f"{value} is not a file", "it holds PEM certificates")
