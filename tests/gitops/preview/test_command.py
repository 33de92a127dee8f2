"""`invoke gitops.preview` and `invoke gitops.test` on the recorded tree."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.commands.gitops.golden import compare
from devtools.commands.gitops.preview import Arguments, preview
from devtools.errors import ConfigError, ExitCode
from devtools.project import Project

TREE = Path(__file__).parent / "recorded" / "tree"
Run = Callable[..., tuple[ExitCode, str]]


@pytest.fixture
def repository(tmp_path: Path, preview_program: Path) -> Path:
    """A git repository with the recorded tree, but for the sets that cannot be generated."""
    assert preview_program.exists()
    root = tmp_path / "repository"
    shutil.copytree(TREE, root / "fleet")
    for name in ("missing-key", "duplicates", "absent-project"):
        (root / "fleet" / "sets" / f"{name}.yaml").unlink()
    for path in (root / "fleet" / "sets").iterdir():
        text = path.read_text().replace("components/", "fleet/components/").replace("charts/", "fleet/charts/")
        path.write_text(text.replace("segments 2", "segments 3"))
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)
    return root


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "change")


def app_of(root: Path) -> App:
    return Project.find(root, out=StringIO(), err=StringIO()).app


def previewed(root: Path, **typed: Any) -> tuple[ExitCode, dict[str, Any]]:
    app = app_of(root)
    code = preview(app, Arguments(directory="fleet", output="json", **typed))
    return code, json.loads(app.out.getvalue())  # type: ignore[attr-defined]


def test_what_changes_since_a_commit(repository: Path) -> None:
    file = repository / "fleet" / "components" / "apps" / "api" / "component.yaml"
    file.write_text(file.read_text().replace("namespace: apps", "namespace: shop"))
    _, document = previewed(repository, sets=("rolling",), against="HEAD")
    (change,) = document["changes"]
    assert (change["application"], change["what"]) == ("rolling-api", "changed")
    assert change["fields"] == [{"path": "spec.destination.namespace", "before": '"apps"', "after": '"shop"'}]


def test_what_waits_for_a_broken_application(repository: Path) -> None:
    _, document = previewed(repository, sets=("rolling",), broken="rolling-gateway")
    waiting = {app["name"]: app["waiting"] for app in document["groups"][0]["applications"]}
    assert waiting == {"rolling-gateway": 2, "rolling-api": 0, "rolling-web": 0}
    assert document["broken"] == {"application": "rolling-gateway", "waiting": ["rolling-api", "rolling-web"]}


def test_missing_value_files_are_dropped_or_fail(repository: Path) -> None:
    code, document = previewed(repository, sets=("rolling",))
    states = {
        (app["name"], file["written"].rsplit("/", 1)[-1]): file["state"]
        for app in document["groups"][0]["applications"]
        for file in app["value_files"]
    }
    assert code == ExitCode.FAILED
    assert states["rolling-api", "missing-api.yaml"] == "missing"
    assert states["rolling-web", "missing-web.yaml"] == "dropped"


def test_a_clusters_generator_needs_cluster_secrets(repository: Path) -> None:
    secrets = repository / "fleet" / "sets" / "cluster-secrets.yaml"
    shutil.move(secrets, repository / "clusters.yaml")
    code, document = previewed(repository, sets=("clusters",))
    assert (code, document["groups"][0]["applications"]) == (ExitCode.FAILED, [])
    code, document = previewed(repository, sets=("clusters",), clusters="clusters.yaml")
    assert code == ExitCode.OK
    assert [app["name"] for app in document["groups"][0]["applications"]] == ["blue-api", "blue-web"]
    with pytest.raises(ConfigError, match="has no cluster Secrets"):
        previewed(repository, clusters="fleet/components/apps/api/component.yaml")


def test_golden_files_tell_what_a_change_does(repository: Path) -> None:
    typed = Arguments(directory="fleet", sets=("rolling",))
    with pytest.raises(ConfigError, match="has no golden files"):
        compare(app_of(repository), typed, "", update=False)
    assert compare(app_of(repository), typed, "", update=True) == ExitCode.OK
    golden = repository / "fleet-golden" / "applicationset-rolling.yaml"
    assert golden.read_text().splitlines()[1] == "# step 1: rolling-gateway"
    assert compare(app_of(repository), typed, "", update=False) == ExitCode.OK
    golden.write_text(golden.read_text().replace("main", "old"))
    app = app_of(repository)
    assert compare(app, typed, "", update=False) == ExitCode.FAILED
    assert "-    targetRevision: old" in app.out.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"directory": "none"}, "none is not a directory"),
        ({"directory": "fleet", "sets": ("rollin",)}, "has no ApplicationSet rollin"),
        ({"directory": "fleet", "broken": "none"}, "no step has an Application none"),
        ({"directory": "fleet", "against": "none"}, "none is not a commit of"),
        ({"directory": "fleet", "clusters": "none.yaml"}, "cannot read none.yaml"),
    ],
)
def test_what_cannot_be_previewed(repository: Path, typed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        preview(app_of(repository), Arguments(**typed))
    assert caught.value.hint


def test_manifests_are_rendered_with_secrets_hidden(repository: Path) -> None:
    chart = repository / "fleet" / "charts" / "alpha" / "templates"
    chart.mkdir()
    (chart / "all.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: {{ .Release.Name }}}\nstringData: {password: canary-8261}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Namespace }}}\n"
    )
    app = app_of(repository)
    code = preview(app, Arguments(directory="fleet", sets=("merge",), manifests=True))
    text = app.out.getvalue()  # type: ignore[attr-defined]
    assert code == ExitCode.OK
    assert "# Application merge-one\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: merge-one\n" in text
    assert "canary" not in text
    (chart / "all.yaml").write_text('{{ fail "no" }}')
    code, document = previewed(repository, sets=("merge",), manifests=True)
    assert code == ExitCode.FAILED
    assert "no" in document["groups"][0]["applications"][0]["problem"]


def test_secrets_in_applications_are_hidden(repository: Path) -> None:
    file = repository / "fleet" / "sets" / "merge.yaml"
    values = "helm: {valuesObject: {admin: {password: canary-8261}}}, repoURL"
    file.write_text(file.read_text().replace("source: {repoURL", f"source: {{{values}", 1))
    _, document = previewed(repository, sets=("merge",), against="HEAD")
    assert document["changes"]
    assert "canary" not in json.dumps(document)
