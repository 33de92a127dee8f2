"""The run lock between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.errors import EnvironmentFault, Interrupted
from devtools.locks.holder import Holder
from devtools.locks.run_lock import run_lock, under_way
from devtools.process.runner import Cancel

HOLDER = """
import sys, time
from pathlib import Path
from devtools.process.runner import Cancel
from devtools.locks.holder import Holder
from devtools.locks.run_lock import run_lock
note = Holder(what="invoke up", pid=4711, started="10:00:00 UTC")
with run_lock(Path(sys.argv[1]), "s", note, wait=True, cancel=Cancel(), say=print):
    print("held", flush=True)
    time.sleep(600)
"""


def _hold(directory: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(directory)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def _end(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def _note() -> Holder:
    return Holder(what="invoke layer 40", pid=os.getpid(), started="10:00:01 UTC")


def test_the_second_run_is_refused_with_the_holders_name(tmp_path: Path) -> None:
    child = _hold(tmp_path)
    try:
        with (
            pytest.raises(EnvironmentFault, match=r"another run holds s: invoke up \(pid 4711, since 10:00:00 UTC\)"),
            run_lock(tmp_path, "s", _note(), wait=False, cancel=Cancel(), say=print),
        ):
            pass
    finally:
        _end(child)


def test_a_second_run_waits_and_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    child, printed = _hold(tmp_path), list[str]()

    def say(text: str) -> None:
        printed.append(text)
        child.kill()

    with run_lock(tmp_path, "s", _note(), wait=True, cancel=Cancel(), say=say):
        pass
    assert printed == ["waiting for another run: invoke up (pid 4711, since 10:00:00 UTC)"]
    _end(child)


def test_waiting_can_be_interrupted(tmp_path: Path) -> None:
    child, cancel = _hold(tmp_path), Cancel()
    try:
        with (
            pytest.raises(Interrupted),
            run_lock(tmp_path, "s", _note(), wait=True, cancel=cancel, say=cancel.set),
        ):
            pass
    finally:
        _end(child)


def test_another_stack_is_not_held_up(tmp_path: Path) -> None:
    with (
        run_lock(tmp_path, "a", _note(), wait=False, cancel=Cancel(), say=print),
        run_lock(tmp_path, "b", _note(), wait=False, cancel=Cancel(), say=print),
    ):
        assert len(list(tmp_path.glob("*.json"))) == 2
    assert list(tmp_path.glob("*.json")) == []


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EnvironmentFault, match=r"cannot lock .*: Not a directory"),
        run_lock(tmp_path / "file" / "locks", "s", _note(), wait=False, cancel=Cancel(), say=print),
    ):
        pass


def test_a_reader_is_informed_of_a_living_run_only(tmp_path: Path) -> None:
    with run_lock(tmp_path, "s", _note(), wait=False, cancel=Cancel(), say=print):
        assert under_way(tmp_path, "s") == f"invoke layer 40 (pid {os.getpid()}, since 10:00:01 UTC)"
        assert under_way(tmp_path, "other") == ""
        (note,) = tmp_path.glob("*.json")
        left = note.read_text()
    assert under_way(tmp_path, "s") == ""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note.write_text(left.replace(str(os.getpid()), str(ended.pid)))  # what `kill -9` leaves
    assert under_way(tmp_path, "s") == ""
    note.write_text(left.replace(str(os.getpid()), "9" * 30))  # no process has such a number
    assert under_way(tmp_path, "s") == ""
