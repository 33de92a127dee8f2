"""The commands for docker buildx against the real one, without a cluster; docs/real-programs.md."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.docker.buildx import Buildx, builders, find, obstacle, registry_config
from devtools.process.runner import Cancel, Command, SubprocessRunner

DOCKER = shutil.which("docker")
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {token: t}}]
"""


def why_not() -> str:
    """Why there is no buildx that works; empty if there is one."""
    if DOCKER is None:
        return "no docker on PATH"
    command = Buildx(program=Path(DOCKER), kubeconfig=Path(os.devnull)).version()
    return obstacle(SubprocessRunner(os.environ, Cancel()).run(command))


pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"{why_not()}: docs/real-programs.md")


def test_a_builder_is_created_listed_and_removed(tmp_path: Path) -> None:
    """All options of the oldest version that is supported; only the pod is not waited for."""
    kubeconfig, config = tmp_path / "kube config", tmp_path / "buildkitd.toml"
    kubeconfig.write_text(KUBECONFIG)
    config.write_text(registry_config("k3d-x-registry:5000"))
    tool = Buildx(program=Path(DOCKER or ""), kubeconfig=kubeconfig)
    runner = SubprocessRunner({**os.environ, "BUILDX_CONFIG": str(tmp_path / "buildx")}, Cancel())

    def run(command: Command) -> str:
        result = runner.run(command)
        assert result.ok, result.stderr
        return result.stdout

    create = tool.create("dt-test", "default", timeout=180, config=config)
    assert create.argv[-1] == "--bootstrap"
    run(replace(create, argv=create.argv[:-1]))
    listed = builders(run(tool.list()))
    builder = find(listed, "dt-test")
    assert builder is not None
    assert builder.is_for(kubeconfig)
    assert not builder.is_for(tmp_path)
    assert not builder.is_running
    run(tool.remove("dt-test", keep_daemon=True))
    assert find(builders(run(tool.list())), "dt-test") is None
