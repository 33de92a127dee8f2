"""`create_namespace: false` on a real API server: the namespace of others is neither created nor removed."""

from __future__ import annotations

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: {{ .Values.brings | quote }}}\n"


def test_a_namespace_that_must_exist(repo: Repo, cluster: Cluster) -> None:
    kube, name = Kube(cluster.kubeconfig, cluster.context, Cancel()), f"{repo.namespace}-others"
    path = f"/api/v1/namespaces/{name}"
    repo.edit("layers/_defaults.yaml", f"namespace: {repo.namespace}", f"namespace: {name}, create_namespace: false")
    message = f"namespace {name} does not exist, and create_namespace is false"
    planned = repo.invoke("plan", "10", "--output", "json")
    assert [(item["action"], item["planned"]) for item in planned.document["releases"]] == [
        ("blocked", f"{message}: kubectl create namespace {name}")
    ]
    refused = repo.invoke("layer", "10", "--no-test")
    assert refused.code == 1
    assert message in " ".join(refused.text.split())
    assert kube.get(path) is None
    kube.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": {"owner": "others"}}})
    try:
        done = repo.invoke("layer", "10", "--no-test")
        assert done.code == 0, done.text
        # as it was made for this stack before the key was set
        kube.merge(path, {"metadata": {"labels": {"devtools.ameide.io/stack": repo.namespace}}})
        down = repo.invoke("down", "--output", "json")
        assert down.code == 0, down.text
        found = kube.get(path)
        assert found is not None
        assert "deletionTimestamp" not in found["metadata"]
        assert found["metadata"]["labels"]["owner"] == "others"
    finally:
        kube.delete(path)


def test_a_release_before_it_may_bring_the_namespace(repo: Repo, cluster: Cluster) -> None:
    kube, name = Kube(cluster.kubeconfig, cluster.context, Cancel()), f"{repo.namespace}-brought"
    repo.chart("spaces", NAMESPACE)
    entry = "- {{name: {0}, namespace: {1}, chart: platform/{2}, create_namespace: false, {3}}}\n"
    repo.write(
        "layers/10-base.yaml",
        "stage: base\nreleases:\n"
        + entry.format("spaces", "default", "spaces", f"values: {{brings: {name}}}")
        + entry.format("conf", name, "conf", "values: {say: x}, needs: [default/spaces]")
        + entry.format("late", f"{name}-not", "conf", "values: {say: x}, needs: [default/spaces]"),
    )
    planned = repo.invoke("plan", "10", "--output", "json")
    assert {item["action"] for item in planned.document["releases"]} == {"install"}
    diff = repo.invoke("plan", "10", "--diff", "--output", "json").document["releases"]
    made = {item["release"]: [it["name"] for it in item["objects"] if it["kind"] == "Namespace"] for item in diff}
    assert made == {"default/spaces": [name], f"{name}/conf": [], f"{name}-not/late": []}
    try:
        done = repo.invoke("layer", "10", "--no-test", "--output", "json")
        found = {item["release"]: item for item in done.document["releases"]}
        assert found[f"{name}/conf"]["outcome"] == "installed", done.text
        late = found[f"{name}-not/late"]
        assert (late["outcome"], late["reason"], late["hint"]) == (
            "failed",
            f"namespace {name}-not does not exist, and create_namespace is false",
            f"kubectl create namespace {name}-not",
        )
        assert kube.get(f"/api/v1/namespaces/{name}-not") is None
    finally:
        repo.invoke("down")
