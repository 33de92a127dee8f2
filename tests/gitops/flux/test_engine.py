"""`invoke gitops.export --engine flux` of the fixture stack."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devtools.base.machine_yaml import read_documents
from devtools.config.values import merge
from devtools.errors import ExitCode
from tests.gitops.flux.conftest import Build, components, objects, run, stacks, values_of
from tests.kits.shop import make_shop

FLUX = os.environ.get("DEVTOOLS_FLUX") or shutil.which("flux")
IN_PLACE = ("--load-restrictor", "LoadRestrictionsNone")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_shop(tmp_path_factory.mktemp("flux") / "shop")
    assert run(root).code is ExitCode.OK
    return root


def test_a_second_export_writes_nothing(shop: Path) -> None:
    assert run(shop).document["written"] == []
    assert run(shop, check=True).code is ExitCode.OK


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_each_edge_of_the_plan_is_one_dependency(shop: Path, environment: str) -> None:
    items = components(shop)[environment]
    names = {component.release.id: component.name for component in items}
    releases = {
        item["metadata"]["name"]: item["spec"] for item in objects(shop / "gitops/flux" / environment, "HelmRelease")
    }
    assert {name: {need["name"] for need in spec.get("dependsOn", ())} for name, spec in releases.items()} == {
        component.name: {names[need] for need in component.needs} for component in items
    }


def test_releases_keep_the_records_of_helm(shop: Path) -> None:
    for item in objects(shop / "gitops/flux" / "dev", "HelmRelease"):
        spec = item["spec"]
        assert spec["targetNamespace"] == spec["storageNamespace"]
        assert spec["releaseName"]
        assert spec["upgrade"]["crds"] == "CreateReplace"


def test_values_are_files_in_the_order_of_the_stack(shop: Path) -> None:
    (api,) = [item for item in components(shop)["dev"] if item.name == "api"]
    (release,) = [
        item for item in objects(shop / "gitops/flux" / "dev", "HelmRelease") if item["metadata"]["name"] == "api"
    ]
    layer = shop / "gitops/flux/dev/40-apps"
    (text,) = read_documents((layer / "kustomization.yaml").read_bytes())
    (generator,) = [item for item in text["configMapGenerator"] if item["name"] == "api-values"]
    files = dict(word.split("=") for word in generator["files"])
    read = [(layer / files[item["valuesKey"]]).resolve() for item in release["spec"]["valuesFrom"]]
    assert read == [shop / file.path for file in api.value_files]
    assert "values" not in release["spec"]


def test_later_layers_wait_for_the_contracts_of_earlier_ones(shop: Path) -> None:
    layers = {item["metadata"]["name"]: item["spec"] for item in objects(shop / "gitops/flux" / "dev", "Kustomization")}
    assert layers["shop-40-apps"]["dependsOn"] == [{"name": "shop-30-data"}]
    checked = {(item["kind"], item["name"]) for item in layers["shop-20-operators"]["healthChecks"]}
    assert checked >= {("HelmRelease", "cache"), ("CustomResourceDefinition", "widgets.shop.example.com")}
    assert not {("HelmRelease", "data-smoke")} & {
        (i["kind"], i["name"]) for i in layers["shop-30-data"]["healthChecks"]
    }


def test_smoke_releases_run_their_tests(shop: Path) -> None:
    tests = {
        item["metadata"]["name"]: item["spec"].get("test")
        for item in objects(shop / "gitops/flux" / "dev", "HelmRelease")
    }
    assert tests["data-smoke"] == {"enable": True, "ignoreFailures": True}
    assert tests["shop-smoke"] == {"enable": True}
    assert tests["api"] is None


def test_an_escape_hatch_and_ignored_fields_reach_the_release(shop: Path) -> None:
    specs = {item["metadata"]["name"]: item["spec"] for item in objects(shop / "gitops/flux" / "dev", "HelmRelease")}
    assert specs["web"]["maxHistory"] == 3
    strategies = {name: spec["upgrade"]["remediation"]["strategy"] for name, spec in specs.items()}
    assert (strategies["web"], strategies["cache"]) == ("rollback", "uninstall")
    target = {"group": "apps", "kind": "Deployment", "name": "api"}
    assert specs["api"]["driftDetection"]["ignore"] == [{"paths": ["/spec/replicas"], "target": target}]


def test_production_is_manual_and_prunes_nothing(shop: Path) -> None:
    suspended = {
        name: next(objects(shop / "gitops/flux" / name, "GitRepository"))["spec"].get("suspend", False)
        for name in ("dev", "production")
    }
    assert suspended == {"dev": False, "production": True}
    assert {item["spec"]["prune"] for item in objects(shop / "gitops/flux" / "production", "Kustomization")} == {False}
    assert {item["spec"]["prune"] for item in objects(shop / "gitops/flux" / "dev", "Kustomization")} == {True}


def test_what_flux_cannot_check_is_a_note(shop: Path) -> None:
    notes = {(note["component"], note["message"]) for note in run(shop).document["notes"]}
    assert ("dev/shop/api", "contract 'http api:80/healthz' is not checked: Flux makes no HTTP requests") in notes


def test_kustomize_builds_every_directory_as_flux_does(shop: Path, kustomize: Build) -> None:
    for layer in sorted((shop / "gitops/flux/dev").glob("*/")):
        built = kustomize(layer, *IN_PLACE)
        maps = {item["metadata"]["name"] for item in built if item["kind"] == "ConfigMap"}
        releases = [item["spec"] for item in built if item["kind"] == "HelmRelease"]
        assert {value["name"] for spec in releases for value in spec.get("valuesFrom", ())} == maps


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_flux_merges_the_values_that_the_stack_has(shop: Path, kustomize: Build, environment: str) -> None:
    stack = stacks(shop)[environment]
    for layer in sorted((shop / "gitops/flux" / environment).glob("*/")):
        built = kustomize(layer, *IN_PLACE)
        for release in (item for item in built if item["kind"] == "HelmRelease"):
            (declared,) = [item for item in stack.releases() if item.name == release["spec"]["releaseName"]]
            assert values_of(release, built) == merge(declared, stack.environment).data


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_an_overlay_has_the_values_and_releases_of_flux(shop: Path, kustomize: Build, environment: str) -> None:
    assert run(shop, engine="kustomize").code is ExitCode.OK
    stack = stacks(shop)[environment]
    built = kustomize(shop / "gitops/kustomize/overlays" / environment)
    overlaid = {item["metadata"]["name"]: item for item in built if item["kind"] == "HelmRelease"}
    exported = {item["metadata"]["name"]: item for item in objects(shop / "gitops/flux" / environment, "HelmRelease")}
    assert {name: without_values(item) for name, item in overlaid.items()} == {
        name: without_values(item) for name, item in exported.items()
    }
    for declared in stack.releases():
        if declared.name in overlaid:
            assert values_of(overlaid[declared.name], built) == merge(declared, stack.environment).data
    (repository,) = [item for item in built if item["kind"] == "GitRepository"]
    assert repository["spec"].get("suspend", False) == (environment == "production")


def without_values(release: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in release["spec"].items() if key != "valuesFrom"}


@pytest.mark.skipif(not FLUX, reason="no flux on PATH, and DEVTOOLS_FLUX names none")
def test_flux_builds_an_environment_with_all_below_it(shop: Path) -> None:
    argv = [str(FLUX), "build", "kustomization", "shop", "--path=./gitops/flux/dev", "--dry-run", "--recursive"]
    argv += ["--kustomization-file=gitops/flux/dev/sync.yaml", "--local-sources=GitRepository/flux-system/shop=./"]
    done = subprocess.run(argv, cwd=shop, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    releases = [item for item in read_documents(done.stdout) if item["kind"] == "HelmRelease"]
    assert len(releases) == len(components(shop)["dev"])


def test_one_overlay_has_the_base_of_all(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop")
    assert run(shop, engine="kustomize", environments=("dev",)).code is ExitCode.OK
    assert not (shop / "gitops/kustomize/overlays/production").exists()
    base = shop / "gitops/kustomize/base/40-apps/api/helm-release.yaml"
    before = base.read_bytes()
    assert run(shop, engine="kustomize").code is ExitCode.OK
    assert base.read_bytes() == before


def test_layout_addons_is_refused(shop: Path) -> None:
    assert "layout addons is for Argo CD" in run(shop, layout="addons").err
