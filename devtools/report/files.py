"""What a run leaves on disk: its events, a log per release and per test, and its summary.

A disk that fills up in the middle of a run must not end the run: what can no longer be written is said once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import singledispatchmethod
from pathlib import Path
from typing import TextIO

from devtools.base.atomic_write import OWN, own_directory, write_whole
from devtools.base.open_file import check_inside
from devtools.errors import EnvironmentFault
from devtools.events import (
    ContractChecked,
    Event,
    StepFinished,
    StepOutput,
    StepStarted,
    StepWaiting,
    TestFinished,
    TestOutput,
    TestStarted,
    Verdict,
    to_json,
)
from devtools.report import advice
from devtools.report.run_state import ALL
from devtools.report.summary import Summary
from devtools.report.terminal.lines import contract_note
from devtools.report.text import duration

KEEP = 50  # runs
_PRIVATE_DIRECTORY, _PRIVATE_FILE = 0o700, 0o600  # logs are nobody else's
LATEST = "latest"
_RUN = re.compile(r"\d{8}T\d{6}Z-")
_DASHES = re.compile(r"-{2,}")  # of flags
_LONGEST = 60  # characters of what was typed that go into a directory's name


def run_directory(root: Path, what: str, at: float) -> Path:
    """Make and return `<root>/.devtools/runs/<UTC time>-<what>`, not used by any other run.

    Names sort by time; `at` is seconds since the epoch. Raises EnvironmentFault where it cannot be made.
    """
    runs = root / OWN / "runs"
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{moment}-{_DASHES.sub('-', advice.file_name(what))[:_LONGEST].rstrip('-.')}"
    try:
        own_directory(root)
        check_inside(runs)
        runs.mkdir(exist_ok=True, mode=_PRIVATE_DIRECTORY)
        if (status := runs.stat()).st_mode & 0o077 and status.st_uid == os.geteuid():
            runs.chmod(_PRIVATE_DIRECTORY)
        for number in range(1, 1000):
            candidate = runs / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                candidate.mkdir(mode=_PRIVATE_DIRECTORY)
                return candidate
    except OSError as error:
        raise _unwritable(runs, error) from error
    raise EnvironmentFault(f"{runs} contains 1000 runs of this second", hint=f"remove {runs}")


def _unwritable(path: Path, error: OSError) -> EnvironmentFault:
    """The error of a place that cannot be written to."""
    why = error.strerror or str(error)
    place = error.filename if isinstance(error.filename, str) else str(path)
    return EnvironmentFault(
        f"cannot write the run's logs to {path}: {why}" + (f" ({place})" if place != str(path) else ""),
        hint=f"make {path} a directory that you may write to, on a disk with room",
    )


class RunFiles:
    """A sink that writes the files of one run; `latest` beside the directory points to it."""

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        """Write into `directory`; `warn` is told once when something can no longer be written.

        Raises EnvironmentFault where not even the first file can be made.
        """
        self._directory, self._warn = directory, warn
        self._summary = Summary()
        self._open: dict[str, TextIO] = {}
        self._dead: set[str] = set()
        self._warned = False
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_DIRECTORY)
            self._open["events.jsonl"] = self._file("events.jsonl")
        except OSError as error:
            raise _unwritable(directory, error) from error
        try:
            _point(directory)
            prune(directory.parent, keep=KEEP, never=directory)
        except OSError as error:
            self._complain(error)

    def emit(self, event: Event, at: float) -> None:
        """Keep the event, and the lines it has for a log."""
        self._summary.emit(event, at)
        self._write("events.jsonl", json.dumps(to_json(event, at)))
        stamp = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
        for name, line in self._log(event):
            self._write(name, f"{stamp} {line}")
        if isinstance(event, StepFinished):
            self._shut(advice.release_log(event.release))
        elif isinstance(event, TestFinished):
            self._shut(advice.test_log(event.release, event.test))

    def close(self) -> None:
        """Write `summary.json` whole or not at all, and let go of every file."""
        for name in list(self._open):
            self._shut(name)
        try:
            text = json.dumps(self._summary.to_json(), indent=2) + "\n"
            write_whole(self._directory / "summary.json", text, mode=_PRIVATE_FILE)
        except OSError as error:
            self._complain(error)

    @singledispatchmethod
    def _log(self, event: Event) -> list[tuple[str, str]]:
        """The (file, line)s that an event adds to logs."""
        return []

    @_log.register
    def _(self, event: StepStarted) -> list[tuple[str, str]]:
        return [(advice.release_log(event.release), f"start    {event.action} (layer {event.layer})")]

    @_log.register
    def _(self, event: StepWaiting) -> list[tuple[str, str]]:
        return [(advice.release_log(event.release), f"waiting  for {event.what}")]

    @_log.register
    def _(self, event: StepOutput) -> list[tuple[str, str]]:
        return [(advice.release_log(event.release), f"{event.stream:<8} {event.line}")]

    @_log.register
    def _(self, event: ContractChecked) -> list[tuple[str, str]]:
        line = f"contract {event.contract}: {event.verdict}"
        note = contract_note(event)
        return [(advice.release_log(event.release), f"{line}, {note}" if note else line)]

    @_log.register
    def _(self, event: StepFinished) -> list[tuple[str, str]]:
        if not self._summary.releases[event.release].logged:
            return []  # nothing was done: the summary says all there is
        name = advice.release_log(event.release)
        end = f"end      {event.outcome} after {duration(event.seconds)}" + (
            f": {event.reason}" if event.reason else ""
        )
        rows = [(name, f"detail   {line}") for line in event.details]
        return [*rows, *([(name, f"hint     {event.hint}")] if event.hint else []), (name, end)]

    @_log.register
    def _(self, event: TestStarted) -> list[tuple[str, str]]:
        return [(advice.test_log(event.release, event.test), f"start    test {event.test} of {event.release}")]

    @_log.register
    def _(self, event: TestOutput) -> list[tuple[str, str]]:
        return [(advice.test_log(event.release, event.test), f"{event.container} | {event.line}")]

    @_log.register
    def _(self, event: TestFinished) -> list[tuple[str, str]]:
        if event.test == ALL and event.verdict is Verdict.SKIPPED:
            return []  # nothing was done: the summary says all there is
        name = advice.test_log(event.release, event.test)
        end = f"end      {event.verdict} after {duration(event.seconds)}" + (
            f": {event.reason}" if event.reason else ""
        )
        return [*((name, f"detail   {line}") for line in event.details), (name, end)]

    def _file(self, name: str) -> TextIO:
        """Open a file of the run to add lines; each line reaches the disk at once, so that a killed run has its end."""
        descriptor = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE_FILE)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="replace", buffering=1)

    def _write(self, name: str, line: str) -> None:
        """Add a line, unless this file has already failed."""
        if name in self._dead:
            return
        try:
            if name not in self._open:
                self._open[name] = self._file(name)
            self._open[name].write(line + "\n")
        except OSError as error:
            self._dead.add(name)
            self._shut(name)
            self._complain(error)

    def _shut(self, name: str) -> None:
        """Close a file; what a full disk refuses at that moment is lost, and was said."""
        stream = self._open.pop(name, None)
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()

    def _complain(self, error: OSError) -> None:
        """Say once that logs are incomplete."""
        if not self._warned:
            self._warned = True
            self._warn(f"logs in {self._directory} are incomplete: {error.strerror or error}; the run goes on")


def _point(directory: Path) -> None:
    """Let `latest` name this run; replaced in one step, so that it never dangles."""
    link = directory.parent / LATEST
    fresh = directory.parent / f".{LATEST}-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(directory.name)
    fresh.replace(link)


def prune(runs: Path, *, keep: int, never: Path) -> tuple[Path, ...]:
    """Remove all but the newest `keep` runs, never `never` nor what no run of ours is called; return what went."""
    found = sorted(path for path in runs.iterdir() if _RUN.match(path.name) and path.is_dir() and not path.is_symlink())
    old = [path for path in found[: max(len(found) - keep, 0)] if path != never]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return tuple(old)
