"""Removes unused builds: no pin names them, and they have not been used for a long time.

Other checkouts have other pins, so a build that another checkout used lately stays. A build is removed under its build
lock, and renamed first, so that a reader finds all of it or none.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.base.machine_json import read_state
from devtools.base.words import plural
from devtools.errors import EnvironmentFault
from devtools.toolchain.store import DAY, MANIFEST, SCRATCH, end_users_of

_BUILD = re.compile(r"(?P<family>[a-z0-9][a-z0-9-]*)-[0-9a-f]{16}")
_LEFT = re.compile(re.escape(SCRATCH) + r"(?P<entry>.+)-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A directory of the cache; `version` is empty if a build was stopped, `used` is seconds since the epoch."""

    name: str
    entry: str  # the build that its lock is for
    family: str
    version: str
    size: int  # bytes
    used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a build is removed, and why."""

    build: Build
    goes: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Checks one cache, the directory `root`.

    `pinned` are the builds that this checkout's pins name, `users` the programs that another program will start again,
    with its name.
    """

    root: Path
    pinned: Collection[str]
    users: Mapping[Path, str]
    days: int  # that a build may stay unused

    def run(self, *, dry_run: bool) -> tuple[Decision, ...]:
        """Check every build and, unless it is a dry run, remove unused ones. Raises EnvironmentFault if that fails."""
        decisions = tuple(self._decide(build) for build in builds(self.root))
        return decisions if dry_run else tuple(self._removed(item) if item.goes else item for item in decisions)

    def _decide(self, build: Build) -> Decision:
        path, age = self.root / build.name, (time.time() - build.used) / DAY
        if build.name in self.pinned:
            return Decision(build=build, goes=False, reason="pinned")
        if user := self._holder(path) or _process(path):
            return Decision(build=build, goes=False, reason=f"used by {user}")
        if not build.version:
            return Decision(build=build, goes=True, reason="left by a build that was stopped")
        if age < self.days:
            return Decision(build=build, goes=False, reason=f"used {_ago(age)}")
        return Decision(build=build, goes=True, reason=f"no pin names it, last used {_ago(age)}")

    def _holder(self, path: Path) -> str:
        """Return what will start a program of the build again."""
        real = path.resolve()
        return next((user for program, user in self.users.items() if program.is_relative_to(real)), "")

    def _removed(self, item: Decision) -> Decision:
        """Remove a build; it is kept if another process builds it or has begun to use it."""
        from filelock import FileLock, Timeout

        build = item.build
        try:
            with FileLock(self.root / f"{build.entry}.lock", timeout=0):
                return self._delete(item) if build.version else self._swept(item)
        except Timeout:
            return Decision(build=build, goes=False, reason="being built")
        except FileNotFoundError:
            return item  # another process removed it first
        except OSError as error:
            hint = f"remove {self.root / build.name} by hand"
            raise EnvironmentFault(f"cannot remove {build.name}: {error.strerror or error}", hint=hint) from error

    def _delete(self, item: Decision) -> Decision:
        """Remove a finished build, after a last check of its use."""
        path = self.root / item.build.name
        aside = self.root / f"{SCRATCH}{item.build.entry}-{secrets.token_hex(4)}"
        path.rename(aside)
        if (aside / MANIFEST).stat().st_mtime > item.build.used or _process(aside):
            aside.rename(path)
            return Decision(build=item.build, goes=False, reason="used just now")
        shutil.rmtree(aside)
        return item

    def _swept(self, item: Decision) -> Decision:
        """Remove the files and the compiler that a killed builder left."""
        path = self.root / item.build.name
        end_users_of(path)
        shutil.rmtree(path)
        return item


def builds(root: Path) -> Iterator[Build]:
    """Yield every build in the cache, and the remains of killed builders."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        left, built = _LEFT.fullmatch(path.name), _BUILD.fullmatch(path.name)
        if not path.is_dir() or path.is_symlink() or not (left or built):
            continue
        entry = left["entry"] if left else path.name
        family = entry.rpartition("-")[0]
        version = "" if left else str(read_state(path / MANIFEST).get("version", ""))
        used = (path / MANIFEST if version else path).stat().st_mtime
        yield Build(name=path.name, entry=entry, family=family, version=version, size=_size(path), used=used)


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())


def _process(path: Path) -> str:
    """Return a process that runs a program below a directory; empty if there is none."""
    import psutil

    real = path.resolve()
    for process in psutil.process_iter(["exe", "name"]):
        if process.info["exe"] and Path(process.info["exe"]).is_relative_to(real):
            return f"process {process.pid} ({process.info['name']})"
    return ""


def _ago(days: float) -> str:
    """Return `today`, `1 day ago`, `40 days ago`."""
    return "today" if days < 1 else f"{plural(round(days), 'day')} ago"
