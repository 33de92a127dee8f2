"""How the steps of a run ended, and the outcome of the whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from devtools.base.words import shortened
from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode, TimedOut
from devtools.events import Outcome, TestFinished, Verdict
from devtools.model import Action, ObjectRef, Plan, ReleaseId
from devtools.process.runner import Cancel

GOOD = frozenset({Outcome.INSTALLED, Outcome.UPGRADED, Outcome.UNCHANGED, Outcome.UNINSTALLED, Outcome.DISABLED})
_GO_ON = "run the same command again: it continues from here"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How a step succeeded."""

    outcome: Outcome
    revision: int
    objects: tuple[ObjectRef, ...] = ()
    simulated_pods: int = 0


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

    def result(self, cancel: Cancel, plan: Plan) -> tuple[ExitCode, str, str]:
        """Return exit code, reason and hint; in this order: interrupted, bug, unreachable, failed, timed out."""
        if cancel.error:
            return cancel.error.exit_code, cancel.error.message, cancel.error.hint or _GO_ON
        if cancel.is_set():
            return ExitCode.INTERRUPTED, cancel.reason, _GO_ON
        if self.bug:
            return ExitCode.BUG, self.bug.message, self.bug.hint
        if self.fault:
            return ExitCode.ENVIRONMENT, self.fault.message, self.fault.hint or "invoke cluster.status"
        code, reason = self._failures(plan)
        return code, reason, ""

    def _failures(self, plan: Plan) -> tuple[ExitCode, str]:
        """Return what failed in a run that could continue to its end."""
        failed = [release for release, end in self.ended.items() if end.outcome is Outcome.FAILED]
        tests = [test for end in self.ended.values() for test in end.tests if test.verdict is Verdict.FAILED]
        blocked = [step.id for step in plan.steps if step.action is Action.BLOCKED]
        late = all(test.timed_out for test in tests)
        if failed:
            late = late and all(isinstance(self.ended[release].error, TimedOut) for release in failed)
            return (ExitCode.TIMEOUT if late else ExitCode.FAILED), f"{shortened(list(map(str, failed)))} failed"
        if tests:
            return (ExitCode.TIMEOUT if late else ExitCode.FAILED), f"{shortened([test.test for test in tests])} failed"
        if blocked:
            return ExitCode.FAILED, f"{shortened(list(map(str, blocked)))} blocked"
        return ExitCode.OK, ""
