"""Tilt in the background: started once, found again, stopped with all it runs."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from devtools.bootstrap.processes import MachineProcesses, Process, Processes
from devtools.clusters.base import Progress
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process import Cancel, Command, Runner
from devtools.tools import tilt
from devtools.tools.tilt import Tilt

RUN_DIRECTORY = Path(".devtools", "run")  # in the repository: Tilt's log and process number
MARK = "DEVTOOLS_TILT_RUN"  # in Tilt's environment: whose it is
CONTEXT = "DEVTOOLS_TILT_CONTEXT"  # and which cluster it was started for
WAIT = 60.0  # seconds that Tilt's UI may take
# Tilt gives what it runs 30 s between TERM and KILL; a layer needs some of them to leave no release half-way.
GRACE = 35.0
_AFTER = 5.0  # seconds for what outlives Tilt
_LOOK = 0.1
_TAIL = 15  # lines of the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A Tilt that runs. `ours` is one that a bootstrap of this checkout started."""

    pid: int
    context: str
    url: str
    ours: bool = True


class TiltFault(EnvironmentFault):
    """Tilt did not come up; `details` are the last lines of its log."""

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        """See `EnvironmentFault`."""
        super().__init__(message, hint=hint)
        self.details = details


def answers(host: str, port: int, seconds: float = 1.0) -> bool:
    """Whether an HTTP server answers there, whatever it says; a proxy is never asked."""
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


class TiltServer:
    """Tilt of one checkout."""

    def __init__(
        self,
        tool: Tilt,
        *,
        runner: Runner,
        cancel: Cancel,
        processes: Processes | None = None,
        is_up: Callable[[str, int], bool] = answers,
        wait: float = WAIT,
        grace: float = GRACE,
    ) -> None:
        """`runner` starts Tilt and asks it: its environment is Tilt's, BUF_TOKEN included."""
        self._tool = tool
        self._runner = runner
        self._cancel = cancel
        self._processes = processes or MachineProcesses()
        self._is_up = is_up
        self._wait = wait
        self._grace = grace
        self._directory = tool.root / RUN_DIRECTORY

    @property
    def log(self) -> Path:
        """What Tilt prints."""
        return self._directory / "tilt.log"

    @property
    def pid_file(self) -> Path:
        """Tilt's process number, for people; whether it still runs is never read from it."""
        return self._directory / "tilt.pid"

    def command(self, *args: str) -> Command:
        """What starts Tilt, marked so that it is found again; `args` are the Tiltfile's own."""
        up = self._tool.up(*args)
        where = {"TILT_HOST": self._tool.host, "TILT_PORT": str(self._tool.port)}
        return replace(up, env={**up.env, **where, MARK: str(self._directory), CONTEXT: self._tool.context})

    def ours(self) -> Running | None:
        """The Tilt that a bootstrap of this checkout started, if it runs."""
        leader = self._leader()
        if leader is None:
            return None
        port = leader.environ.get("TILT_PORT", "")
        host = leader.environ.get("TILT_HOST", self._tool.host)
        url = replace(self._tool, host=host, port=int(port) if port.isdecimal() else self._tool.port).url
        return Running(pid=leader.pid, context=leader.environ.get(CONTEXT, ""), url=url)

    def others(self) -> Running | None:
        """A Tilt on our port that somebody else started, by what it says of itself."""
        if not self._is_up(self._tool.host, self._tool.port):
            return None  # no HTTP server: tilt would wait for its answer
        session = self._runner.run(self._tool.session())
        if not session.ok:
            return None
        with contextlib.suppress(ValueError):
            if pid := tilt.pid(session.stdout):
                cluster = self._runner.run(self._tool.cluster())
                context = tilt.context(cluster.stdout) if cluster.ok else ""
                return Running(pid=pid, context=context, url=self._tool.url, ours=False)
        return None

    def start(self, progress: Progress, *args: str) -> Running:
        """Start it in a session of its own and wait until its UI answers.

        Raises TiltFault where it ends before that, TimedOut or Interrupted with it stopped again.
        """
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.old"))
        progress(f"starting Tilt, log in {self.log}")
        pid = self._runner.spawn(self.command(*args), self.log)
        try:
            self.pid_file.write_text(f"{pid}\n", encoding="ascii")
            self._await(pid)
        except BaseException:
            self._end(_AFTER)
            self.pid_file.unlink(missing_ok=True)
            raise
        return Running(pid=pid, context=self._tool.context, url=self._tool.url)

    def stop(self, progress: Progress) -> bool:
        """Stop it and everything in its session: TERM, time to end what it runs, KILL. Says whether there was any."""
        found = self._all()
        if found:
            progress(f"stopping Tilt (pid {found[0].pid}); what it runs may take {self._grace:.0f} s to end")
            if not self._end(self._grace):
                names = ", ".join(str(process.pid) for process in self._all())
                raise EnvironmentFault(f"cannot end processes of Tilt: {names}", hint="end them as root")
        self.pid_file.unlink(missing_ok=True)
        return bool(found)

    def tail(self) -> tuple[str, ...]:
        """The last lines of the log."""
        try:
            with self.log.open(encoding="utf-8", errors="replace") as lines:
                return tuple(line.rstrip("\n") for line in deque(lines, _TAIL))
        except OSError:
            return ()

    def _await(self, pid: int) -> None:
        """Until the UI answers."""
        deadline = time.monotonic() + self._wait
        while not self._is_up(self._tool.host, self._tool.port):
            if not self._processes.is_alive(pid) and self._leader() is None:
                message = "Tilt ended before its UI answered"
                raise TiltFault(message, hint=f"see {self.log}; then: invoke bootstrap", details=self.tail())
            if time.monotonic() >= deadline:
                raise TimedOut(f"Tilt's UI did not answer at {self._tool.url} in {self._wait:g} s; see {self.log}")
            if self._cancel.wait(_LOOK):
                raise Interrupted(self._cancel.reason or "interrupted")

    def _all(self) -> tuple[Process, ...]:
        return self._processes.marked(MARK, str(self._directory))

    def _leader(self) -> Process | None:
        """Tilt itself: it leads its session; what it runs does not."""
        return next((process for process in self._all() if process.leads), None)

    def _end(self, grace: float) -> bool:
        """TERM to Tilt, which ends what it runs; TERM to what outlives it; KILL."""
        if leader := self._leader():
            self._processes.signal(leader.pid, signal.SIGTERM)
            self._until(lambda: self._leader() is None, grace)
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, _AFTER)):
            for process in self._all():
                self._processes.signal(process.pid, number)
            if self._until(lambda: not self._all(), seconds):
                return True
        return False

    @staticmethod
    def _until(done: Callable[[], bool], seconds: float) -> bool:
        """Whether it came true in so many seconds. Not cut short: half a stop is none."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK)
        return True
