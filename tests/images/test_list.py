"""`invoke images.list`, with the real helm."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.app.exit_codes import run
from devtools.app.options import Options
from devtools.commands.images import inventory as verbs
from devtools.errors import ExitCode
from devtools.process.runner import Cancel
from tests.kits.stack import write

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: "{{ .Release.Name }}"}
spec: {containers: [{name: a, image: "{{ .Values.image }}"}]}
"""
FILES = {
    "devtools.yaml": "cluster: {provider: kwok}\n",
    "charts/platform/web/Chart.yaml": "{apiVersion: v2, name: web, version: 0.1.0}",
    "charts/platform/web/values.yaml": "image: acme/web:1\n",
    "charts/platform/web/templates/pod.yaml": POD,
    "charts/third_party/lock.yaml": "charts: [{publisher: acme, name: db, version: 1.0.0, sha256: null,"
    " repository: https://x.invalid, contract: {workloads: [{kind: Deployment, name: db}]}}]\n",
    "layers/_defaults.yaml": "release: {namespace: default}\n",
    "layers/10-a.yaml": "stage: a\nreleases:\n  - {name: one, chart: platform/web}\n  - {name: db, chart: acme/db}\n",
    "layers/20-b.yaml": "stage: b\nreleases:\n  - {name: two, chart: platform/web, needs: [default/one]}\n"
    "  - {name: none, chart: platform/web, installed: false, values: {image: never}}\n",
    "environments/dev/20-b/two.yaml": "image: quay.io/acme/web:2\n",
    "environments/local/environment.yaml": "{}\n",
    "images.yaml": "images:\n  - {name: acme/web, tag: '1', purpose: x}\n"
    "  - {name: tool, tag: '3', purpose: for people}\n",
}


@dataclass(kw_only=True)
class Repo:
    """A repository with two layers, and its task."""

    root: Path
    home: Path
    out: str = ""
    err: str = ""

    def list(self, *layers: str, env: str = "local", output: str = "text", cancel: Cancel | None = None) -> ExitCode:
        out, err = io.StringIO(), io.StringIO()
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "DEVTOOLS_STATE": str(self.home / "state")}
        environ["DEVTOOLS_CACHE"] = os.environ.get("DEVTOOLS_CACHE", "") or str(Path.home() / ".cache/ameide-devtools")
        app = App(environ=environ, cwd=self.root, out=out, err=err, environment=env, cancel=cancel or Cancel())
        code = run(app, lambda app: verbs.show(app, layers, Options(output=output)), output)
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    def images(self, *layers: str, env: str = "local") -> dict[str, dict[str, Any]]:
        assert self.list(*layers, env=env, output="json") is ExitCode.OK
        document = json.loads(self.out)
        assert (document["version"], document["kind"], document["environment"]) == (1, "images", env)
        return {row["image"]: row for row in document["images"]}


@pytest.fixture
def repo(tool: Callable[[str], Path], tmp_path: Path) -> Repo:
    tool("helm")
    return Repo(root=write(tmp_path / "repo", dict(FILES)), home=tmp_path)


def test_every_image_with_its_releases(repo: Repo) -> None:
    found = repo.images()
    assert list(found) == ["docker.io/acme/web:1", "stand-in.invalid/db:1.0.0", "docker.io/library/tool:3"]
    web, db, tool = found.values()
    assert (web["releases"], web["pinned"], web["source"]) == (["default/one", "default/two"], True, "pull")
    assert (db["stand_in"], db["pinned"], db["source"]) == (True, False, None)
    assert (tool["releases"], tool["purpose"], tool["stand_in"]) == ([], "for people", False)


def test_an_environment_and_a_layer(repo: Repo) -> None:
    found = repo.images("20", env="dev")
    assert list(found) == ["quay.io/acme/web:2"]
    assert not found["quay.io/acme/web:2"]["pinned"]
    assert repo.list("10", "20-b") is ExitCode.OK
    assert "never" not in repo.out


def test_people_read_a_table_and_a_summary(repo: Repo) -> None:
    assert repo.list() is ExitCode.OK
    assert repo.out.splitlines() == [
        "docker.io/acme/web:1       images.yaml: pull  default/one, default/two",
        "stand-in.invalid/db:1.0.0  stand-in           default/db",
        "docker.io/library/tool:3   images.yaml: pull  no release",
    ]
    assert repo.err == (
        "3 images of 3 releases, 2 in images.yaml; 1 placeholder of stand-ins: the real charts name others\n"
    )


def test_every_chart_that_cannot_be_rendered_is_reported(repo: Repo) -> None:
    write(repo.root, {"environments/dev/20-b/two.yaml": "image: 'No Image'\n"})
    write(repo.root, {"environments/dev/10-a/one.yaml": "image: {a: [\n"})
    assert repo.list(env="dev") is ExitCode.CONFIG
    write(repo.root, {"environments/dev/10-a/one.yaml": "{}\n"})
    write(
        repo.root, {"charts/platform/web/templates/x.yaml": '{{ if eq .Release.Name "one" }}{{ fail "no!" }}{{ end }}'}
    )
    assert repo.list(env="dev") is ExitCode.CONFIG
    assert "layers/10-a.yaml:3:5: default/one: chart 'platform/web' cannot be rendered: " in repo.err
    assert "layers/20-b.yaml:3:5: default/two: 'No Image' is not an image's name" in repo.err
    assert repo.out == ""


def test_an_unknown_layer_and_a_broken_catalog(repo: Repo) -> None:
    assert repo.list("20-bb") is ExitCode.CONFIG
    assert "did you mean '20-b'?" in repo.err
    write(repo.root, {"images.yaml": "images: [{name: x}]\n"})
    assert repo.list(output="json") is ExitCode.CONFIG
    assert json.loads(repo.out)["kind"] == "error"


def test_an_interrupt_ends_it(repo: Repo) -> None:
    cancel = Cancel()
    cancel.set("interrupted by Ctrl-C")
    assert repo.list(cancel=cancel) is ExitCode.INTERRUPTED


def test_it_needs_no_cluster_and_leaves_nothing(repo: Repo) -> None:
    shutil.rmtree(repo.home / "state", ignore_errors=True)
    before = set(repo.root.rglob("*"))
    assert repo.list() is ExitCode.OK
    assert set(repo.root.rglob("*")) == before
    assert not (repo.home / ".cache").exists()
    assert not (repo.home / "state" / "clusters").exists()
