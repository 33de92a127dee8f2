"""Layout `infra`: KRO and Argo Workflows, as `kubectl apply -k` takes them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from devtools.base.machine_yaml import read_documents
from devtools.commands.gitops.export import Arguments, export
from devtools.errors import ExitCode
from tests.gitops.flux.conftest import Build
from tests.kits.verbs import call

INFRA = Path(__file__).parent / "infra"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("infra") / "stack"
    shutil.copytree(INFRA, root)
    typed = Arguments(output="json", engine="flux", layout="infra")
    environ = {"DEVTOOLS_CACHE": str(root.parent / "cache")}
    done = call(lambda app: export(app, typed), "json", environ=environ, cwd=root)
    assert done.code is ExitCode.OK
    noted = [note["component"] for note in done.document["notes"] if "restart once" in note["message"]]
    assert noted == ["platform/kro-system/kro"]
    return root / "gitops"


def one(path: Path) -> dict[str, Any]:
    (item,) = read_documents(path.read_bytes())
    assert isinstance(item, dict)
    return item


def test_each_component_has_its_files(tree: Path) -> None:
    files: dict[str, set[str]] = {}
    for path in (tree / "01-infra").glob("*/*"):
        files.setdefault(path.parent.name, set()).add(path.name)
    common = {"namespace.yaml", "helm-release.yaml", "kustomization.yaml", "rbac.yaml", "values.yaml"}
    overlay = "environments._shared.01-infra.argo-workflows.yaml"
    assert files == {
        "kro": {*common, "oci-repository.yaml"},
        "argo-workflows": {*common, "helm-repository.yaml", overlay},
    }


def test_an_oci_chart_is_referenced_and_another_is_named(tree: Path) -> None:
    kro = one(tree / "01-infra/kro/helm-release.yaml")["spec"]
    workflows = one(tree / "01-infra/argo-workflows/helm-release.yaml")["spec"]
    assert (kro["chartRef"], "chart" in kro) == ({"kind": "OCIRepository", "name": "kro"}, False)
    assert workflows["chart"]["spec"]["sourceRef"] == {"kind": "HelmRepository", "name": "argo-workflows"}


def test_labels_name_layer_component_and_manager(tree: Path) -> None:
    file = one(tree / "01-infra/kro/kustomization.yaml")
    pairs = {"platform.io/layer": "infra", "platform.io/component": "kro", "managed-by": "flux"}
    assert (file["labels"], "commonLabels" in file) == ([{"pairs": pairs}], False)


def test_health_checks_are_the_contracts(tree: Path) -> None:
    layer = one(tree / "sync/layers.yaml")["spec"]
    names = {(item["kind"], item["name"]) for item in layer["healthChecks"]}
    assert names == {
        ("HelmRelease", "kro"),
        ("HelmRelease", "argo-workflows"),
        ("Deployment", "kro"),
        ("Deployment", "argo-workflows-workflow-controller"),
        ("Deployment", "argo-workflows-server"),
        ("CustomResourceDefinition", "resourcegraphdefinitions.kro.run"),
    }


def test_kustomize_builds_the_tree_without_flags(tree: Path, kustomize: Build) -> None:
    for directory in (tree / "sync", tree / "01-infra", tree / "01-infra/kro"):
        assert kustomize(directory)
    built = kustomize(tree)
    labels = {(i["kind"], i["metadata"]["name"]): i["metadata"]["labels"]["platform.io/component"] for i in built}
    assert labels["Namespace", "kro-system"] == "kro"
    assert labels["Namespace", "argo"] == "argo-workflows"
    for item in built:
        if item["kind"] == "ConfigMap":
            assert item["metadata"]["labels"]["reconcile.fluxcd.io/watch"] == "Enabled"
