"""A user who may do what a run needs in one namespace, and nothing anywhere else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster
CHANGE = ["get", "list", "create", "update", "patch", "delete"]
RULES = [
    {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": CHANGE},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods", "events", "persistentvolumeclaims"], "verbs": ["get", "list"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get", "list"]},
]


def _user(cluster: Cluster, namespace: str, rules: list[dict[str, Any]], path: Path) -> None:
    """Make a ServiceAccount with these rights in a namespace, and write a kubeconfig for it."""
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    if kube.get(f"/api/v1/namespaces/{namespace}") is None:
        kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    kube.create(accounts, {"metadata": {"name": "user"}})
    kube.create(f"{rbac}/roles", {"metadata": {"name": "user"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "user", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "user"}
    kube.create(f"{rbac}/rolebindings", {"metadata": {"name": "user"}, "roleRef": role, "subjects": [subject]})
    token = kube.create(f"{accounts}/user/token", {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    (there,) = (item["cluster"] for item in config["clusters"])
    if authority := there.pop("certificate-authority", None):
        there["certificate-authority-data"] = base64.b64encode(Path(authority).read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": "limited", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": there}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(config))


def _limited(repo: Repo, cluster: Cluster, rules: list[dict[str, Any]], path: Path) -> None:
    _user(cluster, repo.namespace, rules, path)
    cluster_settings = "cluster: {provider: context, context: limited}\nallowed_contexts: [limited]\n"
    repo.write("devtools.yaml", f"name: {repo.namespace}\n{cluster_settings}")
    repo.env = {"KUBECONFIG": str(path), "DEVTOOLS_PROVIDER": "context"}


def test_rights_to_one_namespace_are_enough(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    _limited(repo, cluster, RULES, tmp_path / "limited")
    first = repo.invoke("layer", "10", "--output", "json", "--yes")
    assert first.code == 0, first.text
    assert first.document["notices"] == []
    again = repo.invoke("layer", "10", "--output", "json", "--yes")
    assert again.document["releases"][0]["outcome"] == "unchanged"
    listed = repo.invoke("layers", "--output", "json")
    assert '"deployed"' in listed.out, listed.text
    assert repo.invoke("drift", "10").code == 0
    status = repo.invoke("cluster.status", "--output", "json")
    assert status.document["state"] == "running", status.text
    down = repo.invoke("down", "--yes")
    assert down.code == 0, down.text


def test_a_user_without_write_leases_is_informed_and_continues(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    rules = [rule for rule in RULES if rule["resources"] != ["leases"]]
    _limited(repo, cluster, rules, tmp_path / "limited")
    typed = repo.invoke("layer", "10", "--output", "json", "--yes")
    assert typed.code == 0, typed.text
    messages = [notice["message"] for notice in typed.document["notices"]]
    (message,) = [text for text in messages if "no run lock on the cluster" in text]
    assert "leases" in message


def test_a_user_without_delete_learns_the_missing_permission(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    assert repo.invoke("layer", "10").code == 0
    look = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "patch", "create", "update"]}]
    _limited(repo, cluster, look, tmp_path / "limited")
    down = repo.invoke("down", "--yes")
    assert down.code != 0
    printed = " ".join(down.out.split())
    assert "cannot delete resource" in printed, down.text


def test_a_release_that_helm_cannot_record_has_failed(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    """helm then prints an error, exits with 0, and its record says `pending-install`."""
    may_not_update = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "verbs": [verb for verb in CHANGE if verb != "update"],
    }
    rules = [may_not_update, {"apiGroups": [""], "resources": ["configmaps"], "verbs": CHANGE}, *RULES[1:]]
    _limited(repo, cluster, rules, tmp_path / "limited")
    typed = repo.invoke("layer", "10", "--output", "json", "--yes", "--no-test")
    assert typed.code == 1, typed.text
    reason = typed.document["releases"][0]["reason"]
    assert reason.startswith("cannot record the release as deployed: "), reason
    assert "is forbidden" in reason
    assert '\\"' not in reason
