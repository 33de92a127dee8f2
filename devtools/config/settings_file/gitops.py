"""What `gitops` in devtools.yaml says, with its defaults filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

LOCAL = "local"  # the environment of laptops, which no controller deploys


@dataclass(frozen=True, slots=True, kw_only=True)
class GitopsCluster:
    """The cluster that an environment is deployed to; without any of them, the controller's own."""

    name: str = ""  # in Argo CD
    server: str = ""  # URL of the API server
    labels: Mapping[str, str] = field(default_factory=dict)  # of cluster Secrets in Argo CD


@dataclass(frozen=True, slots=True, kw_only=True)
class GitopsEnvironment:
    """How a controller syncs one environment."""

    name: str
    cluster: GitopsCluster = field(default_factory=GitopsCluster)
    sync: Literal["auto", "manual"] = "auto"
    prune: Literal["auto", "confirm", "never"] = "confirm"
    order: Literal["rolling", "waves", "none"] = "rolling"
    promoted_from: str = ""  # an environment


@dataclass(frozen=True, slots=True, kw_only=True)
class GitopsSettings:
    """What exports need to know of the repository, and the environments to export."""

    repository: str
    revision: str = "main"
    path: str = ""  # of the stack's root in the Git repository
    charts: str = "upstream"  # or `extracted`, or oci://…
    project: str
    team: str
    environments: Mapping[str, GitopsEnvironment] = field(default_factory=dict)


def gitops_settings(data: Mapping[str, Any], stack: str, environments: Iterable[str]) -> GitopsSettings:
    """Return the settings in the validated data of devtools.yaml; `environments` are exported if it names none."""
    keys = data["gitops"]
    declared = keys.get("environments") or {name: {} for name in environments}
    return GitopsSettings(
        **{key: keys[key] for key in ("repository", "revision", "charts") if key in keys},
        path=str(keys.get("path", "")).strip("/").removeprefix("./").removeprefix("."),
        project=keys.get("project", stack),
        team=keys.get("team", stack),
        environments={name: _environment(name, item) for name, item in declared.items()},
    )


def _environment(name: str, keys: Mapping[str, Any]) -> GitopsEnvironment:
    return GitopsEnvironment(
        name=name,
        cluster=GitopsCluster(**keys.get("cluster", {})),
        promoted_from=keys.get("from", ""),
        **{key: keys[key] for key in ("sync", "prune", "order") if key in keys},
    )
