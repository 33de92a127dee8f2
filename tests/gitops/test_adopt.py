"""`invoke gitops.adopt` and `invoke gitops.diff --live` on a real API server, after a real `invoke layer`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.kits.repository import Repo

APP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {say: {{ .Values.say | quote }}, ignored: {{ .Values.say | quote }}}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData: {password: {{ .Values.password }}}
"""
LAYER = """\
stage: base
releases:
  - name: conf
    chart: platform/conf
    values: {say: hello, password: c4n4ry-one}
    ignore: [{kind: ConfigMap, paths: [/data/ignored]}]
  - name: later
    chart: platform/conf
    values: {say: hello, password: c4n4ry-two}
"""


@pytest.fixture
def deployed(repo: Repo) -> Repo:
    repo.write("devtools.yaml", f"name: {repo.namespace}\ngitops: {{repository: https://git.example.com/a.git}}\n")
    repo.chart("conf", APP)
    repo.write("layers/10-base.yaml", LAYER[: LAYER.index("  - name: later")])
    done = repo.invoke("layer", "10")
    assert done.code == 0, done.text
    repo.write("layers/10-base.yaml", LAYER)
    return repo


@pytest.fixture
def kubectl(repo: Repo, cluster: Cluster, tool: Callable[[str], Path], tmp_path: Path) -> Callable[..., str]:
    def run(*words: str) -> str:
        where = (str(tool("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "--namespace", repo.namespace)
        result = SubprocessRunner({"KUBECACHEDIR": str(tmp_path)}, Cancel()).run(
            Command(argv=(*where, *words), cwd=tmp_path, timeout=300)
        )
        assert result.ok, result.stderr
        return result.stdout

    return run


def adopt(repo: Repo, engine: str) -> tuple[int, dict[str, Any]]:
    done = repo.invoke("gitops.adopt", "--engine", engine, "--output", "json")
    assert "c4n4ry" not in done.text
    return done.code, done.document


@pytest.mark.parametrize("engine", ["argocd", "flux"])
def test_what_a_controller_takes_over_and_from_whom(deployed: Repo, kubectl: Callable[..., str], engine: str) -> None:
    code, document = adopt(deployed, engine)
    found = {item["release"].partition("/")[2]: item for item in document["releases"]}
    assert (code, document["conflicts"]) == (0, [])
    assert (found["conf"]["action"], found["conf"]["record"], found["conf"]["objects"]) == ("unchanged", 1, 2)
    assert (found["later"]["action"], found["later"]["record"]) == ("install", None)
    kubectl("patch", "configmap", "conf", "--patch", '{"data": {"say": "other", "ignored": "other"}}')
    version = kubectl("get", "configmap", "conf", "--output", "jsonpath={.metadata.resourceVersion}")
    code, document = adopt(deployed, engine)
    assert code == 1
    assert document["conflicts"] == [
        {
            "release": f"{deployed.namespace}/conf",
            "object": "ConfigMap/conf",
            "field": ".data.say",
            "manager": "kubectl-patch",
        }
    ]
    live = deployed.invoke("gitops.diff", "--env", "local", "--live", "--engine", engine, "--fail-on-change")
    assert live.code == 1
    assert '.data.say: "other" → "hello"' in live.out
    assert "takes .data.say from kubectl-patch" in " ".join(live.out.split())
    assert kubectl("get", "configmap", "conf", "--output", "jsonpath={.metadata.resourceVersion}") == version


def test_an_object_that_the_chart_no_longer_has(deployed: Repo) -> None:
    deployed.chart("conf", APP[: APP.index("---")])
    for engine, does in (("argocd", "keep"), ("flux", "remove")):
        _, document = adopt(deployed, engine)
        release = next(item for item in document["effect"]["releases"] if item["release"].endswith("/conf"))
        assert [(item["kind"], item["action"]) for item in release["objects"]] == [("Secret", does)]


def test_an_unknown_engine_is_refused(repo: Repo) -> None:
    done = repo.invoke("gitops.adopt", "--engine", "jenkins")
    assert (done.code, "--engine is 'jenkins'" in done.err) == (2, True)
