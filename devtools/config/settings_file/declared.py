"""The keys of `devtools.yaml`, as types; see `devtools.config.declared`."""

from __future__ import annotations

from typing import Annotated, Required

from pydantic import Field, with_config
from typing_extensions import TypedDict

from devtools.config.declared import (
    CHARTS,
    DNS_LABEL,
    GIT,
    KUBERNETES,
    MIRROR,
    ORDER,
    PORTS,
    PROVIDER,
    PRUNE,
    STRICT,
    SYNC,
    URL,
    VOLUME,
    Labels,
    Name,
    Text,
)


@with_config(STRICT)
class PathsKeys(TypedDict, total=False):
    """Where things are, from the repository's root."""

    layers: Text
    """The layer files; `layers` when absent."""
    charts: Text
    """The charts; `charts` when absent."""
    environments: Text
    """The overlays; `environments` when absent."""
    simulation: Text
    """What plays the controllers on the embedded cluster; `simulation` when absent."""


@with_config(STRICT)
class ClusterKeys(TypedDict, total=False):
    """The cluster that tasks use."""

    name: Annotated[str, Field(pattern=DNS_LABEL, max_length=32)]
    """Its name; the stack's when absent."""
    provider: Annotated[str, Field(pattern=PROVIDER)]
    """`auto` (k3d where a Docker engine answers, else kwok), `kwok`, `k3d` or `context`."""
    context: Text
    """The kube context of provider `context`; it must be in `allowed_contexts`."""
    nodes: Annotated[int, Field(ge=1, le=100)]
    """How many simulated nodes the embedded cluster has; 3 when absent."""
    api_port: Annotated[int, Field(ge=1, le=65535)]
    """The port of this machine on which a k3d cluster's API server answers; 6550 when absent."""
    registry_port: Annotated[int, Field(ge=1, le=65535)]
    """The port of this machine on which k3d's registry answers; 5550 when absent."""
    kubernetes: Annotated[str, Field(pattern=KUBERNETES)]
    """The Kubernetes version of a k3d cluster, by its k3s image; what k3d is made for when absent."""
    image: Text
    """The node image of a k3d cluster, instead of `kubernetes`."""
    servers: Annotated[int, Field(ge=1, le=9)]
    """How many servers a k3d cluster has; 1 when absent."""
    agents: Annotated[int, Field(ge=0, le=20)]
    """How many agents a k3d cluster has; 0 when absent."""
    ports: list[Annotated[str, Field(pattern=PORTS)]]
    """Ports of 127.0.0.1 that lead to the load balancer of a k3d cluster: `8080:80`."""
    mirrors: dict[Text, list[Annotated[str, Field(pattern=URL)]]]
    """Registries by host, and the URLs from which the nodes of a k3d cluster pull instead."""
    volumes: list[Annotated[str, Field(pattern=VOLUME)]]
    """What is mounted into every node of a k3d cluster: a path from the repository's root, or a volume of Docker's."""
    traefik: bool
    """Whether k3s installs Traefik, which takes ports 80 and 443 of a k3d cluster; false when absent."""
    config: Text
    """A k3d configuration file inside the repository; the other keys are laid over it."""


@with_config(STRICT)
class EnvironmentKeys(TypedDict, total=False):
    """What differs in one environment."""

    cluster: ClusterKeys
    """Keys of `cluster` for this environment."""


@with_config(STRICT)
class GitopsClusterKeys(TypedDict, total=False):
    """The cluster that an environment is deployed to, by exactly one of its keys."""

    name: Text
    """Its name in Argo CD."""
    server: Annotated[str, Field(pattern=URL)]
    """The URL of its API server; `https://kubernetes.default.svc` is the controller's own cluster."""
    labels: Labels
    """Labels of cluster Secrets in Argo CD: every cluster that has them all."""


FromKey = TypedDict(
    "FromKey",
    {"from": Annotated[Name, Field(description="The environment that changes are promoted from.")]},
    total=False,
)
"""A key that is a word of Python, so that a class cannot have it."""


@with_config(STRICT)
class GitopsEnvironmentKeys(FromKey, total=False):
    """How a controller syncs one environment."""

    cluster: GitopsClusterKeys
    """The cluster it is deployed to; the controller's own when absent."""
    sync: Annotated[str, Field(pattern=SYNC)]
    """`auto`: the controller syncs what changes; `manual`: people do. `auto` when absent."""
    prune: Annotated[str, Field(pattern=PRUNE)]
    """`auto`: what is no longer declared is deleted; `confirm`: after approval; `never`. `confirm` when absent."""
    order: Annotated[str, Field(pattern=ORDER)]
    """`rolling`, `waves` or `none`: how Argo CD keeps the stack's order. `rolling` when absent."""


@with_config(STRICT)
class GitopsKeys(TypedDict, total=False):
    """What GitOps exports need to know."""

    repository: Required[Annotated[str, Field(pattern=GIT)]]
    """The URL of this Git repository, as the controllers reach it."""
    revision: Text
    """The branch, tag or commit that controllers follow; `main` when absent."""
    path: Text
    """Where the stack's root lies in the Git repository; its root when absent."""
    charts: Annotated[str, Field(pattern=CHARTS)]
    """Where controllers take third-party charts from: `upstream` (as locked), `extracted` or `oci://…`."""
    project: Name
    """The project of all releases whose layer names none; the stack's name when absent."""
    team: Name
    """The team that owns all releases that name none; the stack's name when absent."""
    environments: dict[Name, GitopsEnvironmentKeys]
    """The exported environments; all but `local` when absent."""


@with_config(STRICT)
class SettingsFile(TypedDict, total=False):
    """Settings of a repository: `devtools.yaml`."""

    name: Annotated[str, Field(pattern=DNS_LABEL, max_length=32)]
    """The stack's name; the directory's when absent."""
    paths: PathsKeys
    """Where things are."""
    environment: Name
    """The environment when none is asked for; `local` when absent."""
    cluster: ClusterKeys
    """The cluster that tasks use."""
    environments: dict[Name, EnvironmentKeys]
    """What differs in an environment, by its name."""
    allowed_contexts: list[Text]
    """Kube contexts that may be written to, besides those of clusters made here."""
    gitops: GitopsKeys
    """What GitOps exports need to know."""
    chart_mirror: Annotated[str, Field(pattern=MIRROR)]
    """Where third-party charts come from instead of the lock's sources."""
