"""Writes the files of a run: its events, a log per release and per test, and its summary.

A disk that fills up during a run must not end the run: the first failed write is reported, once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from devtools import events as ev
from devtools.base.atomic_write import OWN, own_directory, write_whole
from devtools.base.open_file import check_inside
from devtools.errors import EnvironmentFault
from devtools.events import Event, Verdict, to_json
from devtools.report import advice
from devtools.report.run_state import ALL
from devtools.report.summary import Summary
from devtools.report.terminal.lines import contract_note
from devtools.report.text import duration

KEEP = 50  # runs
_PRIVATE_DIRECTORY, _PRIVATE_FILE = 0o700, 0o600  # logs are private
LATEST = "latest"
_RUN = re.compile(r"\d{8}T\d{6}Z-")
_DASHES = re.compile(r"-{2,}")  # of flags
_LONGEST = 60  # characters of the typed command in a directory's name


def run_directory(root: Path, what: str, at: float) -> Path:
    """Make and return `<root>/.devtools/runs/<UTC time>-<what>`, not used by any other run.

    Names sort by time; `at` is seconds since the epoch. Raises EnvironmentFault if it cannot be made.
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
    """Return the error of a place that cannot be written to."""
    why = error.strerror or str(error)
    place = error.filename if isinstance(error.filename, str) else str(path)
    return EnvironmentFault(
        f"cannot write the run's logs to {path}: {why}" + (f" ({place})" if place != str(path) else ""),
        hint=f"make {path} a directory that you may write to, on a disk with room",
    )


class RunFiles:
    """A sink that writes the files of one run; `latest` next to the directory points to it."""

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        """Write into `directory`; `warn` is called once when a file can no longer be written.

        Raises EnvironmentFault if not even the first file can be made.
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
        """Write the event, and its lines for a log."""
        self._summary.emit(event, at)
        self._write("events.jsonl", json.dumps(to_json(event, at)))
        stamp = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
        if isinstance(event, ev.TestStarted | ev.TestOutput | ev.TestFinished):
            name = advice.test_log(event.release, event.test)
        else:
            name = advice.release_log(getattr(event, "release", ""))
        for line in self._lines(event):
            self._write(name, f"{stamp} {line}")
        if isinstance(event, ev.StepFinished | ev.TestFinished):
            self._shut(name)

    def close(self) -> None:
        """Write `summary.json` atomically, and close every file."""
        for name in list(self._open):
            self._shut(name)
        try:
            text = json.dumps(self._summary.to_json(), indent=2) + "\n"
            write_whole(self._directory / "summary.json", text, mode=_PRIVATE_FILE)
        except OSError as error:
            self._complain(error)

    def _lines(self, event: Event) -> Iterator[str]:
        """Yield the lines that an event adds to its log; none if nothing was done, which the summary shows."""
        match event:
            case ev.StepStarted():
                yield f"start    {event.action} (layer {event.layer})"
            case ev.StepWaiting():
                yield f"waiting  for {event.what}"
            case ev.StepOutput():
                yield f"{event.stream:<8} {event.line}"
            case ev.ContractChecked():
                note = contract_note(event)
                yield f"contract {event.contract}: {event.verdict}" + (f", {note}" if note else "")
            case ev.StepFinished() if self._summary.releases[event.release].logged:
                yield from _end(event.outcome, event, event.hint)
            case ev.TestStarted():
                yield f"start    test {event.test} of {event.release}"
            case ev.TestOutput():
                yield f"{event.container} | {event.line}"
            case ev.TestFinished() if event.test != ALL or event.verdict is not Verdict.SKIPPED:
                yield from _end(event.verdict, event)

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
        """Close a file; data that a full disk refuses now is lost, which was reported."""
        stream = self._open.pop(name, None)
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()

    def _complain(self, error: OSError) -> None:
        """Report once that logs are incomplete."""
        if not self._warned:
            self._warned = True
            self._warn(f"logs in {self._directory} are incomplete: {error.strerror or error}; the run continues")


def _end(word: str, event: ev.StepFinished | ev.TestFinished, hint: str = "") -> list[str]:
    end = f"end      {word} after {duration(event.seconds)}" + (f": {event.reason}" if event.reason else "")
    return [*(f"detail   {line}" for line in event.details), *([f"hint     {hint}"] if hint else []), end]


def _point(directory: Path) -> None:
    """Point `latest` to this run, replaced in one step, so that it never dangles."""
    link = directory.parent / LATEST
    fresh = directory.parent / f".{LATEST}-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(directory.name)
    fresh.replace(link)


def prune(runs: Path, *, keep: int, never: Path) -> tuple[Path, ...]:
    """Remove all but the newest `keep` runs, not `never` and no other directories; return the removed ones."""
    found = sorted(path for path in runs.iterdir() if _RUN.match(path.name) and path.is_dir() and not path.is_symlink())
    old = [path for path in found[: max(len(found) - keep, 0)] if path != never]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return tuple(old)
