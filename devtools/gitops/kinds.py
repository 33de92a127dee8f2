"""Kinds that every cluster has, and the group and version of a contract's kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devtools.gitops.component import KindInfo
from devtools.model import Contract

_NAMESPACED = {
    "v1": "ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod ReplicationController ResourceQuota Secret "
    "Service ServiceAccount",
    "apps/v1": "DaemonSet Deployment ReplicaSet StatefulSet",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "CronJob Job",
    "coordination.k8s.io/v1": "Lease",
    "discovery.k8s.io/v1": "EndpointSlice",
    "networking.k8s.io/v1": "Ingress NetworkPolicy",
    "policy/v1": "PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding",
}
_CLUSTER_SCOPED = {
    "v1": "Namespace Node PersistentVolume",
    "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration ValidatingAdmissionPolicy "
    "ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
    "apiregistration.k8s.io/v1": "APIService",
    "certificates.k8s.io/v1": "CertificateSigningRequest",
    "flowcontrol.apiserver.k8s.io/v1": "FlowSchema PriorityLevelConfiguration",
    "networking.k8s.io/v1": "IngressClass",
    "node.k8s.io/v1": "RuntimeClass",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding",
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": "CSIDriver CSINode StorageClass VolumeAttachment",
}


def _kinds() -> Iterable[KindInfo]:
    for table, namespaced in ((_NAMESPACED, True), (_CLUSTER_SCOPED, False)):
        for api_version, kinds in table.items():
            group, _, version = api_version.rpartition("/")
            for kind in kinds.split():
                yield KindInfo(group=group, version=version, kind=kind, namespaced=namespaced)


BUILTIN: Mapping[str, KindInfo] = {item.kind: item for item in _kinds()}
"""Kinds of Kubernetes itself, by name."""

GROUPS = frozenset(item.group for item in BUILTIN.values()) | {"events.k8s.io", "authentication.k8s.io"}
"""API groups of Kubernetes itself."""


def kind_of(contract: Contract, crds: Mapping[str, KindInfo]) -> KindInfo | None:
    """Return the kind of a contract's object: as written, of Kubernetes, or of a CRD of the stack; None if unknown."""
    if contract.api_version:
        group, _, version = contract.api_version.rpartition("/")
        known = crds.get(contract.kind)
        namespaced = known.namespaced if known and known.group == group else True
        return KindInfo(group=group, version=version, kind=contract.kind, namespaced=namespaced)
    return BUILTIN.get(contract.kind) or crds.get(contract.kind)
