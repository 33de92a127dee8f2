"""Rights that some infrastructure needs beside its chart, by the chart's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devtools.gitops.component import Component

RBAC = "rbac.authorization.k8s.io"
_VERSION = f"{RBAC}/v1"
_ALL = ["create", "delete", "get", "list", "patch", "update", "watch"]
TENANT_RULES: Sequence[Mapping[str, Any]] = (
    {"apiGroups": [""], "resources": ["namespaces", "resourcequotas", "serviceaccounts"], "verbs": _ALL},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": _ALL},
    {"apiGroups": [RBAC], "resources": ["rolebindings"], "verbs": _ALL},
    {"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["admin", "edit", "view"], "verbs": ["bind"]},
    {"apiGroups": ["helm.toolkit.fluxcd.io"], "resources": ["helmreleases"], "verbs": _ALL},
    {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": _ALL},
)
"""What kro may do: as much as tenants are made of."""


def rbac_of(component: Component) -> Sequence[Mapping[str, Any]]:
    """Return the objects that grant a component its rights; none if its chart brings them all."""
    make = _MAKERS.get(component.chart_short)
    return make(component) if make else ()


def _kro(component: Component) -> Sequence[Mapping[str, Any]]:
    """Return the role that kro's own role takes up with rbac.mode=aggregation."""
    labels = {"rbac.kro.run/aggregate-to-controller": "true"}
    name = f"{component.name}-tenants"
    return [_object("ClusterRole", name, "", labels=labels, rules=[dict(rule) for rule in TENANT_RULES])]


def _argo_workflows(component: Component) -> Sequence[Mapping[str, Any]]:
    """Return the service account of workflows: their pods report results as WorkflowTaskResults."""
    name, namespace = "workflow", component.namespace
    rules = [{"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}]
    role = {"apiGroup": RBAC, "kind": "Role", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    return [
        _object("ServiceAccount", name, namespace, version="v1"),
        _object("Role", name, namespace, rules=rules),
        _object("RoleBinding", name, namespace, roleRef=role, subjects=subjects),
    ]


def _object(
    kind: str,
    name: str,
    namespace: str,
    *,
    version: str = _VERSION,
    labels: Mapping[str, str] | None = None,
    **fields: Any,
) -> Mapping[str, Any]:
    metadata = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        **({"labels": labels} if labels else {}),
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


_MAKERS: Mapping[str, Callable[[Component], Sequence[Mapping[str, Any]]]] = {
    "argo-workflows": _argo_workflows,
    "kro": _kro,
}
