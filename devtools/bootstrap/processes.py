"""Processes that carry a mark in their environment: what was started in the background is found again by looking.

A file with a number in it goes stale, and the number may be another's by then; an environment does not.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from devtools.clusters.embedded.layout import CLUSTER_VARIABLE as CLUSTER_MARK


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A living process; `parent` is the process number of its parent, `command` its command line."""

    pid: int
    parent: int
    started: float
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets


class Processes(Protocol):
    """This machine's processes."""

    def marked(self, name: str, value: str) -> tuple[Process, ...]:
        """Those with this variable in their environment, the oldest first; not we, and not what a cluster is made of.

        A cluster that was made by something Tilt runs has inherited Tilt's environment, and is no part of it.
        """

    def is_alive(self, pid: int) -> bool:
        """Whether there is such a process: a quick look, before the long one at all of them."""

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal; the process may be gone."""


class MachineProcesses:
    """The real `Processes`."""

    def marked(self, name: str, value: str) -> tuple[Process, ...]:
        """See `Processes`; other users' processes are not ours to see."""
        import psutil

        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                environ = process.environ()
                if environ.get(name) != value or CLUSTER_MARK in environ:
                    continue
                found.append(
                    Process(
                        pid=process.pid,
                        parent=process.ppid(),
                        started=process.create_time(),
                        command=tuple(process.cmdline()),
                        environ=environ,
                    )
                )
        return tuple(sorted(found, key=lambda item: (item.started, item.pid)))

    def is_alive(self, pid: int) -> bool:
        """See `Processes`."""
        import psutil

        return bool(psutil.pid_exists(pid))

    def signal(self, pid: int, number: signal.Signals) -> None:
        """See `Processes`."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
