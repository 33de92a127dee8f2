"""k3d: exact words and input, and what its answers mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from devtools.clusters import k3d_commands

K3D = Path("/usr/local/bin/k3d")
CONFIG = k3d_commands.Config(
    name="dev",
    api_port=6445,
    registry=k3d_commands.Registry(name="dev-registry", port=5111),
    agents=1,
    ports=("8080:80",),
)
STDIN = """\
apiVersion: k3d.io/v1alpha5
kind: Simple
metadata: {name: dev}
servers: 1
agents: 1
kubeAPI: {hostIP: 127.0.0.1, hostPort: "6445"}
ports: [{port: "127.0.0.1:8080:80", nodeFilters: [loadbalancer]}]
registries:
  use: ["k3d-dev-registry:5111"]
  config: '{"mirrors": {"localhost:5111": {"endpoint": ["http://k3d-dev-registry:5000"]}}}'
options:
  k3d: {wait: true, timeout: 180s}
  k3s: {extraArgs: [{arg: --tls-san=k3d-dev-serverlb, nodeFilters: ["server:*"]}]}
  kubeconfig: {updateDefaultKubeconfig: false, switchCurrentContext: false}
  runtime: {labels: [{label: "devtools.ameide.io/config=DIGEST", nodeFilters: ["server:*"]}]}
"""


def test_create_reads_its_configuration_on_stdin() -> None:
    command = k3d_commands.create(K3D, CONFIG)
    assert command.argv == ("/usr/local/bin/k3d", "cluster", "create", "--config", "-")
    assert command.stdin is not None
    assert json.loads(command.stdin) == yaml.safe_load(STDIN.replace("DIGEST", k3d_commands.digest(CONFIG)))
    assert command.timeout == 210


def test_nodes_that_run_pods() -> None:
    assert CONFIG.nodes == ("k3d-dev-server-0", "k3d-dev-agent-0")


def test_an_image_is_named_only_where_one_is_wanted() -> None:
    pinned = k3d_commands.Config(name="dev", api_port=6445, registry=CONFIG.registry, image="rancher/k3s:v1.34.4-k3s1")
    assert k3d_commands.document(pinned)["image"] == "rancher/k3s:v1.34.4-k3s1"
    assert "image" not in k3d_commands.document(CONFIG)
    assert k3d_commands.digest(pinned) != k3d_commands.digest(CONFIG)


def test_words() -> None:
    commands = {
        "cluster start dev --wait --timeout 180s": k3d_commands.start(K3D, CONFIG),
        "cluster stop dev": k3d_commands.stop(K3D, "dev"),
        "cluster delete dev": k3d_commands.delete(K3D, "dev"),
        "cluster list -o json": k3d_commands.list_clusters(K3D),
        "registry list -o json": k3d_commands.list_registries(K3D),
        "registry create dev-registry --port 127.0.0.1:5111 --no-help": k3d_commands.create_registry(
            K3D, CONFIG.registry
        ),
        "node start k3d-dev-registry": k3d_commands.start_node(K3D, CONFIG.registry.host),
        "image import a:1 b:2 --cluster dev --mode tools-node": k3d_commands.import_images(
            K3D, "dev", ("a:1", "b:2"), timeout=9
        ),
        "kubeconfig get dev": k3d_commands.get_kubeconfig(K3D, "dev"),
    }
    for words, command in commands.items():
        assert command.argv == (str(K3D), *words.split())
        assert command.timeout


def listed(**changes: object) -> str:
    """As k3d prints it, without what we do not read."""
    node = {"name": "k3d-dev-server-0", "role": "server", "runtimeLabels": {"devtools.ameide.io/config": "abc"}}
    balancer = {"name": "k3d-dev-serverlb", "role": "loadbalancer"}
    item = {
        "name": "dev",
        "nodes": [balancer, node],
        "serversRunning": 1,
        "serversCount": 1,
        "agentsRunning": 0,
        "agentsCount": 0,
    }
    return json.dumps([{**item, **changes}])


def test_clusters() -> None:
    (found,) = k3d_commands.parse_clusters(listed())
    assert found == k3d_commands.Listed(
        name="dev", servers_running=1, servers=1, agents_running=0, agents=0, digest="abc", nodes=("k3d-dev-server-0",)
    )
    assert found.is_running
    assert k3d_commands.parse_clusters("[]") == ()
    assert k3d_commands.parse_clusters("null") == ()
    assert k3d_commands.parse_clusters("\x1b[36mINFO\x1b[0m[0000] hello\n" + listed())[0].name == "dev"


@pytest.mark.parametrize("changes", [{"serversRunning": 0}, {"agentsCount": 2, "agentsRunning": 1}])
def test_a_cluster_that_runs_in_part_is_not_running(changes: dict[str, object]) -> None:
    assert not k3d_commands.parse_clusters(listed(**changes))[0].is_running


@pytest.mark.parametrize("output", ["", "FATA[0000] no docker", "{}", "[1]"])
def test_what_is_no_list_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        k3d_commands.parse_clusters(output)


def test_registries() -> None:
    output = json.dumps(
        [{"name": "/k3d-a", "State": {"Running": True}}, {"name": "k3d-b", "State": {"Running": False}}]
    )
    assert k3d_commands.parse_registries(output) == {"k3d-a": True, "k3d-b": False}


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (
            "\x1b[33mWARN\x1b[0m[0000] careful\n\x1b[31mERRO\x1b[0m[0002] first\n\x1b[31mFATA\x1b[0m[0002] second\n",
            "first",
        ),
        ('time="2026-01-01T00:00:00Z" level=fatal msg="cannot \\"x\\""', 'cannot "x"'),
        ("INFO[0000] a\nlast words\n\n", "last words"),
        ("", "no reason given"),
    ],
)
def test_the_first_error_is_shown(output: str, error: str) -> None:
    assert k3d_commands.first_error(output) == error


KUBECONFIG = "INFO[0000] x\napiVersion: v1\nclusters:\n- cluster:\n    server: https://0.0.0.0:6445\n  name: k3d-dev\n"


def test_kubeconfig_has_an_address_that_works() -> None:
    here = yaml.safe_load(k3d_commands.kubeconfig(KUBECONFIG))
    assert here["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6445"
    beside = yaml.safe_load(k3d_commands.kubeconfig(KUBECONFIG, k3d_commands.server_url(CONFIG, beside=True)))
    assert beside["clusters"][0]["cluster"]["server"] == "https://k3d-dev-serverlb:6443"
    assert k3d_commands.server_url(CONFIG, beside=False) == "https://127.0.0.1:6445"
    with pytest.raises(ValueError, match="no kubeconfig"):
        k3d_commands.kubeconfig("FATA[0000] none")


def test_differences_are_named() -> None:
    old = k3d_commands.document(CONFIG)
    new = k3d_commands.document(
        k3d_commands.Config(name="dev", api_port=6446, registry=CONFIG.registry, image="x", ports=("8080:80",))
    )
    assert k3d_commands.differences(old, new) == (
        "agents: 1 → 0",
        'image: none → "x"',
        'kubeAPI.hostPort: "6445" → "6446"',
    )
    assert k3d_commands.differences(old, old) == ()
