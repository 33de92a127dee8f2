"""The engine that tests of images talk to."""

from __future__ import annotations

from devtools.docker.engine import docker_answers


def test_an_engine_of_our_own_answers(docker_host: str) -> None:
    assert docker_answers({"DOCKER_HOST": docker_host})
    assert not docker_answers({"DOCKER_HOST": f"{docker_host}.gone"})
