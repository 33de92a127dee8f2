"""What the API server refuses, overcome by typing the very command that the output offers."""

from __future__ import annotations

import re

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.e2e.test_drift import ManualEdits
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster

APP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {say: "{{ .Values.say }}"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: web}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: example.invalid/app:1, args: ["{{ .Values.say }}"]}]
"""
LAYER = "stage: apps\nreleases: [{name: web, chart: platform/web, values: {say: a}}]\n"
OFFERED = re.compile(r"invoke (layer \S+ --(?:recreate|take-ownership) \S+)")


@pytest.fixture
def web(repo: Repo) -> Repo:
    """A release with a ConfigMap and a Job, installed."""
    repo.chart("web", APP)
    repo.write("layers/20-apps.yaml", LAYER)
    first = repo.invoke("layer", "20")
    assert first.code == 0, first.text
    return repo


def test_the_commands_that_are_offered_lead_on(web: Repo, cluster: Cluster) -> None:
    manual_edits = ManualEdits(Kube(cluster.kubeconfig, cluster.context, Cancel()), web.namespace)
    manual_edits.edit("ConfigMap", {"data": {"say": "mine"}})
    job = manual_edits.get("Job")["metadata"]["uid"]
    web.edit("layers/20-apps.yaml", "say: a", "say: b")
    typed = web.invoke("layer", "20")
    for flag in ("--take-ownership", "--recreate"):  # the second is met only once the first is overcome
        assert typed.code == 1, typed.text
        offered = OFFERED.search(" ".join(typed.text.split()))
        assert offered, typed.text
        assert flag in offered[1]
        typed = web.invoke(*offered[1].split())
    assert typed.code == 0, typed.text
    assert manual_edits.get("ConfigMap")["data"] == {"say": "b"}
    assert manual_edits.get("Job")["metadata"]["uid"] != job


@pytest.mark.parametrize(
    ("flag", "named", "printed"),
    [
        ("--recreate", "conf", "is not part of this run"),
        ("--take-ownership", "smkoe", "did you mean 'smoke'?"),
    ],
)
def test_a_flag_for_what_this_run_is_not_about_is_refused(offline: Repo, flag: str, named: str, printed: str) -> None:
    refused = offline.invoke("layer", "60", flag, named)
    assert refused.code == 2, refused.text
    assert printed in " ".join(refused.text.split())
