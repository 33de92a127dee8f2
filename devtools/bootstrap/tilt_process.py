"""Tilt in the background: started once, found again, stopped together with its commands."""

from __future__ import annotations

import contextlib
import io
import signal
from collections import deque
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from devtools.base.atomic_write import own_directory, write_whole
from devtools.base.open_file import check_inside, open_source
from devtools.bootstrap import processes, tilt_commands
from devtools.bootstrap.processes import Process
from devtools.bootstrap.tilt_commands import Tilt
from devtools.clusters.provider import Progress
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Cancel, Command, Runner
from devtools.process.waiting import wait_until

RUN_DIRECTORY = Path(".devtools", "run")  # in the repository: Tilt's log and process number
OWNER_VARIABLE = "DEVTOOLS_TILT_RUN"  # in Tilt's environment: the checkout that it belongs to
CONTEXT_VARIABLE = "DEVTOOLS_TILT_CONTEXT"  # and which cluster it was started for
WAIT = 60.0  # seconds until Tilt's UI must answer
LOADING = 300.0  # seconds for the first load of the Tiltfile, which renders charts
# Tilt gives its commands 30 s between TERM and KILL; a layer needs some of that to leave no release half-way.
GRACE = 35.0
_AFTER = 15.0  # seconds for commands that outlive Tilt
_LOOK = 0.1
_ASK = 0.2  # seconds between two queries of Tilt: each starts a process
_TAIL = 15  # lines of the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running Tilt. `ours`: a bootstrap of this checkout started it; `tool` builds its commands.

    `command` is its command line; empty unless it is `ours`.
    """

    pid: int
    context: str
    tool: Tilt
    ours: bool = True
    command: tuple[str, ...] = field(default=(), compare=False)

    @property
    def url(self) -> str:
        """The address of its UI."""
        return self.tool.url


class TiltFault(EnvironmentFault):
    """Tilt did not start; `details` are the last lines of its log."""

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        """See `EnvironmentFault`."""
        super().__init__(message, hint=hint)
        self.details = details


def answers(host: str, port: int, seconds: float = 5.0) -> bool:
    """Return whether an HTTP server answers there, whatever the response is; proxies are bypassed."""
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


@dataclass(frozen=True, kw_only=True)
class TiltProcess:
    """Tilt of one checkout; `runner` starts and queries it: its environment is Tilt's, BUF_TOKEN included."""

    tool: Tilt = field(kw_only=False)
    runner: Runner
    cancel: Cancel
    wait: float = WAIT
    loading: float = LOADING
    grace: float = GRACE

    @property
    def _directory(self) -> Path:
        return self.tool.root / RUN_DIRECTORY

    @property
    def log(self) -> Path:
        """The file with Tilt's output."""
        return self._directory / "tilt.log"

    @property
    def pid_file(self) -> Path:
        """The file with Tilt's process number, for people; never used to determine whether Tilt runs."""
        return self._directory / "tilt.pid"

    def command(self, *args: str) -> Command:
        """Return the command that starts Tilt, marked so that it can be found again; `args` go to the Tiltfile."""
        up = self.tool.up(*args)
        where = {"TILT_HOST": self.tool.host, "TILT_PORT": str(self.tool.port)}
        return replace(
            up, env={**up.env, **where, OWNER_VARIABLE: str(self._directory), CONTEXT_VARIABLE: self.tool.context}
        )

    def ours(self) -> Running | None:
        """Return the Tilt that a bootstrap of this checkout started, if it runs."""
        leader = self._leader()
        if leader is None:
            return None
        port = leader.environ.get("TILT_PORT", "")
        host = leader.environ.get("TILT_HOST", self.tool.host)
        tool = replace(self.tool, host=host, port=int(port) if port.isdecimal() else self.tool.port)
        return Running(
            pid=leader.pid, context=leader.environ.get(CONTEXT_VARIABLE, ""), tool=tool, command=leader.command
        )

    def orphans(self) -> tuple[Process, ...]:
        """Return the commands that a Tilt of this checkout started and that outlive it, without their children."""
        found = self._all()
        if any(tilt_commands.is_server(process.command) for process in found):
            return ()
        pids = {process.pid for process in found}
        return tuple(process for process in found if process.parent not in pids)

    def ended_unexpectedly(self) -> bool:
        """Return whether Tilt was started here, was not stopped, and does not run."""
        return self.pid_file.is_file() and self._leader() is None

    def load_error(self, running: Running) -> str | None:
        """Return why the Tiltfile did not load, as Tilt reports it; empty if it did, None while it loads.

        Raises EnvironmentFault if Tilt does not answer.
        """
        result = self.runner.run(running.tool.resources())
        if result.cancelled:
            raise Interrupted(self.cancel.reason or "interrupted")
        if not result.ok:
            message = f"Tilt at {running.url} does not answer: {result.stderr.strip() or 'no reason given'}"
            raise TiltFault(message, hint=f"see {self.log}", details=self.tail() if running.ours else ())
        try:
            return tilt_commands.tiltfile_error(result.stdout)
        except ValueError as error:
            hint = "is it Tilt 0.37?"
            raise TiltFault(f"Tilt at {running.url} returned an unexpected response: {error}", hint=hint) from error

    def dead_watches(self, running: Running) -> dict[str, str]:
        """Return which resources of a running Tilt do not notice changed files, and why; empty if that is unknown."""
        result = self.runner.run(running.tool.file_watches())
        with contextlib.suppress(ValueError):
            return tilt_commands.dead_watches(result.stdout) if result.ok else {}
        return {}

    def await_load(self, running: Running, progress: Progress) -> str:
        """Wait until Tilt has loaded its Tiltfile; return the error, or an empty string.

        Raises TiltFault if Tilt ends meanwhile, TimedOut or Interrupted; Tilt is left running.
        """
        progress("waiting for Tilt to load the Tiltfile")
        found = wait_until(lambda: self._loaded(running), self.loading, self.cancel, _ASK)
        if found is None:
            raise TimedOut(f"Tilt did not load the Tiltfile in {self.loading:g} s; see {running.url}")
        return found[0]

    def _loaded(self, running: Running) -> tuple[str] | None:
        """Return the result of `load_error`, which a Tilt that has just started may not have yet."""
        try:
            error = self.load_error(running)
        except TiltFault:
            if not processes.is_alive(running.pid):
                raise
            return None
        return None if error is None else (error,)

    def others(self) -> Running | None:
        """Return a Tilt on the configured port that was started by other means, as it describes itself."""
        if not answers(self.tool.host, self.tool.port):
            return None  # not an HTTP server: tilt would wait for a response
        session = self.runner.run(self.tool.session())
        if not session.ok:
            return None
        with contextlib.suppress(ValueError):
            if pid := tilt_commands.pid(session.stdout):
                cluster = self.runner.run(self.tool.cluster())
                context = tilt_commands.context(cluster.stdout) if cluster.ok else ""
                return Running(pid=pid, context=context, tool=self.tool, ours=False)
        return None

    def start(self, progress: Progress, *args: str) -> Running:
        """Start it in its own session and wait until its UI answers.

        Raises TiltFault if it ends before that; TimedOut or Interrupted, with Tilt stopped again.
        """
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.old"))
        own_directory(self.tool.root)
        check_inside(self._directory)
        progress(f"starting Tilt, log in {self.log}")
        pid = self.runner.spawn(self.command(*args), self.log)
        try:
            write_whole(self.pid_file, f"{pid}\n")
            self._await(pid)
        except BaseException:
            self._end(_AFTER)
            self.pid_file.unlink(missing_ok=True)
            raise
        return Running(pid=pid, context=self.tool.context, tool=self.tool)

    def stop(self, progress: Progress) -> bool:
        """Stop it and its session: TERM, time to end its commands, KILL. Returns whether there was any process."""
        found = self._all()
        if found:
            leader = next((process for process in found if tilt_commands.is_server(process.command)), None)
            name = f"Tilt (pid {leader.pid})" if leader else "what Tilt started"
            progress(f"stopping {name}; commands may take {self.grace:.0f} s to end")
            if not self._end(self.grace):
                names = ", ".join(str(process.pid) for process in self._all())
                raise EnvironmentFault(f"cannot end processes of Tilt: {names}", hint="end them as root")
        self.pid_file.unlink(missing_ok=True)
        return bool(found)

    def tail(self) -> tuple[str, ...]:
        """Return the last lines of the log."""
        try:
            with io.TextIOWrapper(open_source(self.log), "utf-8", "replace") as lines:
                return tuple(line.rstrip("\n") for line in deque(lines, _TAIL))
        except OSError:
            return ()

    def _await(self, pid: int) -> None:
        def is_up() -> bool:
            if answers(self.tool.host, self.tool.port):
                return True
            if not processes.is_alive(pid) and self._leader() is None:
                message = "Tilt ended before its UI answered"
                raise TiltFault(message, hint=f"see {self.log}; then: invoke bootstrap", details=self.tail())
            return False

        if not wait_until(is_up, self.wait, self.cancel, _LOOK):
            raise TimedOut(f"Tilt's UI did not answer at {self.tool.url} in {self.wait:g} s; see {self.log}")

    def _all(self) -> tuple[Process, ...]:
        return processes.marked(OWNER_VARIABLE, str(self._directory))

    def _leader(self) -> Process | None:
        """Return Tilt itself, without its commands."""
        return next((process for process in self._all() if tilt_commands.is_server(process.command)), None)

    def _end(self, grace: float) -> bool:
        """Send TERM to Tilt, which ends its commands; TERM to those that outlive it; then KILL."""
        if leader := self._leader():
            processes.send(leader.pid, signal.SIGTERM)
            wait_until(lambda: self._leader() is None, grace, Cancel(), _LOOK)  # never interrupted half-way
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, _AFTER)):
            for process in self._all():
                processes.send(process.pid, number)
            if wait_until(lambda: not self._all(), seconds, Cancel(), _LOOK):
                return True
        return False
