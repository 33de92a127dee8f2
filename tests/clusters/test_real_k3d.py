"""The k3d provider, and the double of k3d, against the real k3d; docs/real-programs.md says how to run these."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from devtools.clusters.k3d.commands import K3d
from devtools.clusters.k3d.config import Config, Registry
from devtools.clusters.k3d.output import first_error, parse_clusters, parse_registries
from devtools.clusters.k3d.provider import K3dProvider
from devtools.docker.engine import DockerEngine
from devtools.errors import EnvironmentFault, Interrupted
from devtools.process.runner import Cancel, Command, Result, SubprocessRunner
from tests.kits import k3d as double
from tests.kits.ports import free_port
from tests.kits.waiting import eventually

HAS_BOTH = shutil.which("k3d") is not None and DockerEngine(os.environ).answers()
if not HAS_BOTH:
    pytest.skip("no k3d on PATH, or no Docker engine answers: docs/real-programs.md", allow_module_level=True)
USERS = "apiVersion: v1\nkind: Config\ncurrent-context: NAME\ncontexts: [{name: NAME}, {name: another}]\n"


@dataclass(kw_only=True)
class Real:
    """One cluster of the real k3d, in a home of its own."""

    home: Path
    config: Config
    lines: list[str] = field(default_factory=list)

    @property
    def users(self) -> Path:
        """The user's own kubeconfig, with the cluster's context as the current one."""
        return self.home / ".kube/config"

    @property
    def environ(self) -> dict[str, str]:
        retained = {key: value for key, value in os.environ.items() if not key.startswith("KUBE")}
        return {**retained, "HOME": str(self.home), "DOCKER_CONFIG": str(self.home / ".docker")}

    def provider(self, cancel: Cancel | None = None, config: Config | None = None) -> K3dProvider:
        cancel = cancel or Cancel()
        state = self.home / "state"
        return K3dProvider(
            config or self.config,
            runner=SubprocessRunner(self.environ, cancel),
            tool=K3d(program=Path(shutil.which("k3d") or ""), home=state),
            state=state,
            engine=DockerEngine(self.environ),
            cancel=cancel,
            patience=120.0,
        )

    def run(self, *argv: str, stdin: str = "") -> Result:
        return SubprocessRunner(self.environ, Cancel()).run(Command(argv=argv, stdin=stdin.encode(), timeout=120))

    def docker(self, *words: str) -> str:
        result = self.run("docker", *words)
        assert result.ok, result.stderr
        return result.stdout

    def leftovers(self) -> list[str]:
        """What Docker still has of the cluster; the registry is meant to stay."""
        found = [
            self.docker("ps", "--all", "--format", "{{.Names}}"),
            self.docker("network", "ls", "-f", "label=app=k3d"),
        ]
        found.append(self.docker("volume", "ls", "--format", "{{.Name}}"))
        names = " ".join(found).split()
        return [name for name in names if self.config.name in name and name != self.config.registry.host]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    name = f"dt{uuid4().hex[:6]}"
    registry = Registry(name=f"{name}-registry", port=free_port())
    made = Real(home=tmp_path_factory.mktemp("real"), config=Config(name=name, api_port=free_port(), registry=registry))
    made.users.parent.mkdir()
    made.users.write_text(USERS.replace("NAME", f"k3d-{name}"))
    before = made.users.read_bytes()
    yield made
    made.provider().delete(made.lines.append)
    made.provider().delete_registry(made.lines.append)
    assert made.leftovers() == []
    assert made.users.read_bytes() == before
    assert sorted(path.name for path in made.home.iterdir()) == [".kube", ".state.lock"]


def test_an_interrupted_creation_leaves_nothing(real: Real) -> None:
    cancel = Cancel()

    def press() -> None:
        eventually(lambda: f"k3d-{real.config.name}-server-0" in real.docker("ps", "-a"))
        cancel.set("Ctrl-C")

    thread = Thread(target=press)
    thread.start()
    with pytest.raises(Interrupted):
        real.provider(cancel).ensure(real.lines.append)
    thread.join()
    assert real.leftovers() == []
    assert real.provider().status().state == "absent"


def test_a_cluster_is_made_recognised_and_left_alone(real: Real) -> None:
    provider = real.provider()
    cluster = provider.ensure(real.lines.append)
    status = provider.status()
    assert (status.state, status.nodes, status.problem) == ("running", 1, "")
    assert status.notes == (f"registry localhost:{real.config.registry.port}",)
    real.lines.clear()
    assert provider.ensure(real.lines.append) == cluster
    assert real.lines == []


def test_a_stopped_load_balancer_is_started(real: Real) -> None:
    balancer = real.config.balancer
    real.docker("stop", "--time", "1", balancer)
    assert real.provider().status().problem == f"not running: {balancer}"
    real.provider().ensure(real.lines.append)
    assert real.provider().status().state == "running"


def test_a_registry_that_was_removed_is_made_and_joined_again(real: Real) -> None:
    provider = real.provider()
    provider.delete_registry(real.lines.append)
    assert "is missing" in provider.status().notes[0]
    provider.ensure(real.lines.append)
    networks = json.loads(
        real.docker("inspect", real.config.registry.host, "--format", "{{json .NetworkSettings.Networks}}")
    )
    assert real.config.network in networks


def test_a_stopped_cluster_is_started_with_its_registry(real: Real) -> None:
    provider = real.provider()
    provider.stop(real.lines.append)
    real.docker("stop", "--time", "1", real.config.registry.host)
    provider.ensure(real.lines.append)
    assert (provider.status().state, provider.registry_state()) == ("running", "running")


def test_a_registry_whose_network_was_removed_is_started(real: Real) -> None:
    provider = real.provider()
    real.docker("stop", "--time", "1", real.config.registry.host)
    provider.delete(real.lines.append)
    provider.ensure_registry(real.lines.append)
    assert provider.registry_state() == "running"


def test_a_creation_of_which_everybody_was_killed_is_made_again(real: Real) -> None:
    """Its containers were made, and one of them was never started: k3d waits for it for ever."""
    provider = real.provider()
    provider.delete(real.lines.append)
    process = SubprocessRunner(real.environ, killed := Cancel(), grace=(0.0, 0.0))
    command = provider.planned()[1][-2]
    assert command.argv[1:3] == ("cluster", "create")
    registry = provider.ensure_registry(real.lines.append)
    assert registry == real.config.registry
    thread = Thread(target=process.run, args=(command,))
    thread.start()
    eventually(lambda: f"k3d-{real.config.name}-server-0" in real.docker("ps", "-a"))
    killed.set("kill")
    thread.join()
    assert real.leftovers()
    assert provider.status().problem == "its creation was interrupted"
    provider.ensure(real.lines.append)
    assert provider.status().state == "running"


@dataclass(kw_only=True)
class Both:
    """The real k3d and its double, asked the same."""

    real: Real
    fake: Path

    def ask(self, *words: str, stdin: str = "") -> tuple[Result, Result]:
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.fake), "FAKE": str(self.fake)}
        runner = SubprocessRunner(environ, Cancel())
        other = runner.run(Command(argv=(str(self.fake / "k3d"), *words), stdin=stdin.encode(), timeout=300))
        private = f"KUBECONFIG={self.real.home}/state/kubeconfig"
        return self.real.run("env", private, "XDG_CONFIG_HOME=/nonexistent", "k3d", *words, stdin=stdin), other

    def agree(self, *words: str, stdin: str = "") -> str:
        """The first error of both."""
        real, other = self.ask(*words, stdin=stdin)
        printed = [
            (result.returncode, first_error(result.stderr) if result.returncode else "") for result in (real, other)
        ]
        assert printed[0] == printed[1]
        return printed[0][1]


@pytest.fixture
def both(real: Real, tmp_path: Path) -> Both:
    double.install(tmp_path)
    return Both(real=real, fake=tmp_path)


def document(name: str, **more: object) -> str:
    base = {"apiVersion": "k3d.io/v1alpha5", "kind": "Simple", "metadata": {"name": name}, "servers": 1, "agents": 0}
    return json.dumps({**base, "kubeAPI": {"hostIP": "127.0.0.1", "hostPort": str(free_port())}, **more})


def test_the_double_refuses_what_k3d_refuses(both: Both) -> None:
    name = f"dt{uuid4().hex[:6]}"
    create = ("cluster", "create", "--config", "-")
    path = document(name, registries={"config": '{"mirrors": {}}'})
    assert "no such file" in both.agree(*create, stdin=path)
    reserved = {"runtime": {"labels": [{"label": "k3d.mine=x", "nodeFilters": ["server:*"]}]}}
    assert "reserved" in both.agree(*create, stdin=document(name, options=reserved))
    assert both.agree("cluster", "delete", name) == ""
    assert "No nodes found" in both.agree("cluster", "start", name)
    assert "No nodes found" in both.agree("kubeconfig", "get", name)
    assert "Didn't find container" in both.agree("node", "start", f"k3d-{name}")
    assert "Didn't find container" in both.agree("registry", "delete", f"k3d-{name}")
    assert "Failed to find registry node" in both.agree(
        *create, stdin=document(name, registries={"use": ["k3d-none:1"]})
    )
    both.real.docker("network", "rm", f"k3d-{name}")  # k3d leaves both behind
    both.real.docker("volume", "rm", f"k3d-{name}-images")


def test_the_double_answers_as_k3d_answers(both: Both) -> None:
    """The same cluster, made by the same configuration, is read the same from both lists."""
    config = both.real.config
    both.real.provider().ensure(both.real.lines.append)
    tool = K3d(program=both.fake / "k3d", home=both.fake)
    runner = SubprocessRunner({"PATH": "/usr/bin:/bin", "HOME": "/", "FAKE": str(both.fake)}, Cancel())
    for command in (tool.create_registry(config.registry), tool.create(config)):
        assert runner.run(command).ok
    second = K3d(program=Path("k3d"), home=both.fake).create(config).stdin or b""
    assert "already exists" in both.agree("cluster", "create", "--config", "-", stdin=second.decode())
    clusters = [parse_clusters(result.stdout) for result in both.ask("cluster", "list", "-o", "json")]
    mine = [next(one for one in listed if one.name == config.name) for listed in clusters]
    assert {node.name: node for node in mine[0].nodes} == {node.name: node for node in mine[1].nodes}
    registries = [
        parse_registries(result.stdout)[config.registry.host] for result in both.ask("registry", "list", "-o", "json")
    ]
    assert (registries[0], set(registries[0].networks)) == (registries[0], set(registries[1].networks))
    assert [one.ports for one in registries] == [(config.registry.port,)] * 2


def test_a_foreign_cluster_of_the_same_name_is_never_touched(both: Both) -> None:
    provider = both.real.provider()
    provider.delete(both.real.lines.append)
    made, _ = both.ask("cluster", "create", "--config", "-", stdin=document(both.real.config.name))
    assert made.ok, made.stderr
    try:
        for act in (provider.ensure, provider.delete, provider.stop):
            with pytest.raises(EnvironmentFault, match="was not made by devtools"):
                act(both.real.lines.append)
        assert provider.status().state == "broken"
        assert f"k3d-{both.real.config.name}-server-0" in both.real.docker("ps")
    finally:
        both.ask("cluster", "delete", both.real.config.name)
