"""Which engine is meant: DOCKER_HOST, then docker's context, then the local socket; and what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path

import pytest

from devtools.docker.endpoint import find_endpoint
from devtools.docker.engine import DockerEngine
from devtools.errors import EnvironmentFault


def context(home: Path, name: str, host: str, *, tls: bool = False, current: bool = True) -> dict[str, str]:
    """A docker configuration with one context, as `docker context create` and `use` write it."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker/contexts/meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    if tls:
        (home / ".docker/contexts/tls" / key / "docker").mkdir(parents=True)
    if current:
        (home / ".docker/config.json").write_text(json.dumps({"currentContext": name}))
    return {"HOME": str(home)}


def test_the_local_socket_is_the_last_resort(tmp_path: Path) -> None:
    for environ in ({}, {"HOME": str(tmp_path)}, {"DOCKER_CONTEXT": "default"}, {"DOCKER_HOST": ""}):
        found = find_endpoint(environ)
        assert (found.host, found.source) == ("unix:///var/run/docker.sock", "default")


def test_docker_host_comes_before_any_context(tmp_path: Path) -> None:
    environ = {**context(tmp_path, "lab", "tcp://lab:2375"), "DOCKER_HOST": "tcp://here:1", "DOCKER_CONTEXT": "lab"}
    assert find_endpoint(environ).host == "tcp://here:1"
    assert find_endpoint(environ).source == "DOCKER_HOST"


def test_the_context_in_use_and_the_one_that_is_named(tmp_path: Path) -> None:
    environ = context(tmp_path, "rootless", "unix:///run/user/1000/docker.sock")
    assert find_endpoint(environ).socket == Path("/run/user/1000/docker.sock")
    context(tmp_path, "lab", "tcp://lab:2376", tls=True, current=False)
    found = find_endpoint({**environ, "DOCKER_CONTEXT": "lab"})
    assert (found.host, found.source, found.socket) == ("tcp://lab:2376", "context lab", None)
    provided = found.environ({"A": "b"})
    assert provided["DOCKER_HOST"] == "tcp://lab:2376"
    assert provided["DOCKER_CERT_PATH"] == str(found.tls)
    elsewhere = {"DOCKER_CONFIG": str(tmp_path / ".docker"), "HOME": "/nonexistent"}
    assert find_endpoint(elsewhere).source == "context rootless"


def test_a_context_that_is_gone_is_named(tmp_path: Path) -> None:
    environ = {**context(tmp_path, "a", "x"), "DOCKER_CONTEXT": "b"}
    with pytest.raises(EnvironmentFault, match="context 'b' cannot be read"):
        find_endpoint(environ)
    problem = DockerEngine(environ).problem()
    assert problem is not None
    assert "docker context ls" in problem.hint


def test_a_configuration_that_is_no_json_has_no_context(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{")
    assert find_endpoint({"HOME": str(tmp_path)}).source == "default"


def test_faults_of_a_socket_are_distinguished(tmp_path: Path) -> None:
    absent = DockerEngine({}, tmp_path / "none.sock").problem()
    assert absent is not None
    assert "there is no such socket" in absent.message
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    refused = DockerEngine({"DOCKER_HOST": f"unix://{path}"}).problem()
    assert refused is not None
    assert refused.message == f"no Docker engine answers at unix://{path} (DOCKER_HOST): connection refused"
    assert not DockerEngine({}, path).answers()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may talk to every socket")
def test_a_socket_of_another_user(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sock"
    with socket.create_server(str(path), family=socket.AF_UNIX):
        path.chmod(0)
        problem = DockerEngine({}, path).problem()
    assert problem is not None
    assert "may not talk to" in problem.message
    assert "usermod -aG docker" in problem.hint
