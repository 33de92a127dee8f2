"""The state of a run so far, made only from its events; every renderer draws from it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from devtools import events as ev
from devtools.events import ContractChecked, Event, Notice, Outcome, PlanMade, RunFinished, RunStarted, Verdict

TAIL = 40  # log lines kept of each test and release
INTERRUPTED = 130
_OF_STEP = ("outcome", "seconds", "reason", "hint", "details", "revision", "simulated_pods")
_OF_TEST = ("release", "layer", "test", "verdict", "seconds", "reason", "details")
ALL = "all tests"  # the name under which all tests of a release are skipped together


def is_release(name: str) -> bool:
    """Return whether a step is about a release; the names of other steps begin with a capital letter."""
    return not name[:1].isupper()


def title(name: str) -> str:
    """Return how text names a step: by its release, or by the remaining objects it deletes."""
    return name if is_release(name) else name.partition("/")[0].replace("Namespaces", "empty namespaces")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseResult:
    """One release of the run: its plan and its outcome; `outcome` is None until it ended."""

    release: str
    layer: str
    action: str = ""
    planned: str = ""  # the plan's reason
    needs: tuple[str, ...] = ()
    chart: str = ""
    stand_in: bool = False
    started: float | None = None  # seconds since the epoch
    waiting: str = ""
    patient_until: float | None = None  # seconds since the epoch; None if unknown
    logged: bool = False  # whether its log has any output
    outcome: Outcome | None = None
    seconds: float = 0.0
    reason: str = ""
    hint: str = ""
    details: tuple[str, ...] = ()
    revision: int = 0
    simulated_pods: int = 0

    @property
    def is_release(self) -> bool:
        """Whether it is a release, and not a step about remaining objects."""
        return is_release(self.release)

    @property
    def text_word(self) -> str:
        """The word that text shows: remaining objects are deleted, not uninstalled."""
        return self.word if self.is_release else self.word.replace("uninstalled", "deleted")

    @property
    def title(self) -> str:
        """How text names it: by its release, or by the objects it deletes."""
        return title(self.release)

    @property
    def word(self) -> str:
        """The word shown for it."""
        if self.action == "blocked" and self.outcome in {None, Outcome.SKIPPED}:
            return "blocked"
        return str(self.outcome) if self.outcome is not None else "not reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeResult:
    """One smoke test of the run; `verdict` is None until it ended."""

    release: str
    layer: str
    test: str
    started: float = 0.0
    verdict: Verdict | None = None
    seconds: float = 0.0
    reason: str = ""
    details: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """The word shown for it."""
        return str(self.verdict) if self.verdict is not None else "interrupted"


class Tail:
    """The last lines of a log, and how many there were."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str]] = deque(maxlen=TAIL)
        self._containers: set[str] = set()
        self.total = 0

    def add(self, line: str, container: str = "") -> None:
        """Add a line, of a container if the test has several."""
        self._lines.append((container, line))
        self._containers.add(container)
        self.total += 1

    @property
    def raw(self) -> tuple[str, ...]:
        """The last lines, unchanged."""
        return tuple(line for _, line in self._lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines; each with its container if there are several."""
        if len(self._containers) <= 1:
            return self.raw
        return tuple(f"{container}: {line}" for container, line in self._lines)


class RunState:
    """A sink that collects the state of the run for renderers; it writes nothing."""

    def __init__(self) -> None:
        self.run: RunStarted | None = None
        self.plan: PlanMade | None = None
        self.finished: RunFinished | None = None
        self.started_at: float | None = None
        self.last_at: float | None = None
        self.releases: dict[str, ReleaseResult] = {}
        self.tests: dict[tuple[str, str], SmokeResult] = {}
        self.contracts: list[ContractChecked] = []
        self.notices: list[Notice] = []
        self.tails: dict[tuple[str, str], Tail] = {}  # (release, test); test is empty for helm's own output

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def emit(self, event: Event, at: float) -> None:
        """Take one event into account."""
        self.last_at = at
        match event:
            case ev.RunStarted():
                self.run, self.started_at = event, at
            case ev.PlanMade():
                self.plan = event
                self.releases |= {step.release: _planned(step) for step in event.steps}
            case ev.Notice():
                self.notices.append(event)
            case ev.StepStarted():
                self._note(event.release, event.layer, action=event.action, started=at)
            case ev.StepWaiting():
                until = at + event.left if event.left else None
                self._note(event.release, event.layer, waiting=event.what, patient_until=until)
            case ev.StepOutput():
                self.tails.setdefault((event.release, ""), Tail()).add(event.line)
                self._note(event.release, "")
            case ev.ContractChecked():
                self.contracts.append(event)
                self._note(event.release, event.layer)
            case ev.StepFinished():
                self._finish(event)
            case ev.TestStarted():
                test = SmokeResult(release=event.release, layer=event.layer, test=event.test, started=at)
                self.tests[event.release, event.test] = test
            case ev.TestOutput():
                self.tails.setdefault((event.release, event.test), Tail()).add(event.line, event.container)
            case ev.TestFinished():
                ended = {name: getattr(event, name) for name in _OF_TEST}
                self.tests[event.release, event.test] = SmokeResult(**ended, started=at - event.seconds)
            case ev.RunFinished():
                self.finished = event

    def _note(self, release: str, layer: str, **changes: Any) -> None:
        """Update the state of a release, also of one that no plan named; its log now has output.

        The output of stack commands belongs to no release.
        """
        if not release:
            return
        known = self.releases.get(release) or ReleaseResult(release=release, layer=layer)
        self.releases[release] = replace(known, **{"logged": True, **changes})

    def _finish(self, event: ev.StepFinished) -> None:
        known = self.releases.get(event.release)
        changes = {name: getattr(event, name) for name in _OF_STEP}
        changes["logged"] = known is not None and known.logged
        changes["stand_in"] = event.stand_in or (known is not None and known.stand_in)
        if event.outcome is not Outcome.INTERRUPTED:
            changes["waiting"] = ""
        self._note(event.release, event.layer, **changes)

    @property
    def items(self) -> tuple[ReleaseResult | SmokeResult, ...]:
        """The releases and the tests."""
        return (*self.releases.values(), *self.tests.values())

    @property
    def checks(self) -> tuple[SmokeResult | ContractChecked, ...]:
        """The tests and the contracts: what has a verdict."""
        return (*self.tests.values(), *self.contracts)

    @property
    def seconds(self) -> float:
        """How long it took, from the run's first event to its last."""
        begun = self.started_at if self.started_at is not None else self.last_at
        reported = self.finished.seconds if self.finished else 0.0
        return max(reported, (self.last_at or 0.0) - (begun or 0.0))

    @property
    def left_out(self) -> str:
        """Why no test was run, if all were skipped for one reason; otherwise empty."""
        skipped = [test.reason for test in self.tests.values() if test.test == ALL and test.word == "skipped"]
        return skipped[0] if len({*skipped}) == 1 and len(skipped) == len(self.tests) else ""

    def result(self) -> str:
        """Return the run in one word: passed, simulated, unchanged, planned, failed or interrupted."""
        if self.finished is None or self.finished.exit_code == INTERRUPTED:
            return "interrupted"
        outcomes = {item.outcome for item in self.releases.values()}
        verdicts = {item.verdict for item in self.checks}
        if self.finished.exit_code or Outcome.FAILED in outcomes or Verdict.FAILED in verdicts:
            return "failed"
        if self.plan is not None and self.plan.dry_run:
            return "planned"
        still = bool(outcomes) and outcomes <= {Outcome.UNCHANGED, Outcome.DISABLED}
        if still and all(test.verdict is Verdict.SKIPPED for test in self.tests.values()):
            return "unchanged"
        return "simulated" if Verdict.SIMULATED in verdicts or self.simulated_pods else "passed"

    @property
    def simulated_pods(self) -> int:
        """How many pods of the releases ran no container, because a simulator reported them as ready."""
        return sum(item.simulated_pods for item in self.releases.values())

    def cause(self, release: str) -> tuple[str, ...]:
        """Return the releases whose failure prevented a skipped one, found along the plan's needs."""
        found: list[str] = []
        visited, todo = {release}, [*self.releases[release].needs]
        while todo:
            name = todo.pop(0)
            known = self.releases.get(name)
            if name in visited or known is None:
                continue
            visited.add(name)
            if known.word in {"failed", "interrupted", "blocked"}:
                found.append(name)
            else:
                todo += known.needs
        return tuple(found)

    def why(self, item: ReleaseResult) -> str:
        """Return the reason for a release's outcome; a skipped one always names its cause."""
        if item.reason or item.outcome is not Outcome.SKIPPED or item.word == "blocked":
            return item.reason or (item.planned if item.word in {"blocked", "disabled"} else "")
        causes = self.cause(item.release)
        if not causes:
            return "the run stopped before it"
        words = {self.releases[name].word for name in causes}
        verb = {"failed": "failed", "blocked": "is blocked"}.get(words.pop(), "did not finish")
        return f"because {', '.join(causes)} {verb if not words else 'did not finish'}"


def _planned(step: ev.PlannedStep) -> ReleaseResult:
    same = {name: getattr(step, name) for name in ("release", "layer", "action", "needs", "chart", "stand_in")}
    return ReleaseResult(**same, planned=step.reason)
