"""Finds and removes the resources of an embedded cluster: processes, mounts, namespaces, control groups.

It uses the system's current state, not recorded state, so it also cleans up after a `kill -9` of anything. It starts
no program: it must work after everything has been asked to stop.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from devtools.clusters.embedded.layout import CLUSTER_VARIABLE, Layout
from devtools.clusters.embedded.names import REAL_PROGRAMS
from devtools.errors import EnvironmentFault

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
_DETACH = 2  # MNT_DETACH of umount2(2)
_KILL_AGAIN = 0.05
_KILL_FOR = 5.0
_LET_GO = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Process:
    """A running process of a cluster; `name` is its program's file name."""

    pid: int
    name: str


def processes(layout: Layout) -> tuple[Process, ...]:
    """Return the cluster's processes: those with its mark or in its control group. Zombies do not count.

    If there is a proc(5), it is read directly: every command does this, and it takes a fifth of psutil's time.
    """
    found = _in_proc(layout) if (PROC / "self" / "environ").exists() else _on_this_machine(layout)
    return tuple(sorted(found))


def missing_programs(running: Iterable[Process]) -> tuple[str, ...]:
    """Return the programs of the real node that are not among the processes."""
    names = {process.name for process in running}
    return tuple(name for name in REAL_PROGRAMS if name not in names)


def _in_proc(layout: Layout) -> Iterator[Process]:
    """See `processes`. A process with an environment is not a zombie."""
    mark, group = f"{CLUSTER_VARIABLE}={layout.mark}".encode(), layout.cgroup
    for pid in filter(str.isdecimal, os.listdir(PROC)):  # noqa: PTH208 - names are all it takes
        place = f"{PROC}/{pid}/"
        if mark in _bytes(place + "environ").split(b"\0"):
            words = _bytes(place + "cmdline").split(b"\0")
            yield Process(pid=int(pid), name=PurePath(os.fsdecode(words[0])).name or _comm(place))
        elif group.encode() in (text := _bytes(place + "cgroup")) and in_cgroup(text.decode(), group):
            state = _bytes(place + "stat").rpartition(b") ")[2][:1]  # it follows a name in brackets, proc_pid_stat(5)
            if state not in {b"", b"Z", b"X"}:
                yield Process(pid=int(pid), name=_comm(place))


def _comm(place: str) -> str:
    """Return the kernel's name of a process."""
    return os.fsdecode(_bytes(place + "comm").rstrip(b"\n"))


def _bytes(path: str) -> bytes:
    """Return the content of a file of /proc; empty if the process is gone or another user's."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - thousands of them
            return file.read()
    except OSError:
        return b""


def _on_this_machine(layout: Layout) -> Iterator[Process]:
    """See `processes`; a system without proc(5) has no control groups, either."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(CLUSTER_VARIABLE) == layout.mark:
                yield Process(pid=process.pid, name=Path((process.cmdline() or [process.name()])[0]).name)


def in_cgroup(text: str, name: str) -> bool:
    """Return whether `/proc/PID/cgroup` places a process in the top-level group `name`."""
    return any(line.rpartition(":")[2].lstrip("/").split("/")[0] == name for line in text.splitlines())


def mounts_under(mountinfo: str, directories: Iterable[Path]) -> tuple[str, ...]:
    """Return mount points in or below the directories, the last mounted first; from `/proc/self/mountinfo`, proc(5)."""
    roots = tuple(str(directory) for directory in directories)
    points = [_unescape(line.split(" ")[4]) for line in mountinfo.splitlines() if line]
    return tuple(point for point in reversed(points) if any(_within(point, root) for root in roots))


def end_processes(layout: Layout, named: Callable[[str], bool] = lambda _: True) -> int:
    """Kill all processes whose name passes `named`, repeatedly until none is left; return how many there were.

    They need no graceful shutdown: the cluster's data is deleted, too.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + _KILL_FOR
    while found := [process for process in processes(layout) if named(process.name)]:
        for process in found:
            ended.add(process.pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            names = ", ".join(f"{process.name} ({process.pid})" for process in found)
            raise EnvironmentFault(f"cannot end processes of cluster {layout.name}: {names}", hint="try again as root")
        time.sleep(_KILL_AGAIN)
    for pid in ended:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # children of this process
    return len(ended)


def remove_mounts(layout: Layout) -> None:
    """Unmount everything of the cluster, lazily if busy. That also removes the network namespace and the link."""
    directories = (layout.runtime, layout.state.resolve())
    for point in mounts_under(_read(Path("/proc/self/mountinfo")), directories):
        if _umount(point, 0) != 0:
            _umount(point, _DETACH)
    if left := mounts_under(_read(Path("/proc/self/mountinfo")), directories):
        raise EnvironmentFault(f"cannot unmount {left[0]}", hint="try again as root")


def remove_cgroups(layout: Layout, root: Path = CGROUPS) -> None:
    """Remove the cluster's control groups, in every hierarchy, the innermost first.

    The kernel needs a moment to release a group whose last process has just died.
    """
    deadline = time.monotonic() + _LET_GO
    while tops := [top for top in (root / layout.cgroup, *root.glob(f"*/{layout.cgroup}")) if top.is_dir()]:
        for top in tops:
            for directory in sorted((path for path in (*top.rglob("*"), top) if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    directory.rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(_KILL_AGAIN)


def remove_all(layout: Layout) -> bool:
    """Remove every trace of the cluster; return whether there was any."""
    there = end_processes(layout) > 0 or layout.state.exists() or layout.runtime.exists()
    remove_mounts(layout)
    remove_cgroups(layout)
    for directory in (layout.runtime, layout.state):
        _remove_tree(directory)
    return there


def _remove_tree(directory: Path) -> None:
    """Remove a directory that may be gone; its writers may have died only a moment ago."""
    for attempt in range(5):
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            if attempt == 4:  # noqa: PLR2004 - the last
                raise EnvironmentFault(f"cannot remove {directory}: {error.strerror}") from error
            time.sleep(_KILL_AGAIN)


def _umount(point: str, flags: int) -> int:
    """Call umount2(2), which Python lacks."""
    import ctypes

    return int(ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(point), flags))


def _within(point: str, root: str) -> bool:
    return point == root or point.startswith(f"{root}/")


def _unescape(text: str) -> str:
    """Decode octal escapes of space, tab, newline and backslash."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
