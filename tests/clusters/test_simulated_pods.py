"""What Stages play on the shared cluster: pods, volumes, failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster

Apply = Callable[..., None]
STAGES = "/apis/kwok.x-k8s.io/v1alpha1/stages"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NOTICED = "simulation.devtools.ameide.io/noticed"


@pytest.fixture
def kube(cluster: Cluster, namespace: str) -> Kube:
    found = Kube(cluster.kubeconfig, cluster.context, Cancel())
    found.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    return found


def pod(name: str, *, fail: str = "", policy: str = "Always", **metadata: Any) -> dict[str, Any]:
    labels = {"simulation.devtools.ameide.io/fail": fail} if fail else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, **metadata},
        "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "example.org/app:1"}]},
    }


def make(kube: Kube, namespace: str, item: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Create a pod (when its namespace has a ServiceAccount); gives a look at its status."""
    path = f"/api/v1/namespaces/{namespace}"
    eventually(lambda: kube.get(f"{path}/serviceaccounts/default"))
    kube.create(f"{path}/pods", item)

    def look() -> dict[str, Any]:
        found = kube.get(f"{path}/pods/{item['metadata']['name']}")
        return dict((found or {}).get("status") or {})

    return look


def waiting(status: dict[str, Any]) -> str:
    statuses = status.get("containerStatuses") or [{}]
    return str((statuses[0].get("state") or {}).get("waiting", {}).get("reason", ""))


def test_a_pod_becomes_ready_and_goes_at_once(kube: Kube, namespace: str) -> None:
    look = make(kube, namespace, pod("web"))
    eventually(lambda: {"type": "Ready", "status": "True"}.items() <= ready(look()).items())
    assert look()["podIP"].startswith("10.244.")
    kube.delete(f"/api/v1/namespaces/{namespace}/pods/web")
    eventually(lambda: look() == {})


def ready(status: dict[str, Any]) -> dict[str, Any]:
    return next((entry for entry in status.get("conditions") or [] if entry["type"] == "Ready"), {})


@pytest.mark.parametrize(
    ("fail", "policy", "phase", "reason"),
    [
        ("image", "Always", "Pending", "ImagePullBackOff"),
        ("crash", "Always", "Running", "CrashLoopBackOff"),
        ("crash", "Never", "Failed", ""),
        ("unready", "Always", "Running", ""),
    ],
)
def test_a_label_makes_a_pod_fail(kube: Kube, namespace: str, fail: str, policy: str, phase: str, reason: str) -> None:
    look = make(kube, namespace, pod("bad", fail=fail, policy=policy))
    eventually(lambda: look().get("containerStatuses"))
    status = look()
    assert (status["phase"], waiting(status), ready(status)["status"]) == (phase, reason, "False")


def test_a_bare_hook_completes(kube: Kube, namespace: str) -> None:
    look = make(kube, namespace, pod("hook", policy="Never", annotations={"helm.sh/hook": "pre-install, test"}))
    eventually(lambda: look().get("phase") == "Succeeded")


def test_a_bare_pod_runs_on(kube: Kube, namespace: str) -> None:
    look = make(kube, namespace, pod("shell", policy="Never"))
    hook = make(kube, namespace, pod("later", policy="Never", annotations={"helm.sh/hook": "test"}))
    eventually(lambda: hook().get("phase") == "Succeeded")
    assert look()["phase"] == "Running"


STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - {name: db, image: "example.org/db:1", resources: {requests: {cpu: "4", ephemeral-storage: 8Gi}}}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}
"""


def test_claims_are_bound_and_their_volumes_go_with_them(kube: Kube, namespace: str, cluster: Cluster) -> None:
    kube.create(f"/apis/apps/v1/namespaces/{namespace}/statefulsets", yaml.safe_load(STATEFUL))
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/db"
    eventually(lambda: ((kube.get(path) or {}).get("status") or {}).get("readyReplicas") == 2)
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    volumes = [item["spec"]["volumeName"] for item in kube.items(claims)]
    assert len(volumes) == 2
    first = kube.get(f"/api/v1/persistentvolumes/{volumes[0]}")
    assert first is not None
    assert Path(first["spec"]["hostPath"]["path"]).is_relative_to(cluster.kubeconfig.parent)
    kube.delete(path)
    eventually(lambda: not kube.items(f"/api/v1/namespaces/{namespace}/pods"))
    for item in kube.items(claims):
        kube.delete(f"{claims}/{item['metadata']['name']}")
    eventually(lambda: all(kube.get(f"/api/v1/persistentvolumes/{name}") is None for name in volumes))


DAEMON = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec:
      tolerations: [{operator: Exists}]
      nodeSelector: %s
      containers: [{name: agent, image: "example.org/agent:1"}]
"""


@pytest.mark.parametrize("selector", ["{}", "{kubernetes.io/os: linux}"])
def test_a_daemonset_is_complete_without_the_real_node(kube: Kube, namespace: str, selector: str) -> None:
    sets = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    kube.create(sets, yaml.safe_load(DAEMON % ("agent", "agent", "agent", selector)))
    simulated = len(kube.items("/api/v1/nodes", labelSelector="type=kwok"))

    def numbers() -> tuple[int, int]:
        status = (kube.get(f"{sets}/agent") or {}).get("status") or {}
        return status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)

    eventually(lambda: numbers() == (simulated, simulated))


def thing(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Stage that plays a kind of this test's own, and the CRD of that kind."""
    group = f"{namespace}.example.com"
    stage = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": namespace},
        "spec": {
            "resourceRef": {"apiGroup": f"{group}/v1", "kind": "Thing"},
            "selector": {"matchExpressions": [{"jq": {"key": ".status.seen", "operator": "DoesNotExist"}}]},
            "steps": [
                {"patch": {"subresource": "status", "root": "status", "type": "merge", "template": "seen: yes!"}}
            ],
        },
    }
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{**version, "subresources": {"status": {}}}],
        },
    }
    return stage, crd


@pytest.mark.parametrize("when", ["together", "later"])
def test_a_stage_applied_by_hand_works_for_a_later_crd(kube: Kube, namespace: str, when: str) -> None:
    """kwok looks for the kinds of its Stages when a Stage changes, and never again."""
    stage, crd = thing(namespace)
    path, noticing = f"{STAGES}/{namespace}", f"{STAGES}/kind-established-for-{namespace}"
    try:
        kube.create(STAGES, stage)
        if when == "later":
            eventually(lambda: kube.get(noticing))
        kube.create(CRDS, crd)
        things = f"/apis/{crd['spec']['group']}/v1/namespaces/{namespace}/things"
        eventually(lambda: kube.get(things))
        kube.create(things, {"apiVersion": f"{crd['spec']['group']}/v1", "kind": "Thing", "metadata": {"name": "one"}})
        eventually(lambda: (kube.get(f"{things}/one") or {}).get("status") == {"seen": "yes!"})
        if when == "later":
            made = kube.get(f"{CRDS}/{crd['metadata']['name']}") or {}
            assert made["metadata"]["annotations"] == {NOTICED: "true"}  # so kwok was told to look again
    finally:
        kube.delete(f"{CRDS}/{crd['metadata']['name']}")
        kube.delete(path)
    eventually(lambda: kube.get(noticing) is None)
