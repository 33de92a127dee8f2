"""Kinds that a release wants and nobody brought."""

from __future__ import annotations

from devtools.helm.commands import missing_kinds
from devtools.readiness.wait import Failure

# What belongs to Kubernetes itself: no release brings a kind of these (https://kubernetes.io/docs/reference/using-api/).
_OWN = frozenset(
    {"", "apps", "autoscaling", "batch", "extensions", "policy", "apiextensions.k8s.io", "apiregistration.k8s.io"}
    | {f"{area}.k8s.io" for area in ("admissionregistration", "authentication", "authorization", "certificates")}
    | {f"{area}.k8s.io" for area in ("coordination", "discovery", "events", "flowcontrol.apiserver", "networking")}
    | {f"{area}.k8s.io" for area in ("node", "rbac.authorization", "resource", "scheduling", "storage")}
)


def unknown(text: str) -> Failure | None:
    """What helm's complaint means where it is about kinds that the cluster does not have."""
    kinds = missing_kinds(text)
    if not kinds:
        return None
    said = f"the cluster has no kind {' and '.join(kinds)}"
    if all(kind.rpartition(" of ")[2].rpartition("/")[0] in _OWN for kind in kinds):
        hint = "the chart is for another Kubernetes: `kubectl api-versions` shows what this one serves"
        return Failure(f"{said}: its Kubernetes does not serve that version of its API", hint=hint, details=[text])
    return Failure(
        f"{said}: no CRD for it is there", hint="add the release that brings the CRD to its needs", details=[text]
    )
