"""Releases that helmfile installed on the embedded cluster: adopted without a restart, and imported from there."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from devtools.app.environment import App
from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.chart_servers import Packer
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster

HELMFILE = """\
releases:
  - name: web
    namespace: NAMESPACE
    chart: CHART
    values:
      - replicas: 2
        database: {password: CANARY-7f3a9c1e5b2d}
"""


def test_releases_of_helmfile_are_adopted_and_no_pod_restarts(app: App, cluster: Cluster, tmp_path: Path) -> None:
    rows = {row.name: row.path for row in app.toolchain.table()}
    if rows["helmfile"] is None:
        pytest.skip("helmfile is not built here: invoke import.helmfile builds it")
    namespace = f"adopt-{uuid4().hex[:8]}"
    chart = Path(__file__).parent / "helmfiles" / "_charts" / "web"
    repo = Repo(path=tmp_path / "shop", namespace=namespace, app=app)
    repo.write("devtools.yaml", f"name: {namespace}\nenvironment: default\n")
    repo.write("tasks.py", "from devtools.tasks import namespace\n")
    file = repo.write("helmfile.yaml", HELMFILE.replace("NAMESPACE", namespace).replace("CHART", str(chart)))
    helm = app.toolchain.path("helm")
    words = ("--helm-binary", helm, "--kube-context", cluster.context, "--file", file, "--quiet")
    environ = {"KUBECONFIG": str(cluster.kubeconfig), "HELMFILE_UPGRADE_NOTICE_DISABLED": "true"}
    Packer(helm=helm, home=tmp_path / "home").run(rows["helmfile"], *words, "sync", env=environ)
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    before = _pods(kube, namespace)
    assert before

    assert repo.invoke("import.helmfile", "helmfile.yaml").code == 0
    planned = repo.invoke("plan")
    assert f"invoke layer 10-main --take-ownership {namespace}/web" in " ".join(planned.text.split())
    done = repo.invoke("up", "--no-test", "--take-ownership", f"{namespace}/web")
    assert done.code == 0, done.text
    assert _pods(kube, namespace) == before
    assert "unchanged" in repo.invoke("plan").out

    read = repo.invoke("import.cluster", "--namespace", namespace, "--out", "../read", "--output", "json")
    assert read.code == 0, read.text
    assert f"{namespace}/web: values that look secret: database.password" in read.out
    assert "CANARY" not in read.text
    files = [path for path in (tmp_path / "read").rglob("*") if path.is_file()]
    assert not [path for path in files if b"CANARY" in path.read_bytes()]
    template = Path("templates/objects.yaml")
    assert (tmp_path / "read/charts/platform/web" / template).read_bytes() == (chart / template).read_bytes()


def _pods(kube: Kube, namespace: str) -> set[str]:
    return {str(item["metadata"]["uid"]) for item in kube.items(f"/api/v1/namespaces/{namespace}/pods")}
