"""A Docker engine of the tests' own: Debian's dockerd, sharing nothing with any other one of the machine."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devtools.process.runner import Cancel, Command, Result, SubprocessRunner
from tests.kits.waiting import eventually

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def obstacle() -> str:
    """Why there can be no engine here; empty where there can."""
    if os.geteuid() != 0:
        return "a Docker engine of our own needs root"
    if shutil.which("dockerd", path=PATH) is None:
        return "no Docker engine: apt-get install docker.io"
    return ""


@contextmanager
def engine(home: Path) -> Iterator[str]:
    """A running engine; its DOCKER_HOST. Skips, and is counted, where there can be none.

    It has no bridge and touches no firewall: it pulls, builds, tags, pushes and saves; whether it can run containers
    is the machine's to allow. `home` must be short, because Unix sockets live there.
    """
    if why := obstacle():
        pytest.skip(why)
    home.mkdir(parents=True, exist_ok=True)
    place = home / "docker.sock"
    flags = {
        "--host": f"unix://{place}",
        "--data-root": home / "data",
        "--exec-root": home / "exec",
        "--pidfile": home / "pid",
        "--storage-driver": "vfs",
        "--bridge": "none",
        "--iptables": "false",
        "--ip6tables": "false",
        "--ip-forward": "false",
        "--ip-masq": "false",
        "--config-file": home / "none.json",
        "--log-level": "error",
    }
    (home / "none.json").write_text("{}")
    program = shutil.which("dockerd", path=PATH) or "dockerd"
    argv = (program, *(f"{key}={value}" for key, value in flags.items()))
    cancel, ended = Cancel(), list[Result]()
    runner = SubprocessRunner({"PATH": PATH, "HOME": str(home)}, cancel, grace=(8.0, 3.0))
    thread = threading.Thread(target=lambda: ended.append(runner.run(Command(argv=argv))), daemon=True)
    thread.start()
    try:
        _await(place, ended)
        yield f"unix://{place}"
    finally:
        cancel.set("the tests are over")
        thread.join(60)
        _unmount(home)


def _unmount(home: Path) -> None:
    """What an engine that was ended in a hurry left mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [point for line in lines if (point := line.split()[4]).startswith(f"{home}/")]
    runner = SubprocessRunner({"PATH": PATH}, Cancel())
    for point in sorted(points, reverse=True):
        runner.run(Command(argv=("umount", "--lazy", point), timeout=60))


def _await(place: Path, ended: list[Result]) -> None:
    """Until the engine says that it is there, or is gone."""
    eventually(lambda: _answers(place) or ended, reported=lambda: "dockerd does not start")
    if ended:
        pytest.fail(f"dockerd ended: {ended[0].stderr[-1000:]}")


def _answers(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(10)
        try:
            probe.connect(str(place))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in probe.recv(200)
        except OSError:
            return False
