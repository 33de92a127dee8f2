"""A machine for each test; its engine and its API server are shared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.bootstrap.tilt_process import OWNER_VARIABLE
from devtools.commands.bootstrap import command
from tests.kits.bootstrap import Machine, carrying, http


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """Of a Docker engine that answers, and of an API server."""
    engine = {
        "/_ping": "OK",
        "/version": {"ApiVersion": "1.41", "Version": "20.10"},
        "/containers/json": [],
        "/networks": [],
    }
    with http(engine) as docker, http({"/version": {"gitVersion": "v1.34.4+k3s1"}}) as api:
        yield docker, api


@pytest.fixture
def machine(tmp_path: Path, ports: tuple[int, int]) -> Iterator[Machine]:
    """With k3d, docker and tilt on PATH; what it started is stopped afterwards."""
    made = Machine.make(tmp_path, docker=ports[0], api=ports[1])
    yield made
    made.environ["TILT_DOES"] = ""
    if carrying(f"{OWNER_VARIABLE}={made.run_directory}"):
        made.run(lambda app: command.down(app, "json", keep_cluster=True))
