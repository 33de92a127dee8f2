"""`invoke gitops.export` of the fixture stack, as a user runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.commands.gitops.export import Arguments, export
from devtools.errors import ExitCode
from tests.kits.shop import make_shop
from tests.kits.stack import write
from tests.kits.verbs import Done, call


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return make_shop(tmp_path / "shop")


def run(root: Path, output: str = "json", **typed: Any) -> Done:
    environ = {"DEVTOOLS_CACHE": str(root.parent / "cache"), "DEVTOOLS_STATE": str(root.parent / "state")}
    arguments = Arguments(output=output, **typed)
    return call(lambda app: export(app, arguments), output, environ=environ, cwd=root)


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the export but the manifest."""
    files = (path for path in (root / "gitops").rglob("*") if path.is_file() and path.name != ".devtools-export.yaml")
    return {path.relative_to(root / "gitops").as_posix(): path.read_bytes() for path in files}


def test_a_second_export_writes_nothing(shop: Path) -> None:
    first = run(shop)
    assert (first.code, first.document["removed"], len(first.document["written"])) == (0, [], first.document["files"])
    second = run(shop)
    assert (second.code, second.document["written"], second.document["removed"]) == (0, [], [])
    assert run(shop, check=True).code is ExitCode.OK


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("environments/dev/40-apps/api.yaml", "replicas: 1", "replicas: 2"),
        ("environments/production/40-apps/web.yaml", "replicas: 3", "replicas: 4"),
    ],
)
def test_a_value_of_one_environment_changes_at_most_one_file(shop: Path, file: str, old: str, new: str) -> None:
    run(shop)
    (shop / file).write_text((shop / file).read_text().replace(old, new))
    assert len(run(shop).document["written"]) <= 1


def test_a_removed_release_removes_its_component_only(shop: Path) -> None:
    run(shop)
    before = tree(shop)
    layer = shop / "layers/40-apps.yaml"
    text = layer.read_text()
    layer.write_text(text[: text.index("  - name: web")])
    for overlay in shop.glob("environments/*/40-apps/web.yaml"):
        overlay.unlink()
    done = run(shop)
    after = tree(shop)
    assert done.document["removed"] == sorted(set(before) - set(after))
    assert all("/apps/web/" in path for path in done.document["removed"])
    changed = {path for path in after if after[path] != before[path]}
    # shop-smoke is less deep now: its wave and the steps of the sets are what else changes.
    assert all("argocd/apps/" in path or "/shop-smoke/" in path for path in changed)


def test_files_edited_by_hand_are_refused_and_nothing_is_written(shop: Path) -> None:
    run(shop)
    file = shop / "gitops/environments/dev/components/apps/web/component.yaml"
    file.write_text(file.read_text().replace('wave: "', 'wave: "9'))
    (shop / "environments/dev/40-apps/api.yaml").write_text("replicas: 7\n")
    before = tree(shop)
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if "wave" in text)
    where = f"gitops/environments/dev/components/apps/web/component.yaml:{line}:1"
    assert f"{where}: was edited by hand since the last export" in done.err
    assert tree(shop) == before
    assert run(shop, overwrite=True).code is ExitCode.OK


def test_a_chart_from_git_is_part_of_the_export(shop: Path) -> None:
    """No controller gets it from anywhere else as it was vendored."""
    lock = shop / "charts/third_party/lock.yaml"
    git = "git: https://git.example.com/charts.git\n    ref: v1.2.3\n    commit: null"
    lock.write_text(lock.read_text().replace("repository: https://charts.example.com", git))
    assert run(shop).code is ExitCode.OK
    found = tree(shop)
    assert "sources/charts/acme/cache/Chart.yaml" in found
    assert not [path for path, content in found.items() if b"git.example.com/charts.git" in content]


def test_check_and_dry_run_change_nothing(shop: Path) -> None:
    assert run(shop, dry_run=True).code is ExitCode.OK
    assert run(shop, check=True).code is ExitCode.FAILED
    assert not (shop / "gitops").exists()


def test_a_selection_writes_its_components_only(shop: Path) -> None:
    done = run(shop, environments=("dev",), layers=("40",))
    assert {path.rpartition("/")[0] for path in done.document["written"]} == {
        "environments/dev/components/apps/api",
        "environments/dev/components/apps/web",
    }
    assert run(shop, environments=("dev",)).document["removed"] == []


def test_exporting_some_environments_leaves_the_others_unchanged(shop: Path) -> None:
    run(shop)
    whole = tree(shop)
    for path in ("argocd/projects/shop.yaml", "argocd/apps/dev.yaml", "argocd/apps/staging.yaml"):
        (shop / "gitops" / path).unlink()
    done = run(shop, environments=("dev",)).document
    assert done["written"] == ["argocd/apps/dev.yaml", "argocd/projects/shop.yaml"]
    assert done["left_out"] == ["argocd/apps/staging.yaml"]
    assert list(done["environments"]) == ["dev"]
    run(shop)
    assert tree(shop) == whole


def test_a_command_that_no_controller_runs_is_an_error(shop: Path) -> None:
    layer = shop / "layers/40-apps.yaml"
    layer.write_text(layer.read_text().replace(", environments: [local]", ""))
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    assert "layers/40-apps.yaml:9:9: release shop/api runs a command before its sync" in done.err


def test_names_that_would_be_one_are_refused(shop: Path) -> None:
    layer = shop / "layers/40-apps.yaml"
    more = "".join(
        f"  - {{name: {name}, namespace: {namespace}, chart: platform/app}}\n"
        for name, namespace in (("b", "shop"), ("b", "other"), ("shop-b", "shop"))
    )
    layer.write_text(layer.read_text() + more)
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    assert "component shop-b in dev would be two releases: shop/b and shop/shop-b" in done.err


def test_a_long_name_is_a_valid_label(shop: Path) -> None:
    layer = shop / "layers/40-apps.yaml"
    name, first, second = "a" * 53, "b" * 60, "c" * 60
    more = "".join(f"  - {{name: {name}, namespace: {item}, chart: platform/app}}\n" for item in (first, second))
    layer.write_text(layer.read_text() + more)
    assert run(shop).code is ExitCode.OK
    files = list((shop / "gitops/environments/dev/components/apps").glob("bbb*/component.yaml"))
    (label,) = [line.split()[1] for line in files[0].read_text().splitlines() if "ameide.io/component:" in line]
    assert len(label) == 63


def test_the_project_of_an_application_is_the_layers(shop: Path) -> None:
    layer = shop / "layers/40-apps.yaml"
    layer.write_text(layer.read_text().replace("argocd: {revisionHistoryLimit: 3}", "argocd: {project: other}"))
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    assert "release shop/web sets argocd.project, which no ApplicationSet can change (set 'project'" in done.err


def test_a_secret_in_a_layer_file_is_refused_and_shown_nowhere(shop: Path) -> None:
    layer, canary = shop / "layers/40-apps.yaml", "c4n4ry-Zx81Qp77Lm20"
    text = layer.read_text().replace('      text: "y"', f"      db: {{password: {canary}}}")
    layer.write_text(text.replace("flux: {maxHistory: 3}", f"flux: {{auth: {{token: {canary}}}}}"))
    for engine in ("argocd", "flux", "kustomize"):
        done = run(shop, engine=engine)
        assert done.code is ExitCode.CONFIG
        assert "layers/40-apps.yaml:16:12: db.password is a secret in plain text" in done.err
        assert "flux.auth.token is a secret in plain text" in done.err
        assert canary not in done.out + done.err
    assert not (shop / "gitops").exists()


def test_a_stack_without_settings_says_what_to_add(shop: Path) -> None:
    (shop / "devtools.yaml").write_text("name: shop\n")
    done = run(shop)
    assert (done.code, "devtools.yaml has no 'gitops'" in done.err) == (ExitCode.CONFIG, True)


def test_a_directory_outside_the_stack_is_warned_of(shop: Path, tmp_path: Path) -> None:
    done = run(shop, out=str(tmp_path / "elsewhere"))
    assert done.code is ExitCode.OK
    assert "elsewhere is outside the stack: its files say that they are in gitops of the repository" in done.err
    assert "outside" not in run(shop, out="deploy/gitops").err


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ({"engine": "spinnaker"}, "--engine is 'spinnaker' (choose one of argocd, flux, kustomize)"),
        ({"environments": ("prodution",)}, "environment 'prodution' is not exported"),
        ({"environments": ("local",)}, "environment 'local' is not exported"),
        ({"out": "."}, "--out is the repository's root"),
        ({"out": ".."}, "--out ..: nothing is exported among the stack's own files"),
        ({"out": "/"}, "nor into a directory around them"),
        *(
            ({"out": name}, f"--out {name}: nothing")
            for name in ("environments", "layers/x", "charts", ".git", ".devtools")
        ),
        ({"charts": "vendored"}, "--charts must be upstream, extracted or the oci:// URL of a registry"),
    ],
)
def test_wrong_arguments(shop: Path, typed: dict[str, Any], text: str) -> None:
    done = run(shop, **typed)
    assert done.code is ExitCode.CONFIG
    assert text.partition(" (")[0] in done.err


def test_packaged_charts_are_part_of_the_export(shop: Path, app: App) -> None:
    """As the chart that is deployed here, so that the record of its release stays the same; each environment's own."""
    write(
        shop,
        {
            "layers/45-packaged.yaml": (
                "stage: apps\nreleases:\n"
                "  - {name: plain, namespace: apps, chart: manifests/plain}\n"
                "  - {name: made, namespace: apps, chart: kustomize/made}\n"
            ),
            "charts/manifests/plain/a.yaml": (
                'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: "{{ b }}"}\n'
            ),
            "charts/kustomize/made/base/kustomization.yaml": "configMapGenerator: [{name: b, literals: [a=b]}]\n",
            "charts/kustomize/made/overlays/production/kustomization.yaml": (
                "resources: [../../base]\nnamePrefix: prod-\n"
            ),
        },
    )
    environ = {"DEVTOOLS_CACHE": str(app.folders.cache), "DEVTOOLS_STATE": str(shop.parent / "state")}

    def exported(engine: str = "argocd", **typed: Any) -> Done:
        arguments = Arguments(output="json", engine=engine, **typed)
        return call(lambda app: export(app, arguments), "json", environ=environ, cwd=shop)

    assert exported().code is ExitCode.OK
    files = tree(shop)
    charts = sorted(name for name in files if name.startswith("sources/") and name.endswith("/Chart.yaml"))
    assert charts == [
        f"sources/charts/{name}/Chart.yaml"
        for name in ("kustomize/made-base", "kustomize/made-overlays-production", "manifests/plain")
    ]
    assert b'{{ "{{" }} b }}' in files["sources/charts/manifests/plain/templates/a.yaml"]
    for environment, directory in (("dev", "made-base"), ("production", "made-overlays-production")):
        component = files[f"environments/{environment}/components/45-packaged/made/component.yaml"]
        assert f"gitops/sources/charts/kustomize/{directory}\n".encode() in component
    assert exported(check=True).code is ExitCode.OK
    assert exported("flux").code is ExitCode.OK

    write(shop, {"charts/kustomize/made/base/kustomization.yaml": "secretGenerator: [{name: b, literals: [a=b]}]\n"})
    refused = exported()
    assert refused.code is ExitCode.CONFIG
    assert "is made by kustomize in plain text, which is not exported" in refused.err + refused.out


def test_commands_around_a_run_are_refused_but_for_laptops(shop: Path) -> None:
    settings = shop / "devtools.yaml"
    whole = settings.read_text()
    settings.write_text(f"before: [{{run: [make, up]}}]\n{whole}")
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    assert "devtools.yaml:1:10: a command runs before each run in dev, which no controller does" in done.err
    settings.write_text(f"before: [{{run: [make, up], environments: [local]}}]\n{whole}")
    assert run(shop).code is ExitCode.OK
