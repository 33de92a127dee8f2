"""`invoke drift` as a user types it, against what hands have changed on the embedded cluster."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {nothing: null}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: example.invalid/app:1
          resources: {requests: {cpu: 1000m, memory: 1024Mi}, limits: {}}
          env: [{name: LEVEL, value: debug}, {name: DB_PASSWORD, value: "{{ .Values.db.password }}"}]
          ports: [{name: http, containerPort: 80}]
"""
SCALED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: scaled}
spec:
  replicas: 1
  selector: {matchLabels: {app: scaled}}
  template:
    metadata: {labels: {app: scaled}}
    spec: {containers: [{name: app, image: example.invalid/app:1}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaled}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: scaled}
  minReplicas: 1
  maxReplicas: 5
"""
DATA = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  app.conf: |
    level: info
    port: 80
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: "{{ .Values.db.password }}"}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: web}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
LAYER = """\
stage: apps
releases:
  - name: web
    chart: platform/web
    values: {db: {password: DECLARED-marker}}
"""


class ManualEdits:
    """Somebody with kubectl."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._root = kube, namespace

    def path(self, kind: str, name: str = "web") -> str:
        resource = self._kube.resource(kind)
        assert resource
        return resource.path(self._root, name)

    def edit(self, kind: str, patch: Mapping[str, Any], name: str = "web", manager: str = "kubectl-edit") -> None:
        self._kube.merge(self.path(kind, name), patch, manager)

    def delete(self, kind: str, name: str = "web") -> None:
        assert self._kube.delete(self.path(kind, name))

    def get(self, kind: str, name: str = "web") -> dict[str, Any]:
        found = self._kube.get(self.path(kind, name))
        assert found
        return found


@pytest.fixture
def web(repo: Repo) -> Repo:
    """A release with something of everything, installed."""
    repo.chart("web", WEB, SCALED, DATA)
    repo.write("layers/20-apps.yaml", LAYER)
    first = repo.invoke("up", "--no-test")
    assert first.code == 0, first.text
    return repo


@pytest.fixture
def manual_edits(web: Repo, cluster: Cluster) -> ManualEdits:
    return ManualEdits(Kube(cluster.kubeconfig, cluster.context, Cancel()), web.namespace)


def fields(document: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The fields by their paths in which the only object of a kind differs."""
    (item,) = [drift for release in document["releases"] for drift in release["drifts"] if drift["kind"] == kind]
    return {field["path"]: field for field in item["fields"]}


IMAGE = '.spec.template.spec.containers[name="app"].image'
PASSWORD = '.spec.template.spec.containers[name="app"].env[name="DB_PASSWORD"].value'


def test_manual_changes_are_reported_and_repaired(web: Repo, manual_edits: ManualEdits) -> None:
    clean = web.invoke("drift", "--output", "json")
    assert (clean.code, clean.document["drifted"]) == (0, False), clean.text
    assert clean.document["counts"]["releases"] == 3  # the two of every repository

    container = {"name": "app", "image": "evil:2", "env": [{"name": "DB_PASSWORD", "value": "LIVE-marker"}]}
    manual_edits.edit("Deployment", {"spec": {"replicas": 3, "template": {"spec": {"containers": [container]}}}})
    manual_edits.edit("Deployment", {"spec": {"replicas": 2}}, name="scaled", manager="kube-controller-manager")
    manual_edits.delete("ConfigMap")
    manual_edits.edit("Secret", {"data": {"password": base64.b64encode(b"LIVE-marker").decode()}})
    manual_edits.edit("Service", {"metadata": {"labels": {"mine": "yes"}}, "spec": {"selector": {"app": "other"}}})

    found = web.invoke("drift", "--output", "json")
    assert found.code == 1
    document = found.document
    assert document["counts"]["drifted_objects"] == 4
    deployment = fields(document, "Deployment")
    replicas = deployment[".spec.replicas"]
    assert (replicas["declared"], replicas["live"], replicas["manager"]) == (1, 3, "kubectl-edit")
    assert replicas["at"].endswith("Z")
    assert (deployment[IMAGE]["declared"], deployment[IMAGE]["live"]) == ("example.invalid/app:1", "evil:2")
    assert deployment[PASSWORD]["hidden"]
    assert deployment['.spec.template.spec.containers[name="app"].env[name="LEVEL"]']["removed"]
    secret = fields(document, "Secret")[".data.password"]
    assert (secret["hidden"], secret["declared"], secret["live"]) == (True, None, None)
    assert secret["manager"] == "kubectl-edit"
    assert list(fields(document, "Service")) == [
        ".spec.selector.app"
    ]  # a label that nobody declared is nobody's affair
    assert fields(document, "ConfigMap") == {}

    reported = web.invoke("drift", "--name", "20")
    assert reported.code == 1
    assert f"  Deployment/web in {web.namespace}\n    .spec.replicas: 1 → 3\n      by kubectl-edit at 2" in reported.out
    assert "Secret/web" in reported.out
    assert ".data.password: differs (its values are not shown)" in reported.out
    assert f"ConfigMap/web in {web.namespace}  is gone" in reported.out
    assert reported.err.endswith("restore what was deployed: invoke drift 20 --fix\n")
    assert "4 objects of 1 release drifted, of 7 objects of 1 release compared" in reported.out

    fixed = web.invoke("drift", "--fix", "--output", "json")
    assert fixed.code == 0, fixed.text
    assert fixed.document["fix"] == {"exit_code": 0, "releases": [f"{web.namespace}/web"], "left": []}
    assert "1 object is gone: ConfigMap/web" in fixed.err
    assert manual_edits.get("Deployment")["spec"]["replicas"] == 1
    assert manual_edits.get("Deployment", "scaled")["spec"]["replicas"] == 1
    assert base64.b64decode(manual_edits.get("Secret")["data"]["password"]) == b"DECLARED-marker"
    assert manual_edits.get("ConfigMap")["data"]
    assert "no drift: 7 objects of 1 release compared" in web.invoke("drift", "--release", "web").out
    for typed in (clean, found, reported, fixed):
        for word in ("marker", *(base64.b64encode(start).decode()[:8] for start in (b"LIVE-mar", b"DECLARED"))):
            assert word not in typed.text


def test_a_manually_changed_port_is_reported_and_repaired(web: Repo, manual_edits: ManualEdits) -> None:
    """Ports are told apart by number and have one name: an apply puts the declared one beside the changed one."""
    container = {"name": "app", "image": "example.invalid/app:1", "ports": [{"name": "http", "containerPort": 81}]}
    manual_edits.edit("Deployment", {"spec": {"replicas": 3, "template": {"spec": {"containers": [container]}}}})
    manual_edits.edit("Service", {"spec": {"ports": [{"port": 81}]}}, manager="somebody")
    document = web.invoke("drift", "--output", "json").document
    ports = '.spec.template.spec.containers[name="app"].ports'
    deployment = fields(document, "Deployment")
    assert deployment[".spec.replicas"]["live"] == 3
    assert (
        deployment[f"{ports}[containerPort=80]"]["removed"],
        deployment[f"{ports}[containerPort=80]"]["manager"],
    ) == (
        True,
        "",
    )
    strange = deployment[f'{ports}[containerPort=81,protocol="TCP"]']
    assert (strange["added"], strange["manager"]) == (True, "kubectl-edit")
    service = fields(document, "Service")
    assert {path: field["manager"] for path, field in service.items()} == {
        ".spec.ports[port=80]": "",
        '.spec.ports[port=81,protocol="TCP"]': "somebody",
    }
    fixed = web.invoke("drift", "--fix")
    assert fixed.code == 0, fixed.text
    assert "no drift" in fixed.out
    assert [port["port"] for port in manual_edits.get("Service")["spec"]["ports"]] == [80]
    live = manual_edits.get("Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert [port["containerPort"] for port in live] == [80]


def test_what_cannot_be_compared_is_named(web: Repo, manual_edits: ManualEdits) -> None:
    web.write("layers/30-more.yaml", LAYER.replace("name: web\n    chart", "name: later\n    chart"))
    later = web.invoke("drift")
    assert later.code == 1
    printed = " ".join(later.out.split())
    assert f"{web.namespace}/later nothing to compare with: not on the cluster (invoke layer 30-more)" in printed
    assert "1 release not compared" in later.out
    (web.path / "layers/30-more.yaml").unlink()
    none = web.invoke("drift", "--name", "nowhere", "--output", "json")
    assert (none.code, none.document["kind"]) == (2, "error")


def test_manually_recreated_objects_are_replaced(web: Repo, manual_edits: ManualEdits) -> None:
    manual_edits.delete("Service")
    manual_edits._kube.create(
        manual_edits.path("Service").rpartition("/")[0],
        {
            "metadata": {"name": "web"},
            "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
    )
    found = web.invoke("drift", "--output", "json")
    drifts = {drift["kind"]: drift for release in found.document["releases"] for drift in release["drifts"]}
    assert set(drifts) == {"Service"}, found.out
    assert drifts["Service"]["state"] == "changed"
    assert fields(found.document, "Service")[".metadata.labels"]["removed"]
    fixed = web.invoke("drift", "--fix")
    assert fixed.code == 0, fixed.text
    assert "no drift" in fixed.out


RANDOM = """\
apiVersion: v1
kind: Secret
metadata: {name: random}
stringData: {password: {{ randAlphaNum 20 | quote }}, level: {{ .Values.level | quote }}}
"""


def test_a_nondeterministic_chart_is_left_alone_with_a_warning(repo: Repo, cluster: Cluster) -> None:
    repo.chart("random", RANDOM)
    repo.write(
        "layers/20-apps.yaml", "stage: apps\nreleases: [{name: random, chart: platform/random, values: {level: a}}]\n"
    )
    first = repo.invoke("layer", "20", "--output", "json")
    assert (first.code, first.document["notices"]) == (0, []), first.text
    manual_edits = ManualEdits(Kube(cluster.kubeconfig, cluster.context, Cancel()), repo.namespace)
    password = manual_edits.get("Secret", "random")["data"]["password"]
    again = repo.invoke("layer", "20", "--output", "json")
    assert ([item["outcome"] for item in again.document["releases"]], again.document["notices"]) == (["unchanged"], [])
    assert repo.invoke("drift", "--name", "20").code == 0
    assert manual_edits.get("Secret", "random")["data"]["password"] == password

    repo.edit("layers/20-apps.yaml", "level: a", "level: b")
    warning = "may render differently each time (randAlphaNum in templates/0.yaml)"
    planned = repo.invoke("plan", "--name", "20", "--output", "json").document["notices"]
    assert [notice["message"].partition(":")[0] for notice in planned] == [warning]
    assert repo.invoke("layer", "20").code == 0
    forced = repo.invoke("layer", "20", "--force", "--output", "json").document["notices"]
    assert [notice["message"].partition(":")[0] for notice in forced] == [
        warning,
        "rendered differently from the same inputs",
    ]
    assert forced[1]["message"].endswith(": Secret/random .stringData.password")
    assert manual_edits.get("Secret", "random")["data"]["password"] != password
