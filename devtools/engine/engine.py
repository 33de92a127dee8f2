"""Carries out a plan as a DAG on threads.

A step starts as soon as the steps it needs are done. A failed step skips only its dependents, and each of them names
the cause. If the cluster goes away or the run is cancelled, nothing else starts.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from devtools.base.words import plural
from devtools.engine.outcome import GOOD, End, FinishedStep, StepResult, Tally
from devtools.engine.schedule import expected, levels
from devtools.engine.stack_commands import StackCommands
from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode, Interrupted
from devtools.events import (
    Outcome,
    PlanMade,
    PlannedSet,
    PlannedStep,
    RunFinished,
    StepFinished,
    StepStarted,
    TestFinished,
    Verdict,
)
from devtools.helm.labels import TESTS_FAILED
from devtools.kube.api_errors import UNAUTHORIZED
from devtools.kube.client import ApiError, ServerGone
from devtools.model import SYNCED, Action, Facts, Hook, Plan, ReleaseFact, ReleaseId, Step
from devtools.planning.plan import behind, digest_behind, has_passed
from devtools.releases.facts import mark_ready, mark_tested

if TYPE_CHECKING:
    from devtools.run_context.session import Session

MOST_THREADS = 1024  # most of them wait, for their turn or until something is ready


class Engine:
    """Carries out one plan in one session."""

    def __init__(self, session: Session, plan: Plan, facts: Facts) -> None:
        """`facts` are those that the plan was made from."""
        self._session = session
        self._plan = plan
        self._facts = facts
        self._tally = Tally()

    def run(self) -> ExitCode:
        """Carry out every step; emit the events of each and a final RunFinished.

        A bug of devtools in one step fails that step only, because other steps may be in the middle of their work.
        """
        started = time.monotonic()
        commands = StackCommands(self._session, self._plan)
        with contextlib.ExitStack() as stack:
            if not all(map(self._is_quick, self._plan.steps)):
                self._load_executor()
                stack.callback(self._steps.close)
            end = commands.before()
            if not end.code:
                end = self._do_steps()
        end = commands.after(end)
        seconds = time.monotonic() - started
        self._session.bus.emit(RunFinished(exit_code=int(end.code), seconds=seconds, reason=end.reason, hint=end.hint))
        return end.code

    def _do_steps(self) -> End:
        """Carry out every step; an error that ends this early must not prevent the `after` commands of the stack."""
        try:
            self._schedule({step.id: step for step in self._plan.steps})
        except Exception as error:  # noqa: BLE001 - a limit of the machine, or a bug
            known = error if isinstance(error, DevtoolsError) else self._session.bug(error)
            return End.of(self._session.cancel.error or known)
        return self._end()

    def _load_executor(self) -> None:
        """Import the executor of steps; the import takes a tenth of the time of a run that has nothing to do."""
        from devtools.engine.steps import Steps
        from devtools.smoke.runner import Smoke

        _ = self._session.helm, self._session.observer  # once, before there are threads; without helm there is no run
        self._steps = Steps(self._session, self._plan)
        self._smoke = Smoke(self._session, self._note)

    def _schedule(self, steps: Mapping[ReleaseId, Step]) -> None:
        """Pass each step to a thread as soon as the steps it needs are done, the most urgent first."""
        needs = {name: [need for need in step.needs if need in steps] for name, step in steps.items()}
        known, test = self._session.durations.known, self._session.test
        # the expected seconds from each step to the end of the run decide who gets a slot first
        urgency = levels(needs, lambda name: expected(steps[name], known, test=test))
        self._session.slots.order(urgency)
        order = {name: index for index, name in enumerate(steps)}
        sorter = TopologicalSorter(needs)
        sorter.prepare()
        with ThreadPoolExecutor(min(MOST_THREADS, len(steps) or 1), thread_name_prefix="step") as pool:
            running: dict[Future[FinishedStep], ReleaseId] = {}
            while sorter.is_active():
                for ready in sorted(sorter.get_ready(), key=lambda name: (-urgency[name], order[name])):
                    if self._is_quick(steps[ready]):
                        self._tally.ended[ready] = self._carry_out(steps[ready])
                        sorter.done(ready)
                    else:
                        running[pool.submit(self._carry_out, steps[ready])] = ready
                if not running:
                    continue
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    release = running.pop(future)
                    self._tally.ended[release] = future.result()
                    sorter.done(release)

    def _is_quick(self, step: Step) -> bool:
        """Return whether a step sends no request and starts no program, so that it needs no thread."""
        return step.action is Action.DISABLED or (step.action is Action.UNCHANGED and not self._session.test)

    def _carry_out(self, step: Step) -> FinishedStep:
        """Carry out one step without raising, and record how long its own work took, for the order of the next run."""
        started = time.monotonic()
        try:
            ended = self._do(step)
        except Exception as error:  # noqa: BLE001 - a bug, or a sink that breaks: other steps must end in order
            ended = self._failed(step, self._session.bug(error))
            with contextlib.suppress(Exception):
                self._tell(step, ended, 0.0)
        seconds = time.monotonic() - started - self._session.slots.queued(step.id)
        if ended.outcome in {Outcome.INSTALLED, Outcome.UPGRADED} and (self._session.test or not step.release.smoke):
            self._session.durations.note(step.id, seconds)
        return ended

    def _do(self, step: Step) -> FinishedStep:
        """Skip a step or carry out its action; then run the tests of a smoke release."""
        if skipped := self._reason_to_skip(step):
            return self._tell(step, skipped, 0.0)
        release, sync, test = step.release, self._session.sync, self._session.test
        if step.action is Action.DISABLED or (step.action is Action.UNINSTALL and not sync):
            return self._tell(step, FinishedStep(Outcome.DISABLED), 0.0)
        if step.action is not Action.UNCHANGED:
            self._session.bus.emit(StepStarted(release=str(step.id), layer=release.layer, action=step.action))
        started = time.monotonic()
        try:
            if self._is_quick(step):
                done = StepResult(outcome=Outcome.UNCHANGED, revision=step.revision)
            elif step.action is Action.UNCHANGED or not sync:
                fact = self._facts.releases.get(step.id)
                done = self._steps.confirm(step, fact.objects if fact else ())
            elif step.action is Action.UNINSTALL:
                done = self._steps.uninstall(step)
            else:
                done = self._steps.sync(step)
        except Exception as error:  # noqa: BLE001 - other steps must be able to end in order
            failure = error if isinstance(error, DevtoolsError) else self._session.bug(error)
            return self._tell(step, self._failed(step, failure), time.monotonic() - started)
        ended = self._tell(step, FinishedStep(done.outcome), time.monotonic() - started, done)
        if release.smoke and test and step.action is not Action.UNINSTALL:
            self._run_tests(step, done, ended)
        return ended

    def _reason_to_skip(self, step: Step) -> FinishedStep | None:
        """Return why a step is not started."""
        if self._session.cancel.is_set():
            return FinishedStep(Outcome.SKIPPED, cause=self._session.cancel.reason)
        if self._tally.fault:
            return FinishedStep(Outcome.SKIPPED, cause=self._tally.fault.message)
        if step.action is Action.BLOCKED:
            return FinishedStep(Outcome.SKIPPED, cause=step.reason)
        for need in step.needs:
            before = self._tally.ended.get(need)
            if before and before.outcome not in GOOD:
                cause = before.cause if before.outcome is Outcome.SKIPPED else f"{need} {before.outcome}"
                return FinishedStep(Outcome.SKIPPED, cause=cause)
        return None

    def _failed(self, step: Step, error: DevtoolsError) -> FinishedStep:
        """Record a failure and its effect on the rest; if the server is gone, only the first step to notice fails."""
        late = isinstance(error, ServerGone) and self._session.cancel.error not in {None, error}
        if late or isinstance(error, Interrupted):
            return FinishedStep(Outcome.INTERRUPTED, cause=f"{step.id} interrupted", error=error)
        self._note(error)
        return FinishedStep(Outcome.FAILED, cause=f"{step.id} failed", error=error)

    def _note(self, error: DevtoolsError) -> None:
        """Record an error of the whole run: no further step starts, and without a server running steps stop, too."""
        if isinstance(error, ApiError) and error.status == UNAUTHORIZED:  # every other release would fail, too
            error = EnvironmentFault(error.message, hint=error.hint)
        self._tally.note(error)
        if isinstance(error, EnvironmentFault):
            self._session.slots.close(error.message)
        if isinstance(error, ServerGone):
            self._session.cancel.fail(error)

    def _tell(self, step: Step, ended: FinishedStep, seconds: float, done: StepResult | None = None) -> FinishedStep:
        """Emit the end of a step."""
        error = ended.error
        reason = error.message if error else ended.cause or (done.reason if done else "") or step.reason
        if ended.outcome is Outcome.SKIPPED and ended.cause and ended.cause.endswith((" failed", " interrupted")):
            reason = f"because {ended.cause}"
        self._session.bus.emit(
            StepFinished(
                release=str(step.id),
                layer=step.release.layer,
                outcome=ended.outcome,
                seconds=seconds,
                reason=reason,
                hint=error.hint if error else "",
                details=tuple(getattr(error, "details", ())),
                revision=(done.revision if done else 0) or step.revision,
                stand_in=step.is_on_stand_in,
                simulated_pods=done.simulated_pods if done else 0,
            )
        )
        return ended

    def _run_tests(self, step: Step, done: StepResult, ended: FinishedStep) -> None:
        """Run a smoke release's tests, unless everything they depend on is unchanged since they last passed."""
        session, fact = self._session, self._facts.releases.get(step.id)
        digest = digest_behind(self._plan, step)
        unchanged = all(item.action is Action.UNCHANGED for item in behind(self._plan, step))
        if not session.retest and has_passed(self._plan, step, fact):
            ended.tests = (self._skipped(step, "unchanged since they last passed"),)
            return
        try:
            ended.tests = self._smoke.run(step.release)
            is_this = session.sync or unchanged  # otherwise they ran on something older than what is declared
            passed = digest if is_this and self._went_well(ended.tests) else None
            failed = any(test.verdict is Verdict.FAILED for test in ended.tests)
            self._restore_annotations(step, done, fact, TESTS_FAILED if failed else passed)
        except Interrupted as error:
            ended.tests = ended.tests or (self._skipped(step, error.message),)
        except EnvironmentFault as error:
            self._note(error)
            ended.tests = (self._skipped(step, error.message),)
        except DevtoolsError as error:
            ended.tests = (self._skipped(step, error.message, Verdict.FAILED),)

    def _restore_annotations(self, step: Step, done: StepResult, fact: ReleaseFact | None, tested: str | None) -> None:
        """Restore the annotations of devtools: `helm test` rewrites the release's record without them."""
        kube = self._session.kube
        if done.outcome is not Outcome.UNCHANGED:
            mark_ready(kube, step.id, done.revision, step.digest, done.objects)
        elif fact and fact.ready:
            mark_ready(kube, step.id, done.revision, fact.ready, fact.objects)
        mark_tested(kube, step.id, done.revision, tested)

    def _skipped(self, step: Step, reason: str, verdict: Verdict = Verdict.SKIPPED) -> TestFinished:
        """Emit one line for all tests of a release that were not run."""
        finished = TestFinished(
            release=str(step.id),
            layer=step.release.layer,
            test="all tests",
            verdict=verdict,
            seconds=0.0,
            reason=reason,
        )
        self._session.bus.emit(finished)
        return finished

    def _went_well(self, tests: Sequence[TestFinished]) -> bool:
        """Return whether every test passed or skipped itself, not because the run ended; simulated does not count."""
        good = {Verdict.PASSED, Verdict.SKIPPED}
        whole = not self._session.cancel.is_set() and not self._tally.fault
        return whole and bool(tests) and all(test.verdict in good for test in tests)

    def _end(self) -> End:
        """Return the end of all steps; after an uninstall it names the CRDs that are left."""
        end = self._tally.result(self._session.cancel, self._plan)
        if end.code or not self._plan.keeps_crds:
            return end
        from devtools.releases.cleanup import stack_crds

        crds = stack_crds(self._session.kube, self._plan.stack.name)
        reason = f"{plural(len(crds), 'CRD is', 'CRDs are')} kept, with every object of their kinds"
        return End(reason=reason, hint="invoke down --crds removes them") if crds else end


def announce(plan: Plan, *, dry_run: bool) -> PlanMade:
    """Return a plan as the event that renderers show."""
    return PlanMade(
        layers=plan.layers,
        dry_run=dry_run,
        before=tuple(shlex.join(hook.argv) for hook in plan.before),
        after=tuple(shlex.join(hook.argv) for hook in plan.after),
        steps=tuple(
            PlannedStep(
                release=str(step.id),
                layer=step.release.layer,
                action=step.action,
                reason=step.reason,
                needs=tuple(map(str, step.needs)),
                chart=f"{step.release.chart.name} {step.release.chart.version}".strip(),
                stand_in=step.is_on_stand_in,
                before=_typed(step, step.release.before),
                after=_typed(step, step.release.after),
                on_failure=step.release.on_failure if step.action in SYNCED else "keep",
            )
            for step in plan.steps
        ),
        sets=tuple(PlannedSet(**one.shown()) for one in plan.stack.environment.sets),
    )


def _typed(step: Step, hooks: Iterable[Hook]) -> tuple[str, ...]:
    """Return commands as they could be typed; none if the step does not sync."""
    return tuple(shlex.join(hook.argv) for hook in hooks) if step.action in SYNCED else ()
