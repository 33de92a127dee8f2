"""Stores built tools: one directory per family and key, which is either complete or absent.

A build happens in a hidden sibling directory under a lock and is published by one rename. The lock is the kernel's
(flock), so a killed builder holds no lock; the next builder removes its files and its compiler.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from devtools.base.machine_json import read_state
from devtools.errors import EnvironmentFault
from devtools.locks.lock_file import held
from devtools.process.runner import Cancel

MANIFEST = "built.json"  # in each build; its modification time is the day of the last use
SCRATCH = ".building-"  # prefix of directories that are being built or removed
DAY = 86400.0  # seconds


@dataclass(frozen=True, slots=True)
class Store:
    """The cache's `toolchain` directory."""

    root: Path
    cancel: Cancel
    tick: float  # seconds between two lines about a wait for another builder

    def find(self, entry: str, program: str) -> Path | None:
        """Return the program of a published build, or None, also if its size differs from the published one."""
        manifest = self.root / entry / MANIFEST
        sizes, path = read_state(manifest).get("sizes"), self.root / entry / "bin" / program
        with contextlib.suppress(OSError):
            if isinstance(sizes, dict) and path.stat().st_size == sizes.get(program):
                _stamp(manifest)
                return path
        return None

    def built_with(self, entry: str) -> str:
        """Return the version of Go that made a build; empty if the build is missing or does not record it."""
        found = read_state(self.root / entry / MANIFEST).get("go")
        return found if isinstance(found, str) else ""

    @contextlib.contextmanager
    def claim(self, entry: str, progress: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock of `entry`; wait for another builder and report which. Raises Interrupted on cancel."""
        self._make_root()
        note, reported = self.root / f"{entry}.builder", -inf

        def waiting() -> None:
            nonlocal reported
            if time.monotonic() - reported >= self.tick:
                reported = time.monotonic()
                progress(f"waiting for {self.holder(entry)}, which builds {entry.rsplit('-', 1)[0]}")

        with held(self.root / f"{entry}.lock", self.cancel, waiting):
            try:
                note.write_text(json.dumps({"pid": os.getpid(), "since": time.time()}), "utf-8")
                yield
            finally:
                note.unlink(missing_ok=True)

    def holder(self, entry: str) -> str:
        """Return which process builds, if it wrote a note."""
        note = read_state(self.root / f"{entry}.builder")
        try:
            return f"process {int(note['pid'])} (since {max(0, time.time() - float(note['since'])):.0f} s)"
        except (ValueError, KeyError, TypeError, OverflowError):
            return "another process"

    @contextlib.contextmanager
    def scratch(self, entry: str) -> Iterator[Path]:
        """Yield a directory to build in, and remove it unless it was published. Needs the lock."""
        self._sweep(entry)
        path = self.root / f"{SCRATCH}{entry}-{secrets.token_hex(4)}"
        (path / "bin").mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, scratch: Path, entry: str, facts: Mapping[str, object]) -> None:
        """Make a finished build visible in one step; an incomplete one of the same key is replaced."""
        sizes = {program.name: program.stat().st_size for program in sorted((scratch / "bin").iterdir())}
        (scratch / MANIFEST).write_text(json.dumps({**facts, "sizes": sizes}, indent=2) + "\n", "utf-8")
        target = self.root / entry
        if target.exists():
            aside = self.root / f"{SCRATCH}{entry}-{secrets.token_hex(4)}"
            target.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        scratch.rename(target)

    def _sweep(self, entry: str) -> None:
        """Remove the remains of dead builders of this entry; the lock's holder is the only live one."""
        for path in self.root.glob(f"{SCRATCH}{entry}-*"):
            end_users_of(path)
            shutil.rmtree(path, ignore_errors=True)

    def _make_root(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.root, os.W_OK | os.X_OK)
        except OSError as error:
            raise _unusable(self.root, error.strerror or str(error)) from error
        if not writable:
            raise _unusable(self.root, "no permission to write")


def _stamp(manifest: Path) -> None:
    """Record for pruning that a build is used today; ignore a cache that cannot be written."""
    with contextlib.suppress(OSError):
        if time.time() - manifest.stat().st_mtime >= DAY:
            os.utime(manifest)


def _unusable(root: Path, why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot use the cache directory {root}: {why}", hint="set DEVTOOLS_CACHE to a directory you may write to"
    )


def end_users_of(scratch: Path) -> None:
    """Kill a compiler whose builder was killed, because it would run on for minutes without use."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if any(str(scratch) in word for word in process.info["cmdline"] or ()) and process.pid != os.getpid():
            with contextlib.suppress(OSError, psutil.Error):
                leads = os.getpgid(process.pid) == process.pid
                (os.killpg if leads else os.kill)(process.pid, signal.SIGKILL)
                process.wait(5)
