"""k3d: exact words and input, and what its answers mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from devtools.clusters.k3d import output
from devtools.clusters.k3d.base_file import read_base
from devtools.clusters.k3d.commands import K3d
from devtools.clusters.k3d.config import LABEL, Config, Registry, differences, digest, document
from devtools.errors import ConfigError

K3D = K3d(program=Path("/usr/local/bin/k3d"), home=Path("/state/k3d/dev"))
REGISTRY = Registry(name="dev-registry", port=5111)
CONFIG = Config(name="dev", api_port=6445, registry=REGISTRY, agents=1, ports=("80:80",))
STDIN = """\
apiVersion: k3d.io/v1alpha5
kind: Simple
metadata: {name: dev}
servers: 1
agents: 1
kubeAPI: {host: 127.0.0.1, hostIP: 127.0.0.1, hostPort: "6445"}
volumes: []
ports: [{port: "127.0.0.1:80:80", nodeFilters: [loadbalancer]}]
registries:
  use: ["k3d-dev-registry:5111"]
options:
  k3d: {wait: true, timeout: 180s}
  k3s:
    extraArgs:
      - {arg: --tls-san=k3d-dev-serverlb, nodeFilters: ["server:*"]}
      - {arg: --disable=traefik, nodeFilters: ["server:*"]}
  kubeconfig: {updateDefaultKubeconfig: false, switchCurrentContext: false}
  runtime: {labels: [{label: "k3d-devtools.config=DIGEST", nodeFilters: ["server:*", "agent:*", loadbalancer]}]}
"""


def test_create_reads_its_configuration_on_stdin() -> None:
    command = K3D.create(CONFIG)
    assert command.argv == ("/usr/local/bin/k3d", "cluster", "create", "--config", "-")
    assert command.stdin is not None
    found = json.loads(command.stdin)
    registries = found["registries"].pop("config")
    assert found == yaml.safe_load(STDIN.replace("DIGEST", digest(CONFIG)))
    mirrors = {"localhost:5111": {"endpoint": ["http://k3d-dev-registry:5000"]}}
    assert yaml.safe_load(registries) == {"mirrors": mirrors}
    assert "\n" in registries, "k3d takes one line as the path of a file"
    assert command.timeout == 210


def test_a_shape() -> None:
    shaped = replace(
        CONFIG,
        servers=3,
        agents=None,
        ports=("8053:53/udp",),
        mirrors={"docker.io": ("https://mirror.example.com",)},
        volumes=("/here:/there:ro",),
        traefik=True,
    )
    found = document(shaped)
    assert (found["servers"], found["agents"], len(shaped.nodes)) == (3, 0, 3)
    assert found["ports"] == [{"port": "127.0.0.1:8053:53/udp", "nodeFilters": ["loadbalancer"]}]
    assert found["volumes"] == [{"volume": "/here:/there:ro", "nodeFilters": ["server:*", "agent:*"]}]
    mirrors = yaml.safe_load(found["registries"]["config"])["mirrors"]
    assert sorted(mirrors) == ["docker.io", "localhost:5111"]
    assert mirrors["docker.io"] == {"endpoint": ["https://mirror.example.com"]}
    assert [item["arg"] for item in found["options"]["k3s"]["extraArgs"]] == ["--tls-san=k3d-dev-serverlb"]
    assert shaped.host_ports == (6445, 8053)


BASE = """\
apiVersion: k3d.io/v1alpha5
kind: Simple
metadata: {name: mine}
servers: 3
agents: 2
image: rancher/k3s:v1.33.1-k3s1
network: ours
kubeAPI: {hostIP: 0.0.0.0, hostPort: "6550", host: me.example.com}
ports:
  - {port: "9000:9000", nodeFilters: [loadbalancer]}
  - {port: "0.0.0.0:9001:9001", nodeFilters: [loadbalancer]}
env: [{envVar: A=b, nodeFilters: [all]}]
registries:
  use: ["k3d-other:5000"]
  config: |
    mirrors: {quay.io: {endpoint: ["https://q.example.com"]}}
    configs: {quay.io: {tls: {insecure_skip_verify: true}}}
options:
  k3s: {extraArgs: [{arg: --disable=metrics-server, nodeFilters: ["server:*"]}]}
  kubeconfig: {updateDefaultKubeconfig: true, switchCurrentContext: true}
  runtime: {labels: [{label: a=b, nodeFilters: [all]}]}
"""


def test_a_configuration_file_is_below_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "k3d.yaml").write_text(BASE)
    config = replace(CONFIG, servers=None, agents=1, base=read_base(tmp_path, "k3d.yaml"), directory=tmp_path)
    command = K3D.create(config)
    assert command.cwd == tmp_path
    found = json.loads(command.stdin or b"")
    assert (found["metadata"], found["servers"], found["agents"]) == ({"name": "dev"}, 3, 1)
    assert (found["image"], found["network"], config.network) == ("rancher/k3s:v1.33.1-k3s1", "ours", "ours")
    assert found["kubeAPI"] == {"hostIP": "127.0.0.1", "hostPort": "6445", "host": "127.0.0.1"}
    assert [item["port"] for item in found["ports"]] == ["127.0.0.1:9000:9000", "0.0.0.0:9001:9001", "127.0.0.1:80:80"]
    assert config.host_ports == (6445, 9000, 9001, 80)
    assert found["registries"]["use"] == ["k3d-other:5000", "k3d-dev-registry:5111"]
    registries = yaml.safe_load(found["registries"]["config"])
    assert (sorted(registries), sorted(registries["mirrors"])) == (
        ["configs", "mirrors"],
        ["localhost:5111", "quay.io"],
    )
    assert found["options"]["k3s"]["extraArgs"][0]["arg"] == "--disable=metrics-server"
    assert found["options"]["kubeconfig"] == {"updateDefaultKubeconfig": False, "switchCurrentContext": False}
    assert [item["label"] for item in found["options"]["runtime"]["labels"]] == ["a=b", f"{LABEL}={digest(config)}"]
    assert found["env"] == [{"envVar": "A=b", "nodeFilters": ["all"]}]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", []),
        ("kind: Simple\n", ["k3d.yaml:1:1: 'apiVersion' must be k3d.io/v1alpha5"]),
        ("apiVersion: k3d.io/v1alpha4\nkind: Simple\n", ["k3d.yaml:1:1: 'apiVersion' must be k3d.io/v1alpha5"]),
        (f"{BASE}x: [\n", ["k3d.yaml:23:1: is not YAML"]),
        (BASE.replace("ports:\n", "port:\n") + "ports: {a: b}\n", ["k3d.yaml:22:1: 'ports' must be a list of maps"]),
        (BASE.replace("config: |", "config: r.yaml #"), ["k3d.yaml:16:5: is not YAML"]),
        (
            "apiVersion: k3d.io/v1alpha5\nkind: Simple\nregistries: {config: r.yaml}\n",
            ["k3d.yaml:3:14: 'registries.config' is the path of another file"],
        ),
        (
            "apiVersion: k3d.io/v1alpha5\nkind: Simple\nregistries:\n  config: |\n    a: [\n",
            ["k3d.yaml:4:3: 'registries.config' is not YAML"],
        ),
    ],
)
def test_an_error_in_a_configuration_file_has_its_position(tmp_path: Path, text: str, problems: list[str]) -> None:
    (tmp_path / "k3d.yaml").write_text(text)
    if not problems:
        assert read_base(tmp_path, "k3d.yaml") == {}
        return
    with pytest.raises(ConfigError) as caught:
        read_base(tmp_path, "k3d.yaml")
    found = [f"{problem.where}: {problem.message}" for problem in caught.value.problems]
    assert len(found) == len(problems)
    assert all(text.startswith(start) for text, start in zip(found, problems, strict=True)), found


def test_the_label_is_one_that_k3d_takes_and_lists() -> None:
    """It refuses labels that begin with `k3d.`, and lists only those that begin with `k3d`."""
    assert LABEL.startswith("k3d")
    assert not LABEL.startswith("k3d.")


def test_nodes_that_run_pods() -> None:
    assert CONFIG.nodes == ("k3d-dev-server-0", "k3d-dev-agent-0")


def test_an_image_is_named_only_where_one_is_wanted() -> None:
    pinned = Config(name="dev", api_port=6445, registry=CONFIG.registry, image="rancher/k3s:v1.34.4-k3s1")
    assert document(pinned)["image"] == "rancher/k3s:v1.34.4-k3s1"
    assert "image" not in document(CONFIG)
    assert digest(pinned) != digest(CONFIG)


COMMANDS = {
    "cluster create --config -": K3D.create(CONFIG),
    "cluster start dev --wait --timeout 180s": K3D.start(CONFIG),
    "cluster stop dev": K3D.stop("dev"),
    "cluster delete dev": K3D.delete("dev"),
    "cluster list -o json": K3D.list_clusters(),
    "registry list -o json": K3D.list_registries(),
    "registry create dev-registry --port 127.0.0.1:5111 --no-help": K3D.create_registry(CONFIG.registry),
    "registry delete k3d-dev-registry": K3D.delete_registry(CONFIG.registry),
    "node start k3d-dev-registry": K3D.start_node(CONFIG.registry.host),
    "image import a:1 b:2 --cluster dev --mode tools-node": K3D.import_images("dev", ("a:1", "b:2"), timeout=9),
    "kubeconfig get dev": K3D.get_kubeconfig("dev"),
}


@pytest.mark.parametrize("words", COMMANDS)
def test_words_and_surroundings(words: str) -> None:
    """Each has files of its own for what k3d would write to ~/.kube and ~/.config."""
    command = COMMANDS[words]
    assert command.argv == (str(K3D.program), *words.split())
    assert command.timeout
    assert command.env == {"KUBECONFIG": "/state/k3d/dev/kubeconfig", "XDG_CONFIG_HOME": "/state/k3d/dev"}


def node(name: str, role: str, status: str = "running", **more: object) -> dict[str, object]:
    """As k3d 5.9.0 prints it, without what we do not read."""
    state = {"Running": status == "running", "Status": status, "Started": ""}
    return {"name": name, "role": role, "State": state, "Networks": ["k3d-dev"], **more}


PORTS = {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "6445"}], "80/tcp": None}
SERVER = node("k3d-dev-server-0", "server", runtimeLabels={"k3d.cluster": "dev", LABEL: "abc"}, portMappings={})
BALANCER = node("k3d-dev-serverlb", "loadbalancer", portMappings=PORTS)


def listed(*nodes: dict[str, object]) -> str:
    return json.dumps([{"name": "dev", "nodes": nodes, "serversRunning": 1, "serversCount": 1}])


def test_clusters() -> None:
    (found,) = output.parse_clusters(listed(BALANCER, SERVER))
    assert (found.name, found.digest, found.workers) == ("dev", "abc", ("k3d-dev-server-0",))
    assert found.is_running
    assert found.is_complete
    assert [node.ports for node in found.nodes] == [(6445,), ()]
    assert output.parse_clusters("[]") == ()
    assert output.parse_clusters("null") == ()
    assert output.parse_clusters("\x1b[36mINFO\x1b[0m[0000] hello\n" + listed(SERVER))[0].name == "dev"


@pytest.mark.parametrize("stopped", [SERVER, BALANCER, node("k3d-dev-agent-0", "agent")])
def test_a_cluster_that_runs_in_part_is_not_running(stopped: dict[str, object]) -> None:
    name = str(stopped["name"])
    others = [item for item in (SERVER, BALANCER) if item["name"] != name]
    (found,) = output.parse_clusters(listed(*others, {**stopped, **node(name, str(stopped["role"]), "exited")}))
    assert not found.is_running
    assert [node.name for node in found.stopped] == [name]
    assert found.is_complete


@pytest.mark.parametrize("nodes", [(BALANCER,), (SERVER, node("k3d-dev-serverlb", "loadbalancer", "created"))])
def test_a_cluster_with_a_part_never_started_is_not_complete(nodes: tuple[dict[str, object], ...]) -> None:
    assert not output.parse_clusters(listed(*nodes))[0].is_complete


@pytest.mark.parametrize("text", ["", "FATA[0000] no docker", "{}", "[1]"])
def test_what_is_not_a_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        output.parse_clusters(text)


def test_registries() -> None:
    ports = {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5111"}]}
    found = output.parse_registries(
        json.dumps([node("/k3d-a", "registry", portMappings=ports), node("k3d-b", "registry", "exited")])
    )
    assert [(name, one.is_running, one.ports) for name, one in found.items()] == [
        ("k3d-a", True, (5111,)),
        ("k3d-b", False, ()),
    ]
    assert found["k3d-a"].networks == ("k3d-dev",)


@pytest.mark.parametrize(
    ("text", "error"),
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
def test_the_first_error_is_shown(text: str, error: str) -> None:
    assert output.first_error(text) == error


KUBECONFIG = "INFO[0000] x\napiVersion: v1\nclusters:\n- cluster:\n    server: https://0.0.0.0:6445\n  name: k3d-dev\n"


def test_kubeconfig_has_an_address_that_works() -> None:
    here = yaml.safe_load(output.kubeconfig(KUBECONFIG))
    assert here["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6445"
    beside = yaml.safe_load(output.kubeconfig(KUBECONFIG, f"https://{CONFIG.balancer}:6443"))
    assert beside["clusters"][0]["cluster"]["server"] == "https://k3d-dev-serverlb:6443"
    with pytest.raises(ValueError, match="no kubeconfig"):
        output.kubeconfig("FATA[0000] none")


def test_differences_are_named() -> None:
    old = document(CONFIG)
    new = document(Config(name="dev", api_port=6446, registry=CONFIG.registry, image="x", ports=("80:80",)))
    assert differences(old, new) == (
        "agents: 1 → 0",
        'image: none → "x"',
        'kubeAPI.hostPort: "6445" → "6446"',
    )
    assert differences(old, old) == ()
