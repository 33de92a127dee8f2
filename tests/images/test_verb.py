"""`invoke images.preload` by provider: what is there, what is brought in, and exits with meaning."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from devtools.app.environment import App
from devtools.app.exit_codes import run
from devtools.clusters.embedded.names import SMOKE_VALUES
from devtools.clusters.provider import Cluster
from devtools.commands.images import preload as verbs
from devtools.errors import ExitCode
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.kits.dockerd import PATH
from tests.kits.stack import write

IMAGES = """\
images:
  - {{name: docker.io/acme/{name}, tag: dev, purpose: built, build: {{context: app}}}}
  - {{name: docker.io/acme/none, tag: "1", digest: null, purpose: nowhere}}
"""


@dataclass(kw_only=True)
class Repo:
    """A repository with two images, and its task."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"x{uuid4().hex[:8]}")
    out: str = ""
    err: str = ""

    def __post_init__(self) -> None:
        write(self.root, {"app/Dockerfile": "FROM scratch\nCOPY file /\n", "app/file": self.name, "devtools.yaml": ""})
        write(self.root, {"images.yaml": IMAGES.format(name=self.name)})

    def preload(
        self, *names: str, output: str = "text", dry_run: bool = False, via: str = "registry", timeout: str = "1m"
    ) -> ExitCode:
        out, err = io.StringIO(), io.StringIO()
        app = App(environ=self.environ, cwd=self.root, out=out, err=err)
        code = run(
            app, lambda app: verbs.preload(app, names, via=via, timeout=timeout, dry_run=dry_run, output=output), output
        )
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    def rows(self, *names: str) -> tuple[ExitCode, dict[str, Any]]:
        code = self.preload(*names, output="json")
        return code, json.loads(self.out)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Its embedded cluster is not there."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DEVTOOLS_STATE": str(tmp_path / "state")}
    return Repo(root=tmp_path / "repo", environ={**environ, "DEVTOOLS_PROVIDER": "kwok"})


@pytest.fixture
def embedded(repo: Repo, app: App, cluster: Cluster) -> Repo:
    """The embedded cluster of this test run, and no Docker engine."""
    repo.environ = {**app.environ, "DOCKER_HOST": f"unix://{repo.root}/none"}
    return repo


@pytest.mark.real
def test_an_engine_fills_the_real_node(embedded: Repo, docker_host: str) -> None:
    embedded.environ["DOCKER_HOST"] = docker_host
    name = f"docker.io/acme/{embedded.name}:dev"
    code, document = embedded.rows()
    assert code is ExitCode.OK
    assert [row["state"] for row in document["images"]] == ["not needed", "not needed"]
    assert "localhost/devtools/ops:1" in document["there"]
    code, document = embedded.rows(embedded.name)
    assert code is ExitCode.OK
    assert [(row["image"], row["state"], row["nodes"]) for row in document["images"]] == [(name, "loaded", ["real-0"])]
    assert name in document["there"]
    code, document = embedded.rows()  # the engine has it now: it is at hand
    assert [row["state"] for row in document["images"]] == ["unchanged", "not needed"]
    write(embedded.root, {"app/file": "changed"})
    assert embedded.rows(embedded.name)[1]["images"][0]["state"] == "loaded"


@pytest.mark.real
def test_pods_of_the_real_node_run_what_was_loaded(
    embedded: Repo, docker_host: str, cluster: Cluster, tool: Callable[[str], Path]
) -> None:
    embedded.environ["DOCKER_HOST"] = docker_host
    shutil.copy(shutil.which("busybox", path=PATH) or "", embedded.root / "app" / "busybox")
    write(embedded.root, {"app/Dockerfile": "FROM scratch\nCOPY busybox file /\n"})
    assert embedded.preload(embedded.name) is ExitCode.OK
    container = {"name": "c", "image": f"acme/{embedded.name}:dev", "imagePullPolicy": "IfNotPresent"}
    spec = {key: SMOKE_VALUES[key] for key in ("nodeSelector", "tolerations")} | {"restartPolicy": "Never"}
    spec["containers"] = [container | {"command": ["/busybox", "cat", "/file"]}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": embedded.name}, "spec": spec}

    def kubectl(*words: str, stdin: str = "") -> str:
        argv = (str(tool("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "--namespace", "default", *words)
        runner = SubprocessRunner({"HOME": str(embedded.root)}, Cancel())
        result = runner.run(Command(argv=argv, stdin=stdin.encode(), timeout=300))
        assert result.ok, result.stderr
        return result.stdout

    kubectl("create", "--filename", "-", stdin=json.dumps(pod))
    try:
        kubectl("wait", f"pod/{embedded.name}", "--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "45s")
        assert kubectl("logs", embedded.name) == embedded.name
    finally:
        kubectl("delete", "pod", embedded.name, "--wait=false")


@pytest.mark.real
def test_without_an_engine_what_is_asked_for_by_name_fails(embedded: Repo) -> None:
    assert embedded.preload() is ExitCode.OK
    words = [word.strip() for word in embedded.out.splitlines()[1].split("  ") if word]
    assert words == ["not needed", "docker.io/acme/none:1", "pods that want it are simulated here"]
    assert "localhost/devtools/ops:1, localhost/devtools/pause:1" in embedded.err
    assert embedded.preload("none") is ExitCode.ENVIRONMENT
    assert embedded.out.startswith("failed      docker.io/acme/none:1  image docker.io/acme/none:1 is not available: ")


def test_without_a_cluster_there_is_a_sentence(repo: Repo) -> None:
    assert repo.preload() is ExitCode.ENVIRONMENT
    assert "invoke up makes it" in repo.err
    assert repo.out == ""


def test_an_existing_cluster_is_left_alone(repo: Repo) -> None:
    repo.environ["DEVTOOLS_PROVIDER"] = "context"
    write(repo.root, {"devtools.yaml": "cluster: {provider: context, context: prod}\nallowed_contexts: [prod]\n"})
    assert repo.preload() is ExitCode.CONFIG
    assert "was not created by devtools: images.preload does not change it" in repo.err
    assert repo.preload(dry_run=True) is ExitCode.OK
    assert repo.out == ""


def test_a_dry_run_is_the_commands_and_touches_nothing(repo: Repo) -> None:
    assert repo.preload(dry_run=True) is ExitCode.OK
    assert "no images are loaded into cluster" in repo.err
    assert repo.preload(repo.name, dry_run=True, output="json") is ExitCode.OK
    document = json.loads(repo.out)
    assert (document["version"], document["kind"]) == (1, "images-preload-plan")
    build, save, load = document["commands"]
    assert " build --tag docker.io/acme/" in build
    assert save.endswith(f"docker save --output image.tar docker.io/acme/{repo.name}:dev")
    assert re.fullmatch(
        r"ctr --address /run/devtools-\w+/containerd.sock --namespace k8s.io images import image.tar", load
    )
    assert not (repo.root.parent / "state").exists()


@pytest.mark.parametrize(
    ("via", "timeout", "message"),
    [
        ("imprt", "1m", "did you mean 'import'?"),
        ("import", "5x", "--timeout must be a duration"),
        ("registry", "0", "--timeout must be a duration"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_done(via: str, timeout: str, message: str, repo: Repo) -> None:
    assert repo.preload(via=via, timeout=timeout) is ExitCode.CONFIG
    assert message in repo.err


def test_an_unknown_name_is_refused(repo: Repo) -> None:
    assert repo.preload("non") is ExitCode.CONFIG
    assert "did you mean 'none'?" in repo.err
