"""The lock between processes: one holder, and none that is dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from devtools.flock import Flock

HOLDER = """
import sys
from pathlib import Path
from devtools.flock import Flock
lock = Flock(Path(sys.argv[1]))
print(lock.take(), flush=True)
sys.stdin.read()
"""


def test_one_holds_it_and_the_next_has_it_when_the_first_lets_go(tmp_path: Path) -> None:
    first, second = Flock(tmp_path / "x.lock"), Flock(tmp_path / "x.lock")
    assert first.take()
    assert first.take()  # it is ours already
    assert not second.take()
    first.free()
    first.free()
    with second.held():
        assert not first.take()
    assert first.take()
    first.free()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not Flock(path).take()
        holder.kill()
        holder.wait()
    assert Flock(path).take()
