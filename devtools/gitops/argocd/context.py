"""The settings and names that all files of an Argo CD export share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.config.settings_file.gitops import GitopsEnvironment, GitopsSettings
from devtools.gitops.argocd.layout import LAYOUTS, Layout
from devtools.gitops.component import LABEL, Component, ExportOptions, Object

NAMESPACE = "argocd"
API_VERSION = "argoproj.io/v1alpha1"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
IN_CLUSTER = "https://kubernetes.default.svc"
LONGEST_LABEL = 63  # characters of a label's value
WAVE = f"{LABEL}/wave"
# The API server compares. Otherwise fields that it drops (empty maps in CRDs) or normalizes would be a difference
# for ever, and a rolling sync never leaves the step.
COMPARED = {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The stack's name, its settings, and the options of the export."""

    stack: str
    settings: GitopsSettings
    options: ExportOptions

    @property
    def layout(self) -> Layout:
        """The layout of the files."""
        return LAYOUTS[self.options.layout]

    @property
    def own_project(self) -> str:
        """The project of the Applications that deploy Applications."""
        return f"{self.stack}-gitops"

    def path(self, path: PurePosixPath) -> str:
        """Return the path, from the Git repository's root, of a file below --out."""
        return str(self.options.place.out / path)

    def application_name(self, component: Component) -> str:
        """Return the name of a component's Application: unique in an Argo CD that holds every environment."""
        several = len(self.settings.environments) > 1
        return f"{component.environment}-{component.name}" if several else component.name


def argocd_object(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> Object:
    """Return an object in Argo CD's namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, **metadata}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def document(data: Mapping[str, Any], comment: str = "") -> bytes:
    """Return an object as a YAML file, under comment lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return (head + yaml_text(data)).encode()


def label_value(text: str) -> str:
    """Return a name as the value of a label, which has at most 63 characters: a long one ends in a digest."""
    if len(text) <= LONGEST_LABEL:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: LONGEST_LABEL - len(digest) - 1]}-{digest}"


def component_labels(component: Component) -> dict[str, str]:
    """Return the labels of a component's Application."""
    reserved = {"stage", "layer"}  # as in the release records of `invoke up`
    own = {key: value for key, value in component.release.labels.items() if key not in reserved}
    return own | {
        f"{LABEL}/environment": component.environment,
        f"{LABEL}/tier": component.tier,
        f"{LABEL}/team": component.team,
        f"{LABEL}/stage": component.stage,
        f"{LABEL}/component": label_value(component.name),
        WAVE: str(component.wave),
    }


def finalizers(environment: GitopsEnvironment) -> dict[str, list[str]]:
    """Return the finalizer by which the deletion of an Application deletes its objects; none if they must stay."""
    return {} if environment.prune == "never" else {"finalizers": [FINALIZER]}


def destination(environment: GitopsEnvironment) -> dict[str, str]:
    """Return the cluster of an environment whose clusters are not selected by labels."""
    if environment.cluster.name:
        return {"name": environment.cluster.name}
    return {"server": environment.cluster.server or IN_CLUSTER}
