"""Schemas of the real CRDs: the API server finds more than kubeconform, and the report says which of the two ran."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.app.exit_codes import run
from devtools.clusters.provider import Cluster
from devtools.commands.gitops.verify import Arguments, verify
from devtools.gitops.schemas.server import LABEL
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from devtools.releases.crds import CRDS
from tests.gitops.verify.support import CASES, Mistake, mistakes
from tests.kits.crds import DIRECTORY, needs_crds

pytestmark = [needs_crds]
MISTAKES = {one.name: one for one in mistakes()}
FIELD = Mistake(
    {
        "tree": "flux",
        "name": "an unknown field",
        "replace": {"shop/dev/database.yaml": [["  interval: 10m\n", "  interval: 10m\n  intervall: 10m\n"]]},
        "finds": ["schema-unknown-field shop/dev/database.yaml:7"],
    }
)


def checked(app: App, tree: Path, schemas: str) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    typed = Arguments(directory=str(tree), crds=(str(DIRECTORY),), schemas=schemas)
    own = App(environ=app.environ, cwd=app.cwd, out=out, err=err)
    run(own, lambda app: verify(app, typed, "json"), "json")
    text = out.getvalue().replace(f"{tree}/", "").replace(f"{tree.relative_to(app.cwd)}/" if inside(tree) else "\0", "")
    document: dict[str, Any] = json.loads(text)
    return document


def inside(tree: Path) -> bool:
    return tree.is_relative_to(CASES)


def kube_of(cluster: Cluster) -> Kube:
    return Kube(cluster.kubeconfig, cluster.context, Cancel())


def places(document: dict[str, Any]) -> list[str]:
    return [f"{one['rule']} {one['file']}:{one['line']}" for one in document["findings"]]


@pytest.mark.cluster
@pytest.mark.usefixtures("schemas_lock")
@pytest.mark.parametrize("tree", ["argocd", "flux"])
def test_the_api_server_takes_a_good_tree_and_keeps_nothing(tree: str, app: App, cluster: Cluster) -> None:
    document = checked(app, CASES / tree, "server")
    assert document["findings"] == []
    assert document["schemas"]["by"] == f"API server {kube_of(cluster).version()}"
    assert not kube_of(cluster).metadata(CRDS, labelSelector=LABEL)


@pytest.mark.parametrize("tree", ["argocd", "flux"])
def test_kubeconform_takes_a_good_tree(tree: str, app: App) -> None:
    document = checked(app, CASES / tree, "kubeconform")
    assert document["findings"] == []
    assert document["schemas"]["by"] == "kubeconform 0.8.0"
    assert "ConfigMap (v1)" in document["schemas"]["skipped"]


@pytest.mark.cluster
@pytest.mark.usefixtures("schemas_lock")
def test_both_find_a_field_that_does_not_exist(app: App, cluster: Cluster, tmp_path: Path) -> None:
    tree = FIELD.plant(tmp_path)
    for schemas in ("server", "kubeconform"):
        assert places(checked(app, tree, schemas)) == FIELD.finds, schemas


@pytest.mark.cluster
@pytest.mark.usefixtures("schemas_lock")
def test_only_the_api_server_refuses_chart_and_chart_ref(app: App, cluster: Cluster, tmp_path: Path) -> None:
    tree = MISTAKES["flux: chart and chartRef"].plant(tmp_path)
    static = "chart-and-chart-ref shop/dev/database.yaml:17"
    found = checked(app, tree, "server")["findings"]
    assert [one["rule"] for one in found] == ["schema-invalid", "chart-and-chart-ref"]
    assert "either chart or chartRef must be set" in found[0]["message"]
    assert places(checked(app, tree, "kubeconform")) == [static]


@pytest.mark.cluster
@pytest.mark.usefixtures("schemas_lock")
def test_generated_applications_are_judged_too(app: App, cluster: Cluster, tmp_path: Path) -> None:
    mistake = Mistake(
        {
            "tree": "argocd",
            "name": "sync options that are no list",
            "replace": {
                "environments/dev/components/data/cache/component.yaml": [["syncOptions: []", "syncOptions: none"]],
            },
            "finds": [],
        }
    )
    tree = mistake.plant(tmp_path)
    for schemas in ("server", "kubeconform"):
        found = checked(app, tree, schemas)["findings"]
        assert [(one["rule"], one["file"]) for one in found] == [("schema-invalid", "argocd/apps/dev.yaml")], schemas
        assert "dev-cache" in found[0]["message"]


def test_without_a_cluster_the_report_says_why(app: App, tmp_path: Path) -> None:
    environ = {**app.environ, "DEVTOOLS_STATE": str(tmp_path), "DEVTOOLS_CLUSTER": "none-here"}
    own = App(environ=environ, cwd=app.cwd, out=app.out, err=app.err)
    document = checked(own, CASES / "flux", "auto")
    assert document["schemas"]["by"] == "kubeconform 0.8.0"
    assert document["schemas"]["why"].endswith("rules between fields (CEL) are not checked")


@pytest.mark.cluster
@pytest.mark.usefixtures("schemas_lock")
def test_a_crd_applied_by_another_client_meanwhile_stays(app: App, cluster: Cluster) -> None:
    from devtools.gitops.schemas.crds import crds_of_directory
    from devtools.gitops.schemas.server import _with_crds

    kube = kube_of(cluster)
    crds = crds_of_directory(DIRECTORY, ["image.toolkit.fluxcd.io"])
    name = "imagepolicies.image.toolkit.fluxcd.io"
    item = {"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy"}
    assert kube.get(f"{CRDS}/{name}") is None
    try:
        with _with_crds(kube, [item], crds, kube):
            crd = crds["image.toolkit.fluxcd.io", "ImagePolicy"]
            kube.apply(f"{CRDS}/{name}", {key: crd[key] for key in ("apiVersion", "kind", "metadata", "spec")})
        assert kube.get(f"{CRDS}/{name}") is not None
    finally:
        kube.delete(f"{CRDS}/{name}")


@pytest.mark.cluster
@pytest.mark.usefixtures("schemas_lock")
def test_an_interruption_leaves_no_crd(app: App, cluster: Cluster) -> None:
    from devtools.errors import Interrupted
    from devtools.gitops.schemas.crds import crds_of_directory
    from devtools.gitops.schemas.server import check

    class Recorder(Kube):
        def create(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
            made = super().create(path, body, **query)
            created.append(made["metadata"]["name"])
            self.cancel.set("interrupted")
            return made

    created: list[str] = []
    kube = Recorder(cluster.kubeconfig, cluster.context, Cancel())
    crds = crds_of_directory(DIRECTORY, ["image.toolkit.fluxcd.io"])
    item = {"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy", "metadata": {"name": "one"}}
    with pytest.raises(Interrupted):
        check(kube, [item], crds, kube_of(cluster))
    assert created == ["imagepolicies.image.toolkit.fluxcd.io"]
    assert not kube_of(cluster).metadata(CRDS, labelSelector=LABEL)
