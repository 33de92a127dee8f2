"""A namespace or an object that is being deleted is not there any more, though the API server still lists it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster
HELD = {"metadata": {"finalizers": ["example.com/held"]}}
FREE: dict[str, dict[str, list[str]]] = {"metadata": {"finalizers": []}}


@pytest.fixture
def kube(cluster: Cluster) -> Kube:
    return Kube(cluster.kubeconfig, cluster.context, Cancel())


def _run(repo: Repo, free: Callable[[], object]) -> dict[str, Any]:
    """How the release ended in a run; `free` is called once the run says that it waits for something to go."""
    with repo.start("layer", "10", "--output", "jsonl") as child:
        assert child.stdout
        assert child.stderr
        end: dict[str, Any] = {}
        for line in child.stdout:
            event = json.loads(line)
            if any(word in f"{event}" for word in ("to be gone", "held by finalizer")):
                free()
            if event["event"] == "step-finished":
                end = event
        assert child.wait(120) == 0, child.stderr.read()
        child.stderr.read()
    return end


def test_a_release_in_a_namespace_being_deleted_is_reinstalled(repo: Repo, kube: Kube) -> None:
    assert repo.invoke("layer", "10").code == 0
    namespace = f"/api/v1/namespaces/{repo.namespace}"
    before = kube.get(f"{namespace}/configmaps/conf")
    kube.create(f"{namespace}/configmaps", {"metadata": {"name": "held", **HELD["metadata"]}})
    kube.delete(namespace)
    planned = " ".join(repo.invoke("plan", "10").text.split())
    assert f"namespace {repo.namespace} is being deleted" in planned
    conf = _run(repo, lambda: kube.merge(f"{namespace}/configmaps/held", FREE))
    assert conf["outcome"] == "installed"
    after = kube.get(f"{namespace}/configmaps/conf")
    assert before
    assert after
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    assert repo.invoke("layer", "10", "--output", "json").document["releases"][0]["outcome"] == "unchanged"


def test_an_object_being_deleted_is_waited_for_and_recreated(repo: Repo, kube: Kube) -> None:
    assert repo.invoke("layer", "10").code == 0
    path = f"/api/v1/namespaces/{repo.namespace}/configmaps/conf"
    before = kube.merge(path, HELD)
    kube.delete(path)
    conf = _run(repo, lambda: kube.merge(path, FREE))
    assert (conf["outcome"], conf["reason"]) == ("upgraded", "being deleted: ConfigMap/conf")
    after = kube.get(path)
    assert after
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
