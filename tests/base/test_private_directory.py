"""Temporary directories: private, and deleted even after `kill -9`."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from devtools.base import atomic_write
from devtools.base.atomic_write import private_directory

HOLDER = """
import sys
from devtools.base.atomic_write import private_directory
with private_directory("test") as path:
    (path / "token").write_text("canary")
    print(path, flush=True)
    sys.stdin.read()
"""


def _holder(directory: Path) -> tuple[subprocess.Popen[str], Path]:
    environ = {**os.environ, "TMPDIR": str(directory)}
    argv = [sys.executable, "-c", HOLDER]
    process = subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_the_next_process_deletes_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "devtools-other").mkdir()
    (tmp_path / "devtools-private-link").symlink_to(tmp_path / "devtools-other")
    (killed, left), (living, held) = _holder(tmp_path), _holder(tmp_path)
    with killed, living:
        assert left.stat().st_mode & 0o777 == 0o700
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "token").exists()
        with private_directory("test") as own:
            assert not left.exists()
            assert (held / "token").exists()
            assert own.stat().st_mode & 0o777 == 0o700
        assert not own.exists()
        living.communicate()
        assert not held.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"devtools-other", "devtools-private-link"}


def test_one_that_is_deleted_before_it_is_locked_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process takes it for one that a killed process left."""
    lock, deleted = atomic_write._locked, list[Path]()

    def locked(directory: Path, flags: int = 0) -> AbstractContextManager[None]:
        if not flags and not deleted:
            shutil.rmtree(directory)
            deleted.append(directory)
        return lock(directory, flags)

    monkeypatch.setattr(atomic_write, "_locked", locked)
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        with private_directory("test") as path:
            assert path.is_dir()
        gc.collect()
    assert (len(deleted), [str(item.message) for item in printed]) == (1, [])
