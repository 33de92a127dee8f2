"""docker buildx: exact words, and what its answers mean."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from devtools.docker import buildx
from devtools.docker.buildx import Builder, Buildx, Node

OURS = Path("/state/kube config")
BUILDX = Buildx(program=Path("/bin/docker"), kubeconfig=OURS)
ENDPOINT = "kubernetes:///dev?deployment=dev0&kubeconfig=%2Fstate%2Fkube+config"


def test_commands() -> None:
    assert BUILDX.version().argv == ("/bin/docker", "buildx", "version")
    assert BUILDX.list().argv == (
        *("/bin/docker", "buildx", "ls", "--no-trunc", "--format"),
        "[{{json .Builder.Name}},{{json .Name}},{{json .DriverEndpoint}},{{json .Status}},{{json .Error}}]",
    )
    assert BUILDX.boot("dev", timeout=60).argv == ("/bin/docker", "buildx", "inspect", "dev", "--bootstrap")
    assert BUILDX.remove("dev").argv == ("/bin/docker", "buildx", "rm", "dev")


def test_a_builder_is_made_in_the_cluster_and_does_not_become_the_users() -> None:
    command = BUILDX.create("dev", "buildkit", {"replicas": "2", "labels": 'a=b,c="d"'}, timeout=180)
    assert command.argv == (
        *("/bin/docker", "buildx", "create", "--name", "dev", "--driver", "kubernetes"),
        *("--driver-opt", '"labels=a=b,c=""d"""'),
        *("--driver-opt", "namespace=buildkit"),
        *("--driver-opt", "replicas=2"),
        *("--driver-opt", "timeout=180s"),
        "--bootstrap",
    )
    assert "--use" not in command.argv
    assert command.timeout is not None
    assert command.timeout > 180


def test_the_cluster_is_given_to_each() -> None:
    for command in (BUILDX.list(), BUILDX.create("a", "b", {}, timeout=1), BUILDX.boot("a", timeout=1)):
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
    command = BUILDX.create("dev", "default", {}, timeout=60, config=Path("/state/buildkitd.toml"))
    assert command.argv[-3:] == ("--buildkitd-config", "/state/buildkitd.toml", "--bootstrap")
    assert tomllib.loads(buildx.registry_config("k3d-dev-registry:5000")) == {
        "registry": {"k3d-dev-registry:5000": {"http": True}}
    }


def test_a_builder_whose_cluster_is_gone_is_only_forgotten() -> None:
    assert BUILDX.remove("dev", keep_daemon=True).argv == ("/bin/docker", "buildx", "rm", "--keep-daemon", "dev")
