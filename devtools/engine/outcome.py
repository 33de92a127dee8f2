"""How the steps of a run ended, and the outcome of the whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from devtools.base.words import shortened
from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode, Location, TimedOut
from devtools.events import Outcome, TestFinished, Verdict
from devtools.model import Action, ObjectRef, Plan, ReleaseId
from devtools.process.runner import Cancel

GOOD = frozenset({Outcome.INSTALLED, Outcome.UPGRADED, Outcome.UNCHANGED, Outcome.UNINSTALLED, Outcome.DISABLED})
_GO_ON = "run the same command again: it continues from here"


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended."""

    code: ExitCode = ExitCode.OK
    reason: str = ""
    hint: str = ""

    @classmethod
    def of(cls, error: DevtoolsError, where: Location | None = None) -> End:
        """Return the outcome that an error means, with its place and the lines worth showing."""
        message = f"{where}: {error.message}" if where else error.message
        reason = "\n".join((message, *getattr(error, "details", ())))
        return cls(error.exit_code, reason, error.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How a step succeeded."""

    outcome: Outcome
    revision: int
    objects: tuple[ObjectRef, ...] = ()
    simulated_pods: int = 0
    reason: str = ""  # replaces the plan's reason


@dataclass(slots=True)
class FinishedStep:
    """A finished step, as its dependents see it."""

    outcome: Outcome
    cause: str = ""  # for dependents: "ameide/kafka failed"
    error: DevtoolsError | None = None
    tests: Sequence[TestFinished] = ()


@dataclass(slots=True)
class Tally:
    """The outcomes of all steps; the engine's only state."""

    ended: dict[ReleaseId, FinishedStep] = field(default_factory=dict)
    fault: EnvironmentFault | None = None
    bug: DevtoolsError | None = None

    def note(self, error: DevtoolsError) -> None:
        """Record an error of the whole run: the cluster or machine failed, or devtools has a bug."""
        if isinstance(error, EnvironmentFault):
            self.fault = self.fault or error
        if error.exit_code is ExitCode.BUG:
            self.bug = self.bug or error

    def result(self, cancel: Cancel, plan: Plan) -> End:
        """Return the end of the run; in this order: interrupted, bug, unreachable, failed, timed out."""
        if cancel.error:
            return End(cancel.error.exit_code, cancel.error.message, cancel.error.hint or _GO_ON)
        if cancel.is_set():
            return End(ExitCode.INTERRUPTED, cancel.reason, _GO_ON)
        if self.bug:
            return End(ExitCode.BUG, self.bug.message, self.bug.hint)
        if self.fault:
            return End(ExitCode.ENVIRONMENT, self.fault.message, self.fault.hint or "invoke cluster.status")
        failed = [release for release, end in self.ended.items() if end.outcome is Outcome.FAILED]
        tests = [test for end in self.ended.values() for test in end.tests if test.verdict is Verdict.FAILED]
        blocked = [step.id for step in plan.steps if step.action is Action.BLOCKED]
        late = all(isinstance(self.ended[release].error, TimedOut) for release in failed)
        late = late and all(test.timed_out for test in tests)
        if failed or tests:
            names = [*map(str, failed)] or [test.test for test in tests]
            return End(ExitCode.TIMEOUT if late else ExitCode.FAILED, f"{shortened(names)} failed")
        return End(ExitCode.FAILED, f"{shortened([*map(str, blocked)])} blocked") if blocked else End()
