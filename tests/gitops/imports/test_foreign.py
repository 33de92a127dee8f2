"""Trees that others wrote, and objects of old API versions: converted with a note, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gitops.flux.conftest import stacks
from tests.gitops.imports.test_round_trip import imported
from tests.gitops.verify.support import CASES
from tests.kits.verbs import Done

# the plain manifests of the tree for Flux
PLAIN = ["CustomResourceDefinition/widgets.example.com not imported", "Widget/first not imported"]


def edited(directory: Path, tree: str, edits: dict[str, list[tuple[str, str]]]) -> Path:
    copy = directory / "tree"
    shutil.copytree(CASES / tree, copy)
    for name, pairs in edits.items():
        text = (copy / name).read_text()
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        (copy / name).write_text(text)
    return copy


def run(tree: Path) -> tuple[Done, Path]:
    out = tree.parent / "out"
    return imported(tree.parent, "tree", out), out


def refused(done: Done) -> list[str]:
    """What is not imported; exit code 1 if there is any."""
    found = [one["message"].partition(":")[0] for one in done.document["notes"] if one["refused"]]
    assert done.code == (1 if found else 0), done.err
    return sorted(found)


def layers(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted((out / "layers").glob("*.yaml")):
        found |= {
            one["name"]: {**one, "layer": path.stem}
            for one in yaml.load(path.read_text(), yaml.CSafeLoader)["releases"]
        }
    return found


def notes(done: Done) -> list[str]:
    return [f"{one['file']}:{one['line']} {one['subject']}: {one['message']}" for one in done.document["notes"]]


def test_a_tree_for_flux(tmp_path: Path) -> None:
    done, out = run(edited(tmp_path, "flux", {}))
    assert refused(done) == PLAIN
    assert layers(out) == {
        "database": {"name": "database", "namespace": "data", "chart": "example/postgresql", "layer": "10-dev"},
        "cache": {
            "name": "cache",
            "namespace": "data",
            "chart": "example/cache",
            "needs": ["data/database"],
            "layer": "10-dev",
        },
    }
    assert (out / "environments/dev/10-dev/database.yaml").read_text() == "replicas: 2\n"
    assert yaml.load((out / "charts/third_party/lock.yaml").read_text(), yaml.CSafeLoader)["charts"] == [
        {
            "publisher": "example",
            "name": "cache",
            "version": "1.4.0",
            "oci": "oci://registry.example.com/charts/cache",
            "sha256": None,
        },
        {
            "publisher": "example",
            "name": "postgresql",
            "version": "16.2.1",
            "repository": "https://charts.example.com/stable",
            "sha256": None,
        },
    ]


def test_a_tree_for_argo_cd(tmp_path: Path) -> None:
    done, out = run(edited(tmp_path, "argocd", {}))
    assert not refused(done)
    found = layers(out)
    assert {name: one["chart"] for name, one in found.items()} == {
        "crds": "manifests/crds",
        "widgets": "manifests/widgets",
        "database": "example/postgresql",
        "cache": "platform/cache",
    }
    assert found["widgets"]["needs"] == [{"release": "data/crds", "optional": True}]
    manifest = (out / "charts/manifests/widgets/widget.yaml").read_bytes()
    assert manifest in [path.read_bytes() for path in (CASES / "argocd").rglob("widget.yaml")]
    assert set(stacks(out)) == {"dev", "production"}  # they can be loaded
    assert not any("create_namespace" in one for one in found.values())  # one of them creates it
    assert found["cache"]["needs"] == ["data/database"]
    assert (out / "charts/platform/cache/templates/migrate.yaml").exists()
    settings = yaml.load((out / "devtools.yaml").read_text(), yaml.CSafeLoader)
    assert settings["gitops"]["environments"] == {"dev": {}, "production": {"sync": "manual"}}


@pytest.mark.parametrize(
    ("tree", "edits"),
    [
        (
            "argocd",
            {
                f"environments/{env}/components/data/database/component.yaml": [("CreateNamespace=true, ", "")]
                for env in ("dev", "production")
            },
        ),
        ("flux", {"shop/dev/namespace.yaml": [("name: data", "name: other")]}),
    ],
)
def test_a_namespace_that_the_tree_does_not_create_must_exist(
    tmp_path: Path, tree: str, edits: dict[str, list[tuple[str, str]]]
) -> None:
    done, out = run(edited(tmp_path, tree, edits))
    assert refused(done) == (PLAIN if tree == "flux" else [])
    assert [one["create_namespace"] for one in layers(out).values()] == [False] * len(layers(out))


def test_manifests_that_differ_between_environments_are_refused(tmp_path: Path) -> None:
    tree = edited(tmp_path, "argocd", {})
    ours = tree / "argocd/waves/widgets.yaml"
    theirs = ours.read_text().replace(
        "name: widgets\n", "name: production-widgets\n  labels: {environment: production}\n"
    )
    (ours.parent / "production.yaml").write_text(theirs.replace("manifests/widgets", "manifests/crds"))
    done, _ = run(tree)
    (problem,) = refused(done)
    assert problem in {"production deploys manifests/crds", "dev deploys manifests/widgets"}


@pytest.mark.parametrize(
    ("edits", "note"),
    [
        (
            {"shop/dev/cache.yaml": [("helm.toolkit.fluxcd.io/v2\n", "helm.toolkit.fluxcd.io/v2beta2\n")]},
            "tree/shop/dev/cache.yaml:1 HelmRelease cache: v2beta2 is read as v2; an export writes v2",
        ),
        (
            {"shop/dev/cache.yaml": [("helm.toolkit.fluxcd.io/v2\n", "helm.toolkit.fluxcd.io/v2beta1\n")]},
            "tree/shop/dev/cache.yaml:1 HelmRelease cache: v2beta1 is read as v2; an export writes v2",
        ),
        (
            {"shop/dev/sources.yaml": [("source.toolkit.fluxcd.io/v1\n", "source.toolkit.fluxcd.io/v1beta1\n")]},
            "tree/shop/dev/sources.yaml:1 HelmRepository stable: v1beta1 is read as v1; an export writes v1",
        ),
        (
            {
                "shop/dev/database.yaml": [
                    (
                        "        kind: HelmRepository\n        name: stable",
                        "        kind: OCIRepository\n        name: cache",
                    )
                ]
            },
            "tree/shop/dev/database.yaml:10 HelmRelease database: an OCIRepository as sourceRef is refused by Flux",
        ),
        (
            {
                "shop/dev/kustomization.yaml": [
                    ("labels:\n  - pairs:\n      team: shop\n", "commonLabels:\n  team: shop\n")
                ]
            },
            "tree/shop/dev/kustomization.yaml:4 shop/dev/kustomization.yaml: commonLabels become labels",
        ),
        (
            {"shop/dev/cache.yaml": [("  valuesFrom:", "  values: {replicas: 3}\n  valuesFrom:")]},
            "tree/shop/dev/cache.yaml:17 HelmRelease cache: spec.values outrank valuesFrom",
        ),
    ],
)
def test_old_forms_are_converted_with_a_note(
    tmp_path: Path, edits: dict[str, list[tuple[str, str]]], note: str
) -> None:
    done, out = run(edited(tmp_path, "flux", edits))
    assert refused(done) == PLAIN
    assert any(text.startswith(note) for text in notes(done)), notes(done)
    assert set(layers(out)) == {"database", "cache"}


def test_common_labels_are_labels_of_the_releases(tmp_path: Path) -> None:
    pair = ("labels:\n  - pairs:\n      team: shop\n", "commonLabels:\n  team: shop\n")
    _, out = run(edited(tmp_path, "flux", {"shop/dev/kustomization.yaml": [pair]}))
    assert layers(out)["cache"]["labels"] == {"team": "shop"}


@pytest.mark.parametrize(
    ("edits", "note", "left"),
    [
        (
            {"shop/dev/database.yaml": [("    - kind: ConfigMap\n", "    - kind: GitRepository\n")]},
            "tree/shop/dev/database.yaml:22 HelmRelease database: valuesFrom GitRepository database-values does not",
            {"cache"},
        ),
        (
            {"shop/dev/database.yaml": [("version: 16.2.1", 'version: ">=16.0.0"')]},
            "tree/shop/dev/database.yaml:4 release data/database: chart postgresql is not pinned (>=16.0.0): pin",
            {"cache"},
        ),
        (
            {"shop/dev/database.yaml": [("        name: stable", "        name: gone")]},
            "tree/shop/dev/database.yaml:10 HelmRelease database: its chart is in another repository, or its source is",
            {"cache"},
        ),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_way_out(
    tmp_path: Path, edits: dict[str, list[tuple[str, str]]], note: str, left: set[str]
) -> None:
    done, out = run(edited(tmp_path, "flux", edits))
    assert done.code == 1
    assert any(text.startswith(note) for text in notes(done)), notes(done)
    assert set(layers(out)) == left
    assert "needs" not in layers(out)["cache"]
    assert any(text.endswith("its need data/database is not imported: it is left out") for text in notes(done))


def test_a_component_of_which_no_application_is_made_is_refused(tmp_path: Path) -> None:
    file = "environments/dev/components/data/database/component.yaml"
    done, _ = run(edited(tmp_path, "argocd", {file: [("namespace: data\n", "")]}))
    assert done.code == 1
    refused = [one for one in done.document["notes"] if one["refused"] and one["file"] == f"tree/{file}"]
    assert [one["subject"] for one in refused] == ["ApplicationSet shop-dev"]
    assert refused[0]["message"].startswith("no Application is made of it, and so no release: ")


def test_a_broken_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    tree = edited(tmp_path, "flux", {})
    (tree / "broken.yaml").write_text("a: [\n")
    done, out = run(tree)
    assert done.code == 2
    assert "broken.yaml:2:1" in done.err
    assert not out.exists()


def test_a_directory_without_releases(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    done, out = run(tmp_path / "tree")
    assert (done.code, out.exists()) == (2, False)
    assert "tree has nothing that deploys a chart" in done.err
