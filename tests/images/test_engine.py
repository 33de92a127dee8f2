"""The engine that tests of images talk to."""

from __future__ import annotations

from devtools.docker.engine import DockerEngine


def test_an_engine_of_our_own_answers(docker_host: str) -> None:
    assert DockerEngine({"DOCKER_HOST": docker_host}).answers()
    assert not DockerEngine({"DOCKER_HOST": f"{docker_host}.gone"}).answers()
