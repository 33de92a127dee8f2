"""The settings under `gitops` in devtools.yaml, with defaults filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from devtools.base.key_types import ChartSource, Derived, Git, ImageName, Labels, Name, Text, Url, Written

LOCAL = "local"  # the environment of laptops, which no controller deploys


@dataclass(frozen=True, slots=True, kw_only=True)
class GitopsCluster:
    """The cluster that an environment is deployed to, by exactly one of its keys; else the controller's own."""

    name: Text = ""
    """Its name in Argo CD."""
    server: Url = ""
    """The URL of its API server; `https://kubernetes.default.svc` is the controller's own cluster."""
    labels: Labels = field(default_factory=dict)
    """Labels of cluster Secrets in Argo CD: every cluster that has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitopsEnvironment:
    """How a controller syncs one environment."""

    name: Derived[str]
    cluster: GitopsCluster = field(default_factory=GitopsCluster)
    """The cluster it is deployed to; the controller's own when absent."""
    sync: Literal["auto", "manual"] = "auto"
    """`auto`: the controller syncs what changes; `manual`: people do. `auto` when absent."""
    prune: Literal["auto", "confirm", "never"] = "confirm"
    """`auto`: deletes objects no longer declared; `confirm`: after approval; `never`. `confirm` when absent."""
    order: Literal["rolling", "waves", "none"] = "rolling"
    """`rolling`, `waves` or `none`: how Argo CD keeps the stack's order. `rolling` when absent."""
    promoted_from: Annotated[Name, Written(key="from")] = ""
    """The environment that changes are promoted from."""
    controller: Literal["argocd", "flux"] | None = None
    """The controller that deploys it, so that no laptop does; none when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUpdate:
    """An image whose newest tag Flux writes into the overlays of an environment."""

    image: ImageName
    """The image, as charts write it, without tag."""
    release: Text
    """The release that runs it, by name."""
    value: Text
    """The path of the tag in its values, such as `image.tag`."""
    semver: Text = ""
    """The versions to choose from, such as `1.x`; this or `pattern`."""
    pattern: Text = ""
    """A regular expression of tags whose group `order` is a number: the highest is the newest."""
    environments: tuple[Name, ...] = ()
    """The environments it is updated in; all that are synced automatically when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitopsSettings:
    """Settings of GitOps exports."""

    repository: Git
    """The URL of this Git repository, as the controllers reach it."""
    revision: Text = "main"
    """The branch, tag or commit that controllers follow; `main` when absent."""
    path: Text = ""
    """The stack's root directory in the Git repository; its root when absent."""
    charts: ChartSource = "upstream"
    """Where controllers take third-party charts from: `upstream` (as locked), `extracted` or `oci://…`."""
    project: Name = ""
    """The project of all releases whose layer names none; the stack's name when absent."""
    team: Name = ""
    """The team that owns all releases that name none; the stack's name when absent."""
    credentials: Mapping[Text, Name] = field(default_factory=dict)
    """Private repositories by URL, each with the name of the Secret that holds its credentials."""
    secret_store: Name = ""
    """The ClusterSecretStore that `secrets` of releases come from."""
    environments: Mapping[Name, GitopsEnvironment] = field(default_factory=dict)
    """The exported environments; all but `local` when absent."""
    images: tuple[ImageUpdate, ...] = ()
    """Images whose newest tags Flux commits."""


def gitops_settings(keys: Mapping[str, Any], stack: str, environments: Iterable[str]) -> GitopsSettings:
    """Return the settings of validated keys; `environments` are exported if they name none."""
    from devtools.config.validate import made

    declared = keys.get("environments") or {name: {} for name in environments}
    return made(
        GitopsSettings,
        {"project": stack, "team": stack, **keys},
        path=str(keys.get("path", "")).strip("/").removeprefix("./").removeprefix("."),
        environments={name: made(GitopsEnvironment, item, name=name) for name, item in declared.items()},
    )
