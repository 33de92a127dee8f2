"""The events of a run, as frozen values: the engine's only output.

Renderers fold over them, `events.jsonl` stores them. `VERSION` changes when a field changes its meaning or is removed;
a new event or field does not change it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock
from typing import Any, Literal, Protocol

from devtools.redaction import Redactor

VERSION = 1
_TEXTS = frozenset({"message", "what", "line", "contract", "value", "reason", "hint", "details", "before", "after"})


class Outcome(StrEnum):
    """How a step ended."""

    INSTALLED = "installed"
    UPGRADED = "upgraded"
    UNCHANGED = "unchanged"
    UNINSTALLED = "uninstalled"
    FAILED = "failed"
    SKIPPED = "skipped"
    DISABLED = "disabled"
    INTERRUPTED = "interrupted"


class Verdict(StrEnum):
    """How a check ended; `simulated` is never `passed`."""

    PASSED = "passed"
    FAILED = "failed"
    SIMULATED = "simulated"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"  # of a test that had begun


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run begins; `directory` holds its logs."""

    run: str
    what: str  # the command as typed: "layer 40-data-plane"
    stack: str
    environment: str
    provider: str
    context: str
    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One line of a plan."""

    release: str
    layer: str
    action: str
    reason: str
    needs: tuple[str, ...]
    chart: str
    stand_in: bool
    before: tuple[str, ...] = ()  # commands run before it is synced, as they could be typed
    after: tuple[str, ...] = ()  # commands run once it is ready
    on_failure: str = "keep"  # or `rollback`, `uninstall`: what is done if its sync fails


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSet:
    """A value of the environment that `--set` replaces; values that are not text as JSON."""

    key: str
    value: str
    before: str  # the value in the environment's files
    where: str  # its place in the files


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMade:
    """What the run will do; emitted before anything is done."""

    layers: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    dry_run: bool
    sets: tuple[PlannedSet, ...] = ()
    before: tuple[str, ...] = ()  # commands of the stack, run before the first step
    after: tuple[str, ...] = ()  # commands of the stack, run after the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message that is not about a single step."""

    level: Literal["info", "warning"]
    message: str
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A release's step begins."""

    release: str
    layer: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWaiting:
    """What a step waits for now; emitted when the answer changes."""

    release: str
    layer: str
    what: str
    left: float = 0.0  # seconds until it gives up; 0 if unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """A line that helm or a hook printed."""

    release: str
    stream: Literal["stdout", "stderr"]
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractChecked:
    """A contract's verdict, with the value that was seen."""

    release: str
    layer: str
    contract: str
    verdict: Verdict
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """A release's step ended; `details` are events and last log lines worth showing on a failure."""

    release: str
    layer: str
    outcome: Outcome
    seconds: float
    reason: str = ""
    hint: str = ""
    details: tuple[str, ...] = ()
    revision: int = 0
    stand_in: bool = False
    simulated_pods: int = 0  # pods of the release in which no container ran


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStarted:
    """A smoke test Job begins."""

    release: str
    layer: str
    test: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestOutput:
    """A line of a test container's log."""

    release: str
    test: str
    container: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFinished:
    """A smoke test Job ended."""

    release: str
    layer: str
    test: str
    verdict: Verdict
    seconds: float
    reason: str = ""
    details: tuple[str, ...] = ()
    timed_out: bool = False  # it failed because it did not end within its deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """A run ended; `exit_code` is the process's."""

    exit_code: int
    seconds: float
    reason: str = ""
    hint: str = ""


Event = (
    RunStarted
    | PlanMade
    | Notice
    | StepStarted
    | StepWaiting
    | StepOutput
    | ContractChecked
    | StepFinished
    | TestStarted
    | TestOutput
    | TestFinished
    | RunFinished
)
EVENTS: tuple[type[Any], ...] = Event.__args__


class Sink(Protocol):
    """Anything that receives events: a renderer, a file, a test's list."""

    def emit(self, event: Event, at: float) -> None:
        """Take one event; `at` is seconds since the epoch. Called from one thread at a time."""

    def close(self) -> None:
        """The run is over; nothing follows."""


class Bus:
    """Gives each event its time and passes it to every sink without secrets, one at a time."""

    def __init__(self, sinks: tuple[Sink, ...], clock: Callable[[], float], redactor: Redactor | None = None) -> None:
        """`clock` returns seconds since the epoch; `redactor` knows the secrets."""
        self.redactor = redactor or Redactor()
        self._sinks = sinks
        self._clock = clock
        self._lock = Lock()

    def add(self, sink: Sink) -> None:
        """Add a sink before the others; it gets the events from now on."""
        with self._lock:
            self._sinks = (sink, *self._sinks)

    def emit(self, event: Event) -> None:
        """Pass the event to every sink, from any thread; texts in it are redacted, names are not."""
        event = _redacted(event, self.redactor)
        with self._lock:
            at = self._clock()
            for sink in self._sinks:
                sink.emit(event, at)

    def note(self, message: str) -> None:
        """Emit a notice."""
        self.emit(Notice(level="info", message=message))

    def warn(self, message: str, release: str = "") -> None:
        """Emit a warning, about a release or about the whole run."""
        self.emit(Notice(level="warning", message=message, release=release))

    def close(self) -> None:
        """Close every sink; later events are lost."""
        with self._lock:
            sinks, self._sinks = self._sinks, ()
            for sink in sinks:
                sink.close()


def _redacted(value: Any, redactor: Redactor) -> Any:
    """Return a copy of an event without secrets in its texts; names are unchanged, so that they still match."""
    changed: dict[str, Any] = {}
    for item in fields(value):
        part = getattr(value, item.name)
        if item.name in _TEXTS:
            fresh = redactor.text(part) if isinstance(part, str) else tuple(map(redactor.text, part))
        elif isinstance(part, tuple) and part and is_dataclass(part[0]):
            fresh = tuple(_redacted(one, redactor) for one in part)
        else:
            continue
        if fresh != part:
            changed[item.name] = fresh
    return replace(value, **changed) if changed else value


def name_of(kind: type[Any]) -> str:
    """Return the event's name on the wire: `StepFinished` is `step-finished`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def moment(at: float) -> str:
    """Return seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(event: Event, at: float) -> dict[str, Any]:
    """Return the event as JSON data: `v`, `at` (RFC 3339, UTC), `event`, then its fields."""
    return {"v": VERSION, "at": moment(at), "event": name_of(type(event)), **_plain(event)}


def _plain(value: Any) -> Any:
    """Return dataclasses and tuples as JSON data."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
