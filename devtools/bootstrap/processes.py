"""Finds background processes by a mark in their environment.

A pid file goes stale, and its number may then belong to another process; an environment does not change.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from devtools.clusters.embedded.layout import CLUSTER_VARIABLE


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; `parent` is its parent's process number, `command` its command line."""

    pid: int
    parent: int
    started: float
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets


def marked(name: str, value: str) -> tuple[Process, ...]:
    """Return processes with this variable in their environment, oldest first, except this one and clusters' parts.

    A cluster created by a command that Tilt runs has inherited Tilt's environment, but is not part of Tilt.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # the environment of other users' processes is not readable
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environ = process.environ()
            if environ.get(name) == value and CLUSTER_VARIABLE not in environ:
                facts = (process.pid, process.ppid(), process.create_time(), tuple(process.cmdline()), environ)
                found.append(Process(*facts))
    return tuple(sorted(found, key=lambda item: (item.started, item.pid)))


def is_alive(pid: int) -> bool:
    """Return whether there is such a process: a cheap check before the scan of all processes."""
    import psutil

    return bool(psutil.pid_exists(pid))


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; no error if the process is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
