"""Names that all parts of an embedded cluster share; imports nothing, so that checking its status is cheap."""

from __future__ import annotations

import platform
from typing import Any

SIMULATED_KUBELET = "simulated-kubelet"  # the program that answers for the kubelets of simulated nodes
KWOK = "kwok-controller"  # the program that simulates nodes, pods and what Stages describe
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", KWOK, SIMULATED_KUBELET)
API_GATEWAY = "api-gateway"  # the program that forwards the real node's connections to the API server
REAL_NODE = "real-0"  # the single real node
REAL_PROGRAMS = (API_GATEWAY, "containerd", "kubelet", "kube-proxy")  # its programs
REAL_LABEL = "devtools.ameide.io/real"  # of that node, and its taint
UTILITY_IMAGE = "localhost/devtools/ops:1"

SMOKE_VALUES: dict[str, Any] = {
    "image": UTILITY_IMAGE,
    "imagePullPolicy": "Never",
    "nodeSelector": {REAL_LABEL: "true"},
    "tolerations": [{"key": REAL_LABEL, "operator": "Equal", "value": "true", "effect": "NoSchedule"}],
    "dnsPolicy": "Default",  # the cluster has no DNS, and kubelet warns of every pod that requires it
}


def architecture() -> str:
    """Return this machine's architecture as Go and image specifications name it."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "amd64"
