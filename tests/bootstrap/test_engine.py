"""A real Docker engine: found the ways docker finds one, and the bootstrap that rests on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.commands.bootstrap import command
from devtools.commands.bootstrap.command import Options
from devtools.docker.engine import DockerEngine
from tests.docker.test_endpoint import context
from tests.kits.bootstrap import Machine
from tests.kits.dockerd import engine


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with engine(tmp_path_factory.mktemp("d")) as found:
        yield found


def test_it_is_found_by_socket_host_and_context(host: str, tmp_path: Path) -> None:
    socket = Path(host.removeprefix("unix://"))
    assert DockerEngine({}, socket).answers()
    assert DockerEngine({"DOCKER_HOST": host}).answers()
    environ = context(tmp_path, "ours", host)
    assert DockerEngine(environ, tmp_path / "none.sock").answers()
    assert DockerEngine({"DOCKER_HOST": host}).published() == {}
    assert DockerEngine({"DOCKER_HOST": host}).own_container() == "", "we are no container of this one"


def test_a_bootstrap_rests_on_it(host: str, machine: Machine) -> None:
    machine.environ["DOCKER_HOST"] = ""
    machine.environ |= context(machine.root.parent, "ours", host)
    done = machine.run(lambda app: command.bootstrap(app, Options(output="json")))
    assert done.states["cluster"] == "ready", done.err
    assert done.document["provider"] == "k3d"
    assert [item for item in done.document["findings"] if item["check"] == "docker"] == []


def test_an_engine_that_ended_is_noticed(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("e")
    with engine(home) as host:
        assert DockerEngine({"DOCKER_HOST": host}).problem() is None
    problem = DockerEngine({"DOCKER_HOST": host}).problem()
    assert problem is not None
    assert "no Docker engine" in problem.message
