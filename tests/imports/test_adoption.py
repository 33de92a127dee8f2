"""Releases that helmfile deployed, imported and adopted: real helmfile, real helm, real API server."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster
HELMFILE = """\
environments:
  dev:
    values: [{domain: dev.example, replicas: 2}]
---
helmDefaults: {wait: true}
commonLabels: {team: shop}
releases:
  - name: cache
    namespace: NAMESPACE
    createNamespace: false
    chart: ./charts/web
    labels: {tier: back}
  - name: web
    namespace: NAMESPACE
    chart: ./charts/web
    needs: [NAMESPACE/cache]
    values:
      - replicas: {{ .Values.replicas }}
        host: www.{{ .Values.domain }}
    set: [{name: level, value: "3"}]
"""
TEMPLATE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, labels: {level: {{ .Values.level | quote }}}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: c, image: nginx, env: [{name: HOST, value: {{ .Values.host | quote }}}]}]}
"""


def test_what_helmfile_deployed_is_adopted_without_a_change(repo: Repo, cluster: Cluster) -> None:
    if {row.name: row.path for row in repo.app.toolchain.table()}["helmfile"] is None:
        pytest.skip("helmfile is not built here: invoke import.helmfile builds it")
    shutil.rmtree(repo.path / "layers")
    shutil.rmtree(repo.path / "environments")
    shutil.rmtree(repo.path / "charts")
    repo.write("devtools.yaml", f"name: {repo.namespace}\n")
    repo.write("helmfile.yaml.gotmpl", HELMFILE.replace("NAMESPACE", repo.namespace))
    repo.write("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n")
    repo.write("charts/web/values.yaml", "replicas: 1\nhost: ''\nlevel: 1\n")
    repo.write("charts/web/templates/web.yaml", TEMPLATE)
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    if kube.get(f"/api/v1/namespaces/{repo.namespace}") is None:
        kube.create("/api/v1/namespaces", {"metadata": {"name": repo.namespace}})
    helmfile, helm = (str(repo.app.toolchain.path(name)) for name in ("helmfile", "helm"))
    words = [helmfile, "--helm-binary", helm, "-e", "dev", "--kube-context", cluster.context, "sync"]
    env = {**repo.environ, "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(repo.path.parent)}
    synced = subprocess.run(words, cwd=repo.path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert synced.returncode == 0, synced.stderr

    def there() -> dict[str, Any]:
        found = {}
        for plural in ("apis/apps/v1/namespaces/{}/deployments", "api/v1/namespaces/{}/pods"):
            for item in (kube.get("/" + plural.format(repo.namespace)) or {})["items"]:
                metadata = item["metadata"]
                found[metadata["name"]] = [metadata["uid"], metadata.get("generation"), metadata.get("labels")]
        return found

    before = there()
    assert len(before) == 2 + 3
    typo = repo.invoke("import.helmfile", "helmfile.yaml")
    assert typo.code == 2
    assert typo.err == "error: helmfile.yaml does not exist\n  hint: invoke import.helmfile helmfile.yaml.gotmpl\n"
    imported = repo.invoke("import.helmfile", "helmfile.yaml.gotmpl", "--output", "json")
    assert imported.code == 0, imported.text
    assert [row for row in imported.document["rows"] if not row["carried"]] == []
    blocked = repo.invoke("plan", "--env", "dev", "--output", "json")
    assert {item["action"] for item in blocked.document["releases"]} == {"blocked"}
    assert "--take-ownership '*'" in blocked.document["releases"][0]["planned"]
    everything = ("up", "--env", "dev", "--no-test", "--take-ownership", "*")
    diff = repo.invoke(*everything, "--dry-run", "--diff", "--output", "json")
    assert diff.code == 0, diff.text
    assert [(item["action"], item["problem"], item["objects"]) for item in diff.document["releases"]] == [
        ("upgrade", "", []),
        ("upgrade", "", []),
    ]
    done = repo.invoke(*everything, "--output", "json")
    assert done.code == 0, done.text
    assert there() == before
    again = repo.invoke("plan", "--env", "dev", "--output", "json")
    assert {item["action"] for item in again.document["releases"]} == {"unchanged"}
