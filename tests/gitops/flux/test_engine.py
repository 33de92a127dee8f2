"""`invoke gitops.export --engine flux` of the fixture stack."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.base.machine_yaml import read_documents
from devtools.commands.gitops.export import Arguments, export, make_export
from devtools.errors import ExitCode
from devtools.gitops.component import Component
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

KUSTOMIZE = os.environ.get("DEVTOOLS_KUSTOMIZE") or shutil.which("kustomize")
FLUX = os.environ.get("DEVTOOLS_FLUX") or shutil.which("flux")


def run(root: Path, **typed: Any) -> Done:
    environ = {"DEVTOOLS_CACHE": str(root.parent / "cache"), "DEVTOOLS_STATE": str(root.parent / "state")}
    arguments = Arguments(output="json", engine="flux", **typed)
    return call(lambda app: export(app, arguments), "json", environ=environ, cwd=root)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_shop(tmp_path_factory.mktemp("flux") / "shop")
    assert run(root).code is ExitCode.OK
    return root


def objects(root: Path, environment: str, kind: str = "") -> Iterator[dict[str, Any]]:
    for path in sorted((root / "gitops/flux" / environment).rglob("*.yaml")):
        for item in read_documents(path.read_bytes()):
            if kind in {"", item.get("kind")} and "metadata" in item:
                yield item


def components(root: Path) -> dict[str, tuple[Component, ...]]:
    found: dict[str, tuple[Component, ...]] = {}

    def read(app: Any) -> ExitCode:
        found.update(make_export(app, Arguments(engine="flux")).components)
        return ExitCode.OK

    call(read, "json", environ={"DEVTOOLS_CACHE": str(root.parent / "cache")}, cwd=root)
    return found


def test_a_second_export_writes_nothing(shop: Path) -> None:
    assert run(shop).document["written"] == []
    assert run(shop, check=True).code is ExitCode.OK


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_each_edge_of_the_plan_is_one_dependency(shop: Path, environment: str) -> None:
    items = components(shop)[environment]
    names = {component.release: component.name for component in items}
    releases = {item["metadata"]["name"]: item["spec"] for item in objects(shop, environment, "HelmRelease")}
    assert {name: {need["name"] for need in spec.get("dependsOn", ())} for name, spec in releases.items()} == {
        component.name: {names[need] for need in component.needs} for component in items
    }


def test_releases_keep_the_records_of_helm(shop: Path) -> None:
    for item in objects(shop, "dev", "HelmRelease"):
        spec = item["spec"]
        assert spec["targetNamespace"] == spec["storageNamespace"]
        assert spec["releaseName"]
        assert spec["upgrade"]["crds"] == "CreateReplace"


def test_values_are_files_in_the_order_of_the_stack(shop: Path) -> None:
    (api,) = [item for item in components(shop)["dev"] if item.name == "api"]
    (release,) = [item for item in objects(shop, "dev", "HelmRelease") if item["metadata"]["name"] == "api"]
    layer = shop / "gitops/flux/dev/40-apps"
    (text,) = read_documents((layer / "kustomization.yaml").read_bytes())
    (generator,) = [item for item in text["configMapGenerator"] if item["name"] == "api-values"]
    files = dict(word.split("=") for word in generator["files"])
    read = [(layer / files[item["valuesKey"]]).resolve() for item in release["spec"]["valuesFrom"]]
    assert read == [shop / file.path for file in api.value_files]
    assert "values" not in release["spec"]


def test_later_layers_wait_for_the_contracts_of_earlier_ones(shop: Path) -> None:
    layers = {item["metadata"]["name"]: item["spec"] for item in objects(shop, "dev", "Kustomization")}
    assert layers["shop-40-apps"]["dependsOn"] == [{"name": "shop-30-data"}]
    checked = {(item["kind"], item["name"]) for item in layers["shop-20-operators"]["healthChecks"]}
    assert checked >= {("HelmRelease", "cache"), ("CustomResourceDefinition", "widgets.shop.example.com")}
    assert not {("HelmRelease", "data-smoke")} & {
        (i["kind"], i["name"]) for i in layers["shop-30-data"]["healthChecks"]
    }


def test_smoke_releases_run_their_tests(shop: Path) -> None:
    tests = {item["metadata"]["name"]: item["spec"].get("test") for item in objects(shop, "dev", "HelmRelease")}
    assert tests["data-smoke"] == {"enable": True, "ignoreFailures": True}
    assert tests["shop-smoke"] == {"enable": True}
    assert tests["api"] is None


def test_an_escape_hatch_and_ignored_fields_reach_the_release(shop: Path) -> None:
    specs = {item["metadata"]["name"]: item["spec"] for item in objects(shop, "dev", "HelmRelease")}
    assert specs["web"]["maxHistory"] == 3
    target = {"group": "apps", "kind": "Deployment", "name": "api"}
    assert specs["api"]["driftDetection"]["ignore"] == [{"paths": ["/spec/replicas"], "target": target}]


def test_production_is_manual_and_prunes_nothing(shop: Path) -> None:
    suspended = {
        name: next(objects(shop, name, "GitRepository"))["spec"].get("suspend", False) for name in ("dev", "production")
    }
    assert suspended == {"dev": False, "production": True}
    assert {item["spec"]["prune"] for item in objects(shop, "production", "Kustomization")} == {False}
    assert {item["spec"]["prune"] for item in objects(shop, "dev", "Kustomization")} == {True}


def test_what_flux_cannot_check_is_a_note(shop: Path) -> None:
    notes = {(note["component"], note["message"]) for note in run(shop).document["notes"]}
    assert ("dev/shop/api", "contract 'http api:80/healthz' is not checked: Flux makes no HTTP requests") in notes


@pytest.mark.skipif(not KUSTOMIZE, reason="no kustomize on PATH, and DEVTOOLS_KUSTOMIZE names none")
def test_kustomize_builds_every_directory_as_flux_does(shop: Path) -> None:
    for file in sorted((shop / "gitops/flux").rglob("kustomization.yaml")):
        argv = [str(KUSTOMIZE), "build", "--load-restrictor", "LoadRestrictionsNone", str(file.parent)]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        built = list(read_documents(done.stdout))
        maps = {item["metadata"]["name"] for item in built if item["kind"] == "ConfigMap"}
        used = {
            value["name"]
            for item in built
            if item["kind"] == "HelmRelease"
            for value in item["spec"].get("valuesFrom", ())
        }
        assert used == maps


@pytest.mark.skipif(not FLUX, reason="no flux on PATH, and DEVTOOLS_FLUX names none")
def test_flux_builds_an_environment_with_all_below_it(shop: Path) -> None:
    argv = [str(FLUX), "build", "kustomization", "shop", "--path=./gitops/flux/dev", "--dry-run", "--recursive"]
    argv += ["--kustomization-file=gitops/flux/dev/sync.yaml", "--local-sources=GitRepository/flux-system/shop=./"]
    done = subprocess.run(argv, cwd=shop, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    releases = [item for item in read_documents(done.stdout) if item["kind"] == "HelmRelease"]
    assert len(releases) == len(components(shop)["dev"])
