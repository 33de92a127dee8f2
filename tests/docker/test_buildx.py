"""docker buildx: exact words, and what its answers mean."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from devtools.docker import buildx
from devtools.docker.buildx import Builder, Buildx, Node
from devtools.process.runner import Result

CONFIG = Path("/state/buildkitd.toml")
OURS = Path("/state/kube config")
BUILDX = Buildx(program=Path("/bin/docker"), kubeconfig=OURS)
ENDPOINT = "kubernetes:///dev?deployment=dev0&kubeconfig=%2Fstate%2Fkube+config"


def test_commands() -> None:
    assert BUILDX.version().argv == ("/bin/docker", "buildx", "version")
    assert BUILDX.list().argv == (
        *("/bin/docker", "buildx", "ls", "--format"),
        "[{{json .Builder.Name}},{{json .Name}},{{json .DriverEndpoint}},{{json .Status}},{{json .Error}}]",
    )
    assert BUILDX.boot("dev", timeout=60).argv == ("/bin/docker", "buildx", "inspect", "dev", "--bootstrap")
    assert BUILDX.remove("dev").argv == ("/bin/docker", "buildx", "rm", "dev")


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        ("github.com/docker/buildx v0.15.0 d3a53189f7e9c917eeff851c895b9aad5a66b108", ""),
        ("github.com/docker/buildx v0.29.1 a32761aeb3debd39be1eca514af3693af0db334b", ""),
        ("github.com/docker/buildx 0.17.1 0.17.1-0ubuntu1~24.04.1", ""),
        ("github.com/docker/buildx v1.0.0-desktop.1 x", ""),
        ("github.com/docker/buildx a1b2c3d.m x", ""),
        ("github.com/docker/buildx v0.13.1 788433953af10f2a698f5c07611dddce2e08c7a0", "docker buildx is 0.13.1"),
        ("github.com/docker/buildx v0.14.1+unknown x", "docker buildx is 0.14.1"),
    ],
)
def test_the_oldest_version_is_the_one_with_the_drivers_timeout(printed: str, problem: str) -> None:
    found = buildx.obstacle(Result(returncode=0, stdout=printed))
    assert found == (problem and f"{problem}, and 0.15 is the oldest that works")


def test_a_docker_without_the_plugin() -> None:
    """As Debian's docker.io is."""
    messages = Result(returncode=1, stderr="docker: 'buildx' is not a docker command.\nSee 'docker --help'")
    assert buildx.obstacle(messages) == "docker has no buildx plugin"


def test_a_builder_in_the_cluster_does_not_become_the_default() -> None:
    command = BUILDX.create("dev", "buildkit", timeout=180, config=CONFIG)
    assert command.argv == (
        *("/bin/docker", "buildx", "create", "--name", "dev", "--driver", "kubernetes"),
        *("--driver-opt", "namespace=buildkit"),
        *("--driver-opt", "timeout=180s"),
        *("--buildkitd-config", "/state/buildkitd.toml", "--bootstrap"),
    )
    assert "--use" not in command.argv
    assert command.timeout is not None
    assert command.timeout > 180


def test_the_cluster_is_passed_to_each_command() -> None:
    for command in (BUILDX.list(), BUILDX.create("a", "b", timeout=1, config=CONFIG), BUILDX.boot("a", timeout=1)):
        assert command.env == {"KUBECONFIG": str(OURS)}
    assert BUILDX.remove("a").env == {"KUBECONFIG": str(OURS)}


def test_nodes_belong_to_their_builder() -> None:
    rows = [
        ["dev", "dev", "kubernetes", "", ""],
        ["dev", "dev0-6c9-x", ENDPOINT, "running", ""],
        ["dev", "dev0-6c9-y", ENDPOINT, "running", ""],
        ["default", "default", "docker", "", ""],
        ["default", "default", "default", "running", ""],  # a node with its builder's name
        ["old", "old", "kubernetes", "", ""],
        ["old", "old0", "kubernetes:///old?deployment=old0&kubeconfig=", "error", "no route to host"],
        ["broken", "broken", "remote", "error", "cannot load"],
    ]
    found = buildx.builders("\n".join(map(json.dumps, rows)) + "\n")
    assert [(item.name, item.driver, len(item.nodes)) for item in found] == [
        *[("dev", "kubernetes", 2), ("default", "docker", 1), ("old", "kubernetes", 1)],
        ("broken", "remote", 0),
    ]
    assert [item.is_running for item in found] == [True, True, False, False]
    assert [item.is_for(OURS) for item in found] == [True, False, False, False]
    assert found[2].nodes[0].error == "no route to host"
    assert found[3].error == "cannot load"
    assert buildx.find(found, "old") is found[2]
    assert buildx.find(found, "none") is None
    assert buildx.builders("") == ()


def test_a_builder_of_another_cluster_is_not_ours() -> None:
    node = Node(name="dev0", endpoint=ENDPOINT, status="running")
    assert Builder(name="dev", driver="kubernetes", nodes=(node,)).is_for(OURS)
    assert not Builder(name="dev", driver="kubernetes", nodes=(node,)).is_for(Path("/other"))
    assert not Builder(name="dev", driver="kubernetes").is_for(OURS)


@pytest.mark.parametrize("output", ["NAME/NODE DRIVER/ENDPOINT", '["a"]', '{"Name": "a"}', '["a","b","c","d",null]'])
def test_another_output_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        buildx.builders(output)


def test_a_builder_may_push_to_the_clusters_registry() -> None:
    assert tomllib.loads(buildx.registry_config("k3d-dev-registry:5000")) == {
        "registry": {"k3d-dev-registry:5000": {"http": True}}
    }


def test_a_builder_whose_cluster_is_gone_is_only_forgotten() -> None:
    assert BUILDX.remove("dev", keep_daemon=True).argv == ("/bin/docker", "buildx", "rm", "--keep-daemon", "dev")
