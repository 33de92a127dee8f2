"""`invoke drift` where the last revision is not deployed: what differs from what should be there is told, too."""

from __future__ import annotations

from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.e2e.test_drift import ManualEdits, fields
from tests.kits.repository import Repo, Typed

pytestmark = pytest.mark.cluster

REFUSED = """\
apiVersion: batch/v1
kind: Job
metadata: {name: web}
spec:
  template:
    spec: {restartPolicy: Always, containers: [{name: app, image: example.invalid/app:1}]}
"""  # a Job's pods may not be restarted for ever; Helm applies Jobs last
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: example.invalid/app:1
          env: [{name: GREETING, value: "hello {{ .Values.db.password }}"}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {port: "80"}
"""
LAYER = """\
stage: apps
releases:
  - name: web
    chart: platform/web
    values: {db: {password: FIRST-marker}}
"""


@pytest.fixture
def web(repo: Repo) -> Repo:
    """A release that can be made to fail."""
    repo.chart("web", WEB)
    repo.write("layers/20-apps.yaml", LAYER)
    return repo


@pytest.fixture
def manual_edits(web: Repo, cluster: Cluster) -> ManualEdits:
    return ManualEdits(Kube(cluster.kubeconfig, cluster.context, Cancel()), web.namespace)


def broken(web: Repo, *, yes: bool) -> None:
    """Let the API server refuse the last object of the chart, or let it have none such."""
    web.chart("web", WEB, *([REFUSED] if yes else ["# nothing"]))


def only(typed: Typed) -> dict[str, Any]:
    (release,) = typed.document["releases"]
    return dict(release)


def test_after_a_failed_fix_the_last_deployed_revision_counts(web: Repo, manual_edits: ManualEdits) -> None:
    assert web.invoke("layer", "20").code == 0
    manual_edits.edit("ConfigMap", {"data": {"port": "81"}})
    manual_edits.edit("Deployment", {"spec": {"replicas": 3}})
    broken(web, yes=True)
    web.edit("layers/20-apps.yaml", "FIRST-marker", "SECOND-marker")
    failed = web.invoke("drift", "--name", "20", "--fix")
    assert failed.code == 1, failed.text
    assert "revision 2 is failed: compared with revision 1, the last that is deployed" in " ".join(failed.out.split())

    manual_edits.delete("ConfigMap")
    found = web.invoke("drift", "--name", "20", "--output", "json")
    release = only(found)
    assert found.code == 1
    assert (release["status"], release["revision"]) == ("failed", 2)
    assert (release["compared"], release["compared_revision"], release["compared_status"]) == (True, 1, "deployed")
    drifts = {drift["kind"]: drift["state"] for drift in release["drifts"]}
    assert drifts == {"Deployment": "changed", "ConfigMap": "missing"}
    changed = fields(found.document, "Deployment")
    greeting = '.spec.template.spec.containers[name="app"].env[name="GREETING"].value'
    assert list(changed) == [greeting]  # the replicas were put back
    assert changed[greeting]["manager"] == "helm"
    assert (changed[greeting]["declared"], changed[greeting]["live"]) == ("hello ***", "hello ***")
    assert "marker" not in found.text + failed.text  # neither that revision's secret, nor the later one's

    broken(web, yes=False)
    fixed = web.invoke("drift", "--name", "20", "--fix", "--output", "json")
    assert fixed.code == 0, fixed.text
    assert fixed.document["fix"]["left"] == []
    assert web.invoke("drift", "--name", "20").code == 0


def test_a_failed_first_install_is_compared_with_its_manifest(web: Repo, manual_edits: ManualEdits) -> None:
    broken(web, yes=True)
    assert web.invoke("layer", "20").code == 1
    manual_edits.delete("ConfigMap")
    found = web.invoke("drift", "--name", "20", "--output", "json")
    release = only(found)
    assert (found.code, release["compared_revision"], release["compared_status"]) == (1, 1, "failed")
    drifts = [(drift["kind"], drift["state"]) for drift in release["drifts"]]
    assert sorted(drifts) == [("ConfigMap", "missing"), ("Job", "missing")]
    assert (found.document["counts"]["not_deployed"], found.document["counts"]["not_compared"]) == (1, 0)
    reported = " ".join(web.invoke("drift", "--name", "20").out.split())
    assert "revision 1 is failed, and none is deployed: compared with the objects of that revision" in reported
    assert f"Job/web in {web.namespace} is not there" in reported
