"""Releases of plain manifests and of a kustomization, from the first plan to their end."""

from __future__ import annotations

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster
LAYER = """\
stage: packaged
releases:
  - {name: plain, chart: manifests/plain, contract: [{kind: Widget, name: one}]}
  - {name: made, chart: kustomize/made, needs: [NAMESPACE/plain]}
"""
PLAIN = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: plain}
data: {text: "{{ .Values.text }}", count: "1"}
---
apiVersion: GROUP/v1
kind: Widget
metadata: {name: one}
---
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE, labels: {example.com/kind: plain}}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def test_from_plan_to_down(repo: Repo, cluster: Cluster) -> None:
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    group, config_maps = f"{repo.namespace}.example.com", f"/api/v1/namespaces/{repo.namespace}/configmaps"
    for name, text in {
        "layers/10-base.yaml": LAYER,
        "charts/manifests/plain/objects.yaml": PLAIN,
        "charts/manifests/plain/crds/widget.yaml": CRD,
        "charts/kustomize/made/base/kustomization.yaml": "resources: [../../../../apps]\n",
        "charts/kustomize/made/overlays/local/kustomization.yaml": "resources: [../../base]\nnamePrefix: local-\n",
        "apps/kustomization.yaml": "configMapGenerator: [{name: app, literals: [a=b]}]\n",
    }.items():
        repo.write(name, text.replace("NAMESPACE", repo.namespace).replace("GROUP", group))
    try:
        planned = repo.invoke("plan", "10", "--diff", "--output", "json")
        assert planned.code == 0, planned.text
        done = repo.invoke("layer", "10")
        assert done.code == 0, done.text
        assert kube.get(f"{config_maps}/plain")["data"] == {"text": "{{ .Values.text }}", "count": "1"}  # type: ignore[index]
        namespace = kube.get(f"/api/v1/namespaces/{repo.namespace}")
        assert namespace
        assert namespace["metadata"]["labels"]["example.com/kind"] == "plain"
        names = {item["metadata"]["name"].rpartition("-")[0] for item in kube.items(config_maps)}
        assert "local-app" in names
        assert "No changes" in repo.invoke("plan", "10", "--diff").out
        assert repo.invoke("drift", "10").code == 0
        assert "unchanged" in repo.invoke("layer", "10").text

        repo.edit("charts/manifests/plain/objects.yaml", 'count: "1"', 'count: "2"')
        repo.edit("charts/manifests/plain/objects.yaml", "kind: plain", "kind: other")
        repo.edit("apps/kustomization.yaml", "a=b", "a=c")  # outside the chart's directory
        changed = repo.invoke("plan", "10", "--diff").out
        assert ".data.count" in changed
        assert f"~ Namespace/{repo.namespace}" in changed
        assert "ConfigMap/local-app-" in changed
        assert repo.invoke("layer", "10").code == 0

        gone = repo.invoke("down", "10")
        assert gone.code == 0, gone.text
        assert kube.get(f"{config_maps}/plain") is None
        assert kube.get(f"/api/v1/namespaces/{repo.namespace}")
        assert kube.get(f"{CRDS}/widgets.{group}")
    finally:
        kube.delete(f"{CRDS}/widgets.{group}")
