"""The k3d provider against a k3d that is played; what it would say is in tests/clusters/test_k3d_commands.py."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from devtools.clusters import k3d_commands
from devtools.clusters.k3d import K3dProvider
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Cancel
from devtools.testing import FakeRunner, Reply

CONFIG = k3d_commands.Config(name="dev", api_port=26445, registry=k3d_commands.Registry(name="reg", port=25111))
REGISTRY = Reply(stdout=json.dumps([{"name": "k3d-reg", "State": {"Running": True}}]))
NONE = Reply(stdout="[]")


class Engine:
    """A Docker engine that knows one container, or none."""

    def __init__(self, own: str = "") -> None:
        self.own = own
        self.joined: list[tuple[str, str]] = []

    def answers(self) -> bool:
        return True

    def own_container(self) -> str:
        return self.own

    def join(self, network: str, container: str) -> None:
        self.joined.append((network, container))


def listed(*, running: int = 1, digest: str = "") -> Reply:
    labels = {k3d_commands.LABEL: digest or k3d_commands.digest(CONFIG)}
    item = {"name": "dev", "serversRunning": running, "serversCount": 1, "nodes": [{"runtimeLabels": labels}]}
    return Reply(stdout=json.dumps([item]))


@pytest.fixture
def server() -> Iterator[str]:
    """An API server's `/version`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"gitVersion": "v1.34.4+k3s1"}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


class Bench:
    """A provider, its runner, and what it said."""

    def __init__(self, tmp_path: Path) -> None:
        self.cancel = Cancel()
        self.runner = FakeRunner(self.cancel)
        self.engine = Engine()
        self.state = tmp_path / "state"
        self.lines: list[str] = []

    def provider(
        self, config: k3d_commands.Config = CONFIG, *, recreate: bool = False, inside: bool = False
    ) -> K3dProvider:
        return K3dProvider(
            config,
            runner=self.runner,
            program=Path("k3d"),
            state=self.state,
            engine=self.engine,
            in_container=inside,
            recreate=recreate,
            cancel=self.cancel,
            retry_for=0.0,
        )

    def ran(self) -> list[str]:
        return [" ".join(command.argv[1:3]) for command in self.runner.commands]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def kubeconfig(server: str) -> Reply:
    return Reply(
        stdout=(
            "apiVersion: v1\nkind: Config\n"
            f"clusters:\n- name: k3d-dev\n  cluster:\n    server: {server}\n"
            "users:\n- name: admin\n  user: {token: t0k3n}\n"
            "contexts:\n- name: k3d-dev\n  context: {cluster: k3d-dev, user: admin}\n"
        )
    )


def test_nothing_there_makes_registry_then_cluster(bench: Bench, server: str) -> None:
    bench.runner.on("k3d cluster list", NONE, listed()).on("k3d registry list", NONE).on("k3d registry create")
    bench.runner.on("k3d cluster create").on("k3d kubeconfig get", kubeconfig(server))
    cluster = bench.provider().ensure(bench.lines.append)
    assert (cluster.context, cluster.provider, cluster.simulated) == ("k3d-dev", "k3d", False)
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert bench.ran() == ["cluster list", "registry list", "registry create", "cluster create", "kubeconfig get"]
    assert bench.provider().find() == cluster
    status = bench.provider().status()
    assert (status.state, status.version) == ("running", "v1.34.4+k3s1")


def test_a_running_one_is_left_alone(bench: Bench, server: str) -> None:
    bench.runner.on("k3d cluster list", listed()).on("k3d kubeconfig get", kubeconfig(server))
    bench.provider().ensure(bench.lines.append)
    assert bench.ran() == ["cluster list", "kubeconfig get"]
    assert bench.lines == []


def test_a_stopped_one_is_started_after_its_registry(bench: Bench, server: str) -> None:
    stopped = Reply(stdout=json.dumps([{"name": "k3d-reg", "State": {"Running": False}}]))
    bench.runner.on("k3d cluster list", listed(running=0)).on("k3d registry list", stopped).on("k3d node start")
    bench.runner.on("k3d cluster start").on("k3d kubeconfig get", kubeconfig(server))
    assert bench.provider().status().state == "stopped"
    bench.provider().ensure(bench.lines.append)
    assert bench.ran()[-3:] == ["node start", "cluster start", "kubeconfig get"]


def test_another_configuration_is_kept_and_named(bench: Bench, server: str) -> None:
    bench.runner.on("k3d cluster list", NONE, listed()).on("k3d registry list", REGISTRY)
    bench.runner.on("k3d cluster create").on("k3d kubeconfig get", kubeconfig(server))
    bench.provider().ensure(bench.lines.append)
    other = replace(CONFIG, agents=2)
    bench.provider(other).ensure(bench.lines.append)
    assert any("agents: 0 → 2" in line for line in bench.lines)
    assert any("keeping it as it is" in line for line in bench.lines)
    assert "cluster delete" not in bench.ran()


def test_another_configuration_is_applied_only_when_asked_for(bench: Bench, server: str) -> None:
    bench.runner.on("k3d cluster list", listed(digest="old")).on("k3d registry list", REGISTRY)
    bench.runner.on("k3d cluster delete").on("k3d cluster create")
    bench.runner.on("k3d kubeconfig get", kubeconfig(server))
    bench.provider(recreate=True).ensure(bench.lines.append)
    assert bench.ran() == ["cluster list", "cluster delete", "registry list", "cluster create", "kubeconfig get"]


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (
            Reply(returncode=1, stderr="ERRO[0000] no docker\n"),
            EnvironmentFault,
            "k3d could not list clusters: no docker",
        ),
        (Reply(stdout="?"), EnvironmentFault, "not what was expected"),
    ],
)
def test_a_failed_list_is_not_absent(bench: Bench, reply: Reply, error: type[Exception], message: str) -> None:
    """Creating over a live cluster has destroyed work."""
    bench.runner.on("k3d cluster list", reply)
    for act in (bench.provider().ensure, bench.provider().delete):
        with pytest.raises(error, match=message):
            act(bench.lines.append)
    assert bench.provider().status().state == "broken"
    assert set(bench.ran()) == {"cluster list"}


def test_a_taken_port_is_found_first_and_its_holder_named(bench: Bench) -> None:
    bench.runner.on("k3d cluster list", NONE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} is taken by .*\({os.getpid()}\)"):
            bench.provider(replace(CONFIG, ports=(f"{port}:80",))).ensure(bench.lines.append)
    assert bench.ran() == ["cluster list"]


def test_the_first_error_of_a_failed_create_is_shown(bench: Bench) -> None:
    bad = Reply(returncode=1, stderr="\x1b[31mERRO\x1b[0m[0008] port taken\n\x1b[31mFATA\x1b[0m[0009] rolled back\n")
    bench.runner.on("k3d cluster list", NONE).on("k3d registry list", REGISTRY).on("k3d cluster create", bad)
    with pytest.raises(EnvironmentFault, match="could not make cluster dev: port taken"):
        bench.provider().ensure(bench.lines.append)


def test_a_hang_ends_and_an_interrupt_is_one(bench: Bench) -> None:
    quick = replace(CONFIG, timeout=-30)
    bench.runner.on("k3d cluster list", NONE).on("k3d registry list", REGISTRY)
    bench.runner.on("k3d cluster create", Reply(hangs=True))
    with pytest.raises(TimedOut, match="did not make cluster dev"):
        bench.provider(quick).ensure(bench.lines.append)
    bench.cancel.set("test")
    with pytest.raises(Interrupted):
        bench.provider().ensure(bench.lines.append)


def test_beside_the_cluster_its_own_address_is_used(bench: Bench) -> None:
    bench.engine.own = "abc"
    bench.runner.on("k3d cluster list", listed()).on("k3d kubeconfig get", kubeconfig("https://0.0.0.0:26445"))
    with pytest.raises(EnvironmentFault, match="k3d-dev-serverlb:6443"):
        bench.provider(inside=True).ensure(bench.lines.append)
    assert bench.engine.joined == [("k3d-dev", "abc")]
    assert "https://k3d-dev-serverlb:6443" in (bench.state / "kubeconfig").read_text()


def test_delete_leaves_the_registry_and_can_be_repeated(bench: Bench) -> None:
    bench.runner.on("k3d cluster list", listed(), NONE).on("k3d cluster delete")
    bench.provider().delete(bench.lines.append)
    bench.provider().delete(bench.lines.append)
    assert bench.ran() == ["cluster list", "cluster delete", "cluster list"]
    assert bench.lines == ["removed cluster dev; its registry k3d-reg stays"]
    with pytest.raises(EnvironmentFault, match="not there"):
        bench.provider().find()


def test_the_registry_is_made_started_and_removed_by_itself(bench: Bench) -> None:
    stopped = Reply(stdout=json.dumps([{"name": "k3d-reg", "State": {"Running": False}}]))
    bench.runner.on("k3d registry list", NONE, stopped, REGISTRY, REGISTRY, NONE, NONE)
    bench.runner.on("k3d registry create").on("k3d node start").on("k3d registry delete")
    provider = bench.provider()
    for _ in range(3):
        provider.ensure_registry(bench.lines.append)
    assert provider.registry_state() == "running"
    bench.runner.on("k3d registry delete")
    assert provider.registry_state() == "absent"
    provider.delete_registry(bench.lines.append)
    assert bench.ran().count("registry create") == bench.ran().count("node start") == 1
    assert "registry delete" not in bench.ran()


def test_a_registry_is_called_by_its_containers_name_when_removed(bench: Bench) -> None:
    bench.runner.on("k3d registry list", REGISTRY).on("k3d registry delete")
    bench.provider().delete_registry(bench.lines.append)
    assert bench.runner.commands[-1].argv == ("k3d", "registry", "delete", "k3d-reg")


@pytest.mark.parametrize("there", ["nothing", "stopped", "running"])
def test_what_is_planned_is_what_is_done(bench: Bench, server: str, there: str) -> None:
    """The commands of a dry run, word by word and with their input, are those of the real one."""
    registries = {"nothing": NONE, "stopped": Reply(stdout=REGISTRY.stdout.replace("true", "false"))}
    clusters = {"nothing": NONE, "stopped": listed(running=0)}
    for runner in (FakeRunner(), FakeRunner()):
        runner.on("k3d registry list", registries.get(there, REGISTRY), *([REGISTRY] if bench.lines else []))
        runner.on("k3d cluster list", clusters.get(there, listed())).on("k3d kubeconfig get", kubeconfig(server))
        for words in ("registry create", "node start", "cluster create", "cluster start"):
            runner.on(f"k3d {words}")
        bench.runner = runner
        provider = bench.provider()
        if not bench.lines:
            registry, cluster = provider.planned()
            planned = [(command.argv, command.stdin) for command in (*registry, *cluster)]
            assert {command.argv[2] for command in runner.commands} == {"list"}, "only asked"
            bench.lines.append("planned")
            continue
        provider.ensure_registry(bench.lines.append)
        provider.ensure(bench.lines.append)
        assert [(command.argv, command.stdin) for command in runner.commands] == planned


def test_without_k3d_all_that_an_empty_machine_needs_is_planned(bench: Bench) -> None:
    bench.runner.on("k3d registry list", Reply(raises=EnvironmentFault("cannot run k3d")))
    registry, cluster = bench.provider().planned()
    assert [command.argv[1:3] for command in registry] == [("registry", "list"), ("registry", "create")]
    assert ("cluster", "create") in [command.argv[1:3] for command in cluster]


def test_what_is_joined_beside_the_cluster(bench: Bench) -> None:
    bench.engine.own = "abc"
    assert bench.provider(inside=True).beside() == ("k3d-dev", "abc", "https://k3d-dev-serverlb:6443")
    assert bench.provider().beside() is None
    bench.engine.own = ""
    assert bench.provider(inside=True).beside() is None, "docker-in-docker: the engine runs no container of ours"
