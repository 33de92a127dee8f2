"""What every part of an embedded cluster calls by name; it imports nothing, so that to look at one costs little."""

from __future__ import annotations

import platform
from typing import Any

SIMULATED_KUBELET = "simulated-kubelet"  # what answers for the kubelets of simulated nodes
COMPONENTS = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller"),
    SIMULATED_KUBELET,
)
API_GATEWAY = "api-gateway"  # what carries the real node's connections to the API server
REAL_NODE = "real-0"  # the one node that is real
REAL_PROGRAMS = (API_GATEWAY, "containerd", "kubelet", "kube-proxy")  # what runs for it
REAL_LABEL = "devtools.ameide.io/real"  # of that node, and its taint
UTILITY_IMAGE = "localhost/devtools/ops:1"

SMOKE_VALUES: dict[str, Any] = {
    "image": UTILITY_IMAGE,
    "imagePullPolicy": "Never",
    "nodeSelector": {REAL_LABEL: "true"},
    "tolerations": [{"key": REAL_LABEL, "operator": "Equal", "value": "true", "effect": "NoSchedule"}],
    "dnsPolicy": "Default",  # there is no DNS in the cluster, and kubelet warns of every pod that asks for it
}


def architecture() -> str:
    """This machine's architecture as Go and image specifications call it."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "amd64"
