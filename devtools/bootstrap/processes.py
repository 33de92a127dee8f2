"""Processes that carry a mark in their environment: what was started in the background is found again by looking.

A file with a number in it goes stale, and the number may be another's by then; an environment does not.
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
    """A living process; `parent` is the process number of its parent, `command` its command line."""

    pid: int
    parent: int
    started: float
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets


def marked(name: str, value: str) -> tuple[Process, ...]:
    """Processes with this variable in their environment, the oldest first; without us, and what a cluster is made of.

    A cluster that was made by something Tilt runs has inherited Tilt's environment, but is not part of Tilt.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # other users' processes are not ours to see
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environ = process.environ()
            if environ.get(name) == value and CLUSTER_VARIABLE not in environ:
                facts = (process.pid, process.ppid(), process.create_time(), tuple(process.cmdline()), environ)
                found.append(Process(*facts))
    return tuple(sorted(found, key=lambda item: (item.started, item.pid)))


def is_alive(pid: int) -> bool:
    """Whether there is such a process: a quick look, before the long one at all of them."""
    import psutil

    return bool(psutil.pid_exists(pid))


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; the process may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
