"""AppProjects with the minimal permissions that their components need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from devtools.gitops.argocd.applications import SYNC_WAVE
from devtools.gitops.argocd.context import IN_CLUSTER, NAMESPACE, Context, argocd_object, destination
from devtools.gitops.argocd.spec import repository_of
from devtools.gitops.component import Component, Components, Object

_OPERATORS = (
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
)
"""Cluster-scoped kinds of operators, which a chart that is not on this disk may contain."""


_BEFORE = {SYNC_WAVE: "-1"}  # the Applications of a project


def projects(components: Components, context: Context) -> Mapping[str, Object]:
    """Return the AppProjects of all components by name, and the one of the Applications that deploy Applications."""
    members: dict[str, list[Component]] = {}
    for items in components.values():
        for component in items:
            members.setdefault(component.project, []).append(component)
    found = {name: _project(name, items, context) for name, items in sorted(members.items())}
    return found | {context.own_project: _own_project(context)}


def _project(name: str, components: Sequence[Component], context: Context) -> Object:
    repositories = {context.settings.repository} | {repository_of(component) for component in components}
    kinds = [{"group": group, "kind": kind} for group, kind in sorted(_cluster_kinds(components))]
    spec = {
        "description": f"Releases of the stack {context.stack}",
        "sourceRepos": sorted(repositories),
        "destinations": _destinations(components, context),
        "clusterResourceWhitelist": kinds,
        "orphanedResources": {"warn": True, "ignore": [{"kind": "Secret", "name": "sh.helm.release.v1.*"}]},
    }
    return argocd_object("AppProject", name, spec, annotations=_BEFORE)


def _own_project(context: Context) -> Object:
    kinds = [{"group": "argoproj.io", "kind": kind} for kind in ("AppProject", "Application", "ApplicationSet")]
    if context.settings.secret_store and context.settings.credentials:
        kinds.append({"group": "external-secrets.io", "kind": "ExternalSecret"})
    spec = {
        "description": f"Applications, sets and projects of the stack {context.stack}",
        "sourceRepos": [context.settings.repository],
        "destinations": [{"server": IN_CLUSTER, "namespace": NAMESPACE}],
        "clusterResourceWhitelist": [],
        "namespaceResourceWhitelist": kinds,
    }
    return argocd_object("AppProject", context.own_project, spec, annotations=_BEFORE)


def _destinations(components: Iterable[Component], context: Context) -> list[dict[str, str]]:
    """Return every cluster with every namespace that is deployed to."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for component in components:
        environment, namespace = context.settings.environments[component.environment], component.release.namespace
        # Only Argo CD knows the clusters that labels select.
        cluster = {"server": "*"} if environment.cluster.labels else destination(environment)
        found[*min(cluster.items()), namespace] = {**cluster, "namespace": namespace}
    return [found[key] for key in sorted(found)]


def _cluster_kinds(components: Iterable[Component]) -> set[tuple[str, str]]:
    kinds: set[tuple[str, str]] = set()
    for component in components:
        kinds |= set(component.chart.cluster_kinds if component.chart.is_readable else _OPERATORS)
        if component.chart.crds:
            kinds.add(("apiextensions.k8s.io", "CustomResourceDefinition"))
        if component.creates_namespace:
            kinds.add(("", "Namespace"))
    return kinds
