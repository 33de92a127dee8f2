"""The k3d provider against a double of k3d 5.9.0; test_real_k3d.py has it against the real one."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from devtools.clusters.k3d.commands import K3d
from devtools.clusters.k3d.config import LABEL, Config, Registry, digest
from devtools.clusters.k3d.provider import ContainerNetwork, K3dProvider
from devtools.clusters.provider import ClusterAbsent
from devtools.docker.engine import DockerEngine
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Cancel, Command, SubprocessRunner
from devtools.testing import FakeRunner, Reply
from tests.kits.k3d import install
from tests.kits.ports import free_port
from tests.kits.waiting import eventually

CONFIG = Config(name="dev", api_port=19445, registry=Registry(name="reg", port=19111), timeout=300)
USERS = "current-context: k3d-dev\n"


class Engine(DockerEngine):
    """A Docker engine that knows one container, or none."""

    def __init__(self, own: str = "") -> None:
        super().__init__({})
        self.own = own
        self.joined: list[tuple[str, str]] = []
        self.removed: list[str] = []
        self.on_leave: Callable[[str], None] = lambda _: None

    def answers(self) -> bool:
        return True

    def own_container(self) -> str:
        return self.own

    def join(self, network: str, container: str) -> None:
        self.joined.append((network, container))

    def leave(self, network: str, container: str) -> None:
        self.on_leave(container)

    def remove_network(self, network: str) -> None:
        self.removed.append(network)


@contextmanager
def served(port: int = 0) -> Iterator[str]:
    """An API server's `/version`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"gitVersion": "v1.34.4+k3s1"}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served() as url:
        yield url


@dataclass(kw_only=True)
class Bench:
    """A provider, the double of k3d that it drives, and what it printed."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    cancel: Cancel = field(default_factory=Cancel)
    engine: Engine = field(default_factory=Engine)
    lines: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.home / "state/k3d/dev"

    @property
    def users(self) -> Path:
        """The user's own kubeconfig."""
        return self.home / ".kube/config"

    def provider(
        self, config: Config = CONFIG, *, inside: bool = False, patience: float = 0.0, **environ: str
    ) -> K3dProvider:
        base = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "FAKE": str(self.home / "fake")}
        return K3dProvider(
            config,
            runner=SubprocessRunner({**base, **environ}, self.cancel, grace=(0.2, 0.2)),
            tool=K3d(program=self.home / "bin/k3d", home=self.state),
            state=self.state,
            engine=self.engine,
            in_container=inside,
            cancel=self.cancel,
            patience=patience,
        )

    def ensure(self, config: Config = CONFIG, **environ: str) -> None:
        self.provider(config, inside=False, patience=0.0, **environ).ensure(self.lines.append)

    def ran(self) -> list[str]:
        """The first words of k3d's calls since this was asked last."""
        path = self.home / "fake/calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [" ".join(call.split()[1:3]) for call in calls]

    def nodes(self) -> list[dict[str, Any]]:
        path = self.home / "fake/k3d.json"
        found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return found

    def change(self, name: str, **changes: Any) -> None:
        """Change a container."""
        nodes = [{**node, **(changes if node["name"] == name else {})} for node in self.nodes()]
        (self.home / "fake/k3d.json").write_text(json.dumps(nodes))

    def by_hand(self, *labels: str) -> None:
        """A cluster of the same name that another made with k3d."""
        config = {
            "metadata": {"name": "dev"},
            "servers": 1,
            "agents": 0,
            "kubeAPI": {"hostPort": "19445"},
            "options": {"runtime": {"labels": [{"label": label} for label in labels]}},
        }
        self.k3d("cluster", "create", "--config", "-", stdin=json.dumps(config))
        self.ran()

    def k3d(self, *words: str, stdin: str = "") -> None:
        runner = SubprocessRunner({"PATH": "/usr/bin:/bin", "HOME": "/", "FAKE": str(self.home / "fake")}, Cancel())
        result = runner.run(Command(argv=(str(self.home / "bin/k3d"), *words), stdin=stdin.encode()))
        assert result.ok, result.stderr


@pytest.fixture
def bench(tmp_path: Path, server: str) -> Bench:
    made = Bench(home=tmp_path)
    (tmp_path / "fake").mkdir()
    made.users.parent.mkdir()
    made.users.write_text(USERS)
    install(tmp_path / "bin")
    (tmp_path / "fake/kubeconfig").write_text(
        "apiVersion: v1\nkind: Config\n"
        f"clusters:\n- name: k3d-dev\n  cluster:\n    server: {server}\n"
        "users:\n- name: admin\n  user: {token: t0k3n}\n"
        "contexts:\n- name: k3d-dev\n  context: {cluster: k3d-dev, user: admin}\n"
    )
    return made


MAKE = ["cluster list", "registry list", "registry create", "cluster create", "kubeconfig get"]


def test_nothing_there_makes_registry_then_cluster(bench: Bench) -> None:
    cluster = bench.provider().ensure(bench.lines.append)
    assert (cluster.context, cluster.provider, cluster.simulated) == ("k3d-dev", "k3d", False)
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert bench.ran() == MAKE
    assert bench.provider().find() == cluster
    status = bench.provider().status()
    assert (status.state, status.version, status.nodes) == ("running", "v1.34.4+k3s1", 1)
    assert status.notes == ("registry localhost:19111",), "and not: made from another configuration"


def test_a_running_one_is_left_alone(bench: Bench) -> None:
    bench.ensure()
    bench.ran()
    bench.lines.clear()
    bench.ensure()
    assert bench.ran() == ["cluster list", "registry list", "kubeconfig get"]
    assert bench.lines == []


def test_the_users_files_are_never_written(bench: Bench) -> None:
    """`k3d cluster delete` edits the default kubeconfig and makes another context the current one."""
    provider = bench.provider()
    provider.ensure(bench.lines.append)
    provider.stop(bench.lines.append)
    provider.ensure(bench.lines.append)
    provider.status()
    provider.delete(bench.lines.append)
    provider.delete_registry(bench.lines.append)
    assert {"cluster create", "cluster stop", "cluster start", "cluster delete", "registry delete"} <= {*bench.ran()}
    assert bench.users.read_text() == USERS
    assert sorted(path.name for path in bench.home.iterdir()) == [".kube", "bin", "fake", "state"]
    assert [path.name for path in (bench.home / "state/k3d").iterdir()] == [".dev.lock"]


@pytest.mark.parametrize("stopped", ["k3d-dev-server-0", "k3d-dev-serverlb"])
def test_what_is_stopped_is_started_after_its_registry(bench: Bench, stopped: str) -> None:
    """Also the load balancer alone: k3d's counts of running nodes leave it out."""
    bench.ensure()
    bench.change("k3d-reg", status="exited")
    bench.change(stopped, status="exited")
    status = bench.provider().status()
    assert (status.state, status.problem) == ("stopped", f"not running: {stopped}")
    with pytest.raises(EnvironmentFault, match="is stopped"):
        bench.provider().find()
    bench.ran()
    bench.ensure()
    assert bench.ran()[-3:] == ["node start", "cluster start", "kubeconfig get"]
    assert bench.provider().status().state == "running"


def test_a_node_that_crashes_is_named_with_its_log(bench: Bench) -> None:
    """Docker calls it running, too: the kubelet fails, for one, where inotify instances have run out."""
    bench.ensure()
    bench.change("k3d-dev-server-0", status="restarting")
    status = bench.provider().status()
    assert (status.state, status.hint) == ("broken", "docker logs --tail 20 k3d-dev-server-0")
    with pytest.raises(EnvironmentFault, match="k3d-dev-server-0 of cluster dev keeps crashing"):
        bench.ensure()
    with pytest.raises(EnvironmentFault, match="keeps crashing"):
        bench.provider().find()


def test_a_port_of_a_stopped_cluster_that_others_took_is_named(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        bench.ensure()
        mapped = {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
        bench.change("k3d-dev-serverlb", status="exited", ports=mapped)
        bench.ran()
        with pytest.raises(EnvironmentFault, match=rf"port {port} is in use by .*\({os.getpid()}\)"):
            bench.ensure()
    assert "cluster start" not in bench.ran()


def test_another_configuration_is_unchanged_and_named(bench: Bench) -> None:
    bench.ensure()
    bench.ensure(replace(CONFIG, agents=2))
    assert any("agents: 0 → 2" in line for line in bench.lines)
    assert any("invoke cluster.create --recreate applies the change" in line for line in bench.lines)
    assert "cluster delete" not in bench.ran()
    assert "agents: 0 → 2" in bench.provider(replace(CONFIG, agents=2)).status().notes[1]


def test_a_foreign_cluster_of_the_same_name_is_never_touched(bench: Bench) -> None:
    bench.by_hand("devtools.ameide.io/config=x")
    before = bench.nodes()
    provider = bench.provider()
    for act in (provider.ensure, provider.delete, provider.stop, provider.ensure_registry):
        with pytest.raises(EnvironmentFault, match="k3d cluster dev was not made by devtools") as caught:
            act(bench.lines.append)
        assert "k3d cluster delete dev" in caught.value.hint
    with pytest.raises(EnvironmentFault, match="was not made by devtools"):
        provider.find()
    status = provider.status()
    assert (status.state, "was not made by devtools" in status.problem) == ("broken", True)
    assert set(bench.ran()) == {"cluster list"}
    assert bench.nodes() == before


def test_ours_is_known_without_any_file_of_ours(bench: Bench) -> None:
    """Another DEVTOOLS_STATE, or a state directory that was removed: the label is enough."""
    bench.by_hand(f"{LABEL}={digest(CONFIG)}")
    bench.ensure()
    assert bench.provider().status().state == "running"


def test_an_interrupted_creation_leaves_nothing(bench: Bench) -> None:
    """k3d ends at once on SIGINT and leaves its containers; starting them hangs."""
    provider = bench.provider(K3D_HANGS="cluster-create")

    def press() -> None:
        eventually(lambda: len(bench.nodes()) > 1)
        bench.cancel.set("Ctrl-C")

    thread = Thread(target=press)
    thread.start()
    with pytest.raises(Interrupted):
        provider.ensure(bench.lines.append)
    thread.join()
    assert [node["name"] for node in bench.nodes()] == ["k3d-reg"]
    assert bench.engine.removed == ["k3d-dev"]
    assert bench.ran()[-1] == "cluster delete"


def test_an_interrupted_creation_is_made_again(bench: Bench) -> None:
    """After a kill -9 of both k3d and us: its containers were made, and none was started."""
    bench.ensure()
    for name in ("k3d-dev-server-0", "k3d-dev-serverlb"):
        bench.change(name, status="created")
    status = bench.provider().status()
    assert (status.state, status.problem) == ("broken", "its creation was interrupted")
    bench.ran()
    bench.ensure()
    assert bench.ran() == ["cluster list", "cluster delete", "registry list", "cluster create", "kubeconfig get"]
    assert bench.lines[-2:] == [
        "removing the remains of an interrupted run of cluster dev",
        "making cluster dev",
    ]


def test_a_creation_killed_after_its_containers_is_repeated(bench: Bench) -> None:
    bench.ensure()
    (bench.state / "creating").write_text("")
    bench.ran()
    bench.ensure()
    assert "cluster delete" in bench.ran()
    assert bench.provider().status().state == "running"


def test_a_creation_killed_early_leaves_no_network(bench: Bench) -> None:
    bench.state.mkdir(parents=True)
    (bench.state / "creating").write_text("")
    bench.provider().delete(bench.lines.append)
    assert bench.engine.removed == ["k3d-dev"]
    assert not bench.state.exists()


def test_a_hang_ends_and_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(TimedOut, match="did not make cluster dev"):
        bench.ensure(replace(CONFIG, timeout=-28), K3D_HANGS="cluster-create")
    assert [node["name"] for node in bench.nodes()] == ["k3d-reg"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(returncode=1, stderr="ERRO[0000] no docker\n"), "k3d could not list clusters: no docker"),
        (Reply(stdout="?"), "unexpected output"),
    ],
)
def test_a_failed_list_is_not_absent(bench: Bench, reply: Reply, message: str) -> None:
    """Creating over a live cluster has destroyed work."""
    runner = FakeRunner().on("k3d cluster list", reply)
    tool = K3d(program=Path("k3d"), home=bench.state)
    provider = K3dProvider(CONFIG, runner=runner, tool=tool, state=bench.state, engine=bench.engine)
    for act in (provider.ensure, provider.delete):
        with pytest.raises(EnvironmentFault, match=message):
            act(bench.lines.append)
    assert provider.status().state == "broken"
    assert {command.argv[1:3] for command in runner.commands} == {("cluster", "list")}


def test_an_occupied_port_is_found_first_and_its_holder_named(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} is in use by .*\({os.getpid()}\)"):
            bench.ensure(replace(CONFIG, ports=(f"{port}:80",)))
    assert bench.ran() == ["cluster list"]


def test_an_api_server_that_comes_back_late_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart of the engine its containers run long before it answers."""
    from devtools.kube import wire

    monkeypatch.setattr(wire, "FIRST", 0.0)
    bench.ensure()
    port = free_port()
    path = bench.home / "fake/kubeconfig"
    path.write_text(re.sub(r"http://127.0.0.1:\d+", f"http://127.0.0.1:{port}", path.read_text()))
    thread = Thread(target=bench.provider(patience=600.0).ensure, args=(bench.lines.append,))
    thread.start()
    eventually(lambda: any("does not answer" in line for line in bench.lines), reported=lambda: bench.lines)
    with served(port):
        thread.join(120)
    assert not thread.is_alive()


def test_the_first_error_of_a_failed_create_is_shown(bench: Bench) -> None:
    with pytest.raises(EnvironmentFault, match="could not make cluster dev: k3d is out of order"):
        bench.ensure(K3D_FAILS="cluster-create")


def test_beside_the_cluster_its_own_address_is_used(bench: Bench) -> None:
    bench.engine.own = "abc"
    with pytest.raises(EnvironmentFault, match="k3d-dev-serverlb:6443"):
        bench.provider(inside=True).ensure(bench.lines.append)
    assert bench.engine.joined == [("k3d-dev", "abc")]
    assert "https://k3d-dev-serverlb:6443" in (bench.state / "kubeconfig").read_text()


def test_delete_leaves_the_registry_and_can_be_repeated(bench: Bench) -> None:
    bench.ensure()
    bench.ran()
    bench.lines.clear()
    bench.provider().delete(bench.lines.append)
    bench.provider().delete(bench.lines.append)
    assert bench.ran() == ["cluster list", "cluster delete", "cluster list"]
    assert bench.lines == ["removed cluster dev; its registry k3d-reg stays", "there is no cluster dev"]
    for act in (bench.provider().find, lambda: bench.provider().stop(bench.lines.append)):
        with pytest.raises(ClusterAbsent, match="does not exist"):
            act()


def test_the_registry_is_made_started_and_removed_by_itself(bench: Bench) -> None:
    provider = bench.provider()
    assert provider.registry_state() == "absent"
    assert provider.ensure_registry(bench.lines.append) == CONFIG.registry
    bench.change("k3d-reg", status="exited")
    assert provider.registry_state() == "stopped"
    for _ in range(2):
        provider.ensure_registry(bench.lines.append)
    assert provider.registry_state() == "running"
    assert bench.ran().count("node start") == 1
    provider.delete_registry(bench.lines.append)
    provider.delete_registry(bench.lines.append)
    assert provider.registry_state() == "absent"
    assert bench.ran().count("registry delete") == 1


def test_a_recreated_registry_joins_the_clusters_network(bench: Bench) -> None:
    """k3d connects one at the cluster's creation only."""
    bench.ensure()
    assert bench.engine.joined == []
    bench.provider().delete_registry(bench.lines.append)
    note = bench.provider().status().notes[0]
    assert note == "registry localhost:19111 is missing; invoke cluster.create"
    bench.ensure()
    assert bench.engine.joined == [("k3d-dev", "k3d-reg")]


def test_a_registry_whose_network_was_removed_is_started(bench: Bench) -> None:
    """k3d takes only running registries off the network that it removes; Docker cannot start the others."""
    bench.ensure()
    bench.change("k3d-reg", status="exited")
    bench.provider().delete(bench.lines.append)
    bench.engine.on_leave = lambda name: bench.change(name, Networks=["bridge"])
    bench.ensure()
    assert bench.provider().registry_state() == "running"


def test_a_changed_registry_port_waits_for_a_new_cluster(bench: Bench) -> None:
    """The nodes know the registry by its port."""
    bench.ensure()
    moved = replace(CONFIG, registry=Registry(name="reg", port=19112))
    bench.ensure(moved)
    provider = bench.provider(moved)
    assert provider.status().notes[0] == "registry localhost:19111", "where it is, not where it should be"
    assert provider.ensure_registry(bench.lines.append).port == 19111
    assert provider.registry_port() == 19111
    provider.delete(bench.lines.append)
    provider.ensure(bench.lines.append)
    assert provider.registry_port() == 19112
    assert "delete registry k3d-reg (its port changed)" in bench.lines
    assert provider.status().notes == ("registry localhost:19112",)


def test_a_registry_that_other_clusters_use_is_not_moved(bench: Bench) -> None:
    bench.provider().ensure_registry(bench.lines.append)
    bench.change("k3d-reg", Networks=["bridge", "k3d-other"])
    moved = replace(CONFIG, registry=Registry(name="reg", port=19112))
    with pytest.raises(EnvironmentFault, match="listens on port 19111, not 19112, and is used in network k3d-other"):
        bench.ensure(moved)


@pytest.mark.parametrize("there", ["nothing", "unfinished", "stopped", "running"])
def test_what_is_planned_is_what_is_done(bench: Bench, there: str) -> None:
    """The commands of a dry run, word by word and with their input, are those of the real one."""
    if there != "nothing":
        bench.ensure()
    if there in {"stopped", "unfinished"}:
        bench.change("k3d-reg", status="exited")
        bench.change("k3d-dev-server-0", status={"stopped": "exited", "unfinished": "created"}[there])
    bench.ran()
    provider = bench.provider()
    planned = [command for part in provider.planned() for command in part]
    assert {words.split()[1] for words in bench.ran()} == {"list"}, "only asked"
    provider.ensure_registry(bench.lines.append)
    provider.ensure(bench.lines.append)
    assert bench.ran() == [" ".join(command.argv[1:3]) for command in planned]
    creates = [command for command in planned if command.argv[1:3] == ("cluster", "create")]
    written = bench.home / "fake/config.json"
    assert all(json.loads(command.stdin or b"") == json.loads(written.read_text()) for command in creates)


def test_without_k3d_all_that_an_empty_machine_needs_is_planned(bench: Bench) -> None:
    (bench.home / "bin/k3d").unlink()
    registry, cluster = bench.provider().planned()
    assert [command.argv[1:3] for command in registry][-2:] == [("registry", "list"), ("registry", "create")]
    assert ("cluster", "create") in [command.argv[1:3] for command in cluster]


def test_what_is_joined_beside_the_cluster(bench: Bench) -> None:
    bench.engine.own = "abc"
    assert bench.provider(inside=True).container_network() == ContainerNetwork(
        "k3d-dev", "abc", "https://k3d-dev-serverlb:6443"
    )
    assert bench.provider().container_network() is None
    bench.engine.own = ""
    assert bench.provider(inside=True).container_network() is None, "docker-in-docker"
