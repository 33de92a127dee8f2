"""What is in the way of a bootstrap: every finding at once, each with what to do."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.bootstrap.prerequisites import (
    DISK,
    GIB,
    INOTIFY,
    MEMORY,
    Finding,
    Machine,
    Requirements,
    check,
    disk_free,
    inotify_limits,
    port_holders,
)
from tests.kits.ports import free_port

HERE = Path("/usr/bin/true")
FINE = Machine(
    programs={"k3d": HERE, "docker": HERE, "tilt": HERE},
    disk_free=100 * GIB,
    disk_of=Path("/state"),
    memory_free=32 * GIB,
    inotify=dict(INOTIFY),
)
K3D = Requirements(provider="k3d", ports={6550: "move it"})
KWOK = Requirements(provider="kwok", ports={})
NO_DOCKER = replace(FINE, docker="no Docker engine", docker_hint="start it")


def found(machine: Machine, wanted: Requirements) -> list[tuple[str, str]]:
    return [(finding.level, finding.check) for finding in check(machine, wanted)]


def test_nothing_is_wrong_with_a_good_machine() -> None:
    assert check(FINE, K3D) == ()
    assert check(replace(FINE, inotify={}), KWOK) == ()  # where there is no inotify


@pytest.mark.parametrize(
    ("machine", "wanted", "expected"),
    [
        (NO_DOCKER, K3D, [("problem", "docker")]),
        (NO_DOCKER, KWOK, [("warning", "docker")]),
        (NO_DOCKER, replace(KWOK, asked=True), []),
        (NO_DOCKER, replace(KWOK, provider="context"), []),
        (replace(FINE, programs={"tilt": HERE}), K3D, [("problem", "k3d")]),
        (replace(FINE, buildx="docker has no buildx plugin"), K3D, [("warning", "buildx")]),
        (replace(FINE, buildx="docker has no buildx plugin"), KWOK, []),
        (replace(FINE, programs={"tilt": HERE}), KWOK, [("warning", "k3d")]),
        (replace(FINE, used_ports={6550: "nginx (7)"}), K3D, [("problem", "ports")]),
        (replace(FINE, used_ports={1: "x"}), K3D, []),
        (replace(FINE, disk_free=DISK["k3d"][0] - 1), K3D, [("problem", "disk")]),
        (replace(FINE, disk_free=DISK["k3d"][1] - 1), K3D, [("warning", "disk")]),
        (replace(FINE, disk_free=DISK["k3d"][0] - 1), KWOK, [("warning", "disk")]),
        (replace(FINE, memory_free=MEMORY["k3d"][0] - 1), K3D, [("problem", "memory")]),
        (replace(FINE, memory_free=MEMORY["k3d"][1] - 1), K3D, [("warning", "memory")]),
        (replace(FINE, inotify={"max_user_watches": 8192}), K3D, [("warning", "inotify")]),
        (replace(FINE, programs={"k3d": HERE, "docker": HERE}), K3D, [("warning", "tilt")]),
        (FINE, replace(K3D, tiltfile=False), [("warning", "tilt")]),
        (FINE, replace(K3D, token=False), [("warning", "token")]),
    ],
    ids=str,
)
def test_each_finding(machine: Machine, wanted: Requirements, expected: list[tuple[str, str]]) -> None:
    assert found(machine, wanted) == expected
    for finding in check(machine, wanted):
        assert finding.hint
        assert "\n" not in finding.message + finding.hint


def test_all_at_once_problems_first() -> None:
    machine = Machine(docker="x", used_ports={6550: "y"}, disk_free=0, disk_of=Path("/d"), memory_free=0, inotify={})
    levels = [level for level, _ in found(machine, K3D)]
    assert levels == ["problem"] * 5 + ["warning"]


def test_an_occupied_port_names_its_holder_and_the_setting() -> None:
    (finding,) = check(replace(FINE, used_ports={6550: "container web"}), K3D)
    assert finding == Finding(
        check="ports", level="problem", message="port 6550 is in use by container web", hint="stop it, or move it"
    )


def test_the_alternative_is_named_where_bootstrap_continues() -> None:
    (finding,) = check(NO_DOCKER, KWOK)
    assert finding.message == "no Docker engine; the embedded cluster is used instead"


def test_published_ports_of_containers_count_without_a_listener() -> None:
    port = free_port()
    assert port_holders([port], lambda: {port: "web"}) == {port: "container web"}
    assert port_holders([port], dict) == {}
    assert port_holders([], lambda: 1 / 0) == {}  # type: ignore[arg-type, return-value] # nobody is asked
    with socket.create_server(("127.0.0.1", 0)) as server:
        used_ports = server.getsockname()[1]
        (holder,) = port_holders([used_ports], dict).values()
        assert holder.endswith(")")


def test_what_the_machine_says(tmp_path: Path) -> None:
    (tmp_path / "max_user_watches").write_text("8192\n")
    assert inotify_limits(tmp_path) == {"max_user_watches": 8192}
    free, where = disk_free(tmp_path / "not" / "there")
    assert where == tmp_path
    assert free > 0
