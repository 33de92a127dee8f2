"""What each kind of step does to one release."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from devtools.charts.crds import has_crds
from devtools.engine.outcome import Done
from devtools.engine.prestart import LONGEST, Ahead
from devtools.errors import Interrupted
from devtools.events import ContractChecked, Notice, Outcome, StepWaiting, Verdict
from devtools.helm.commands import Deployed, parse_upgrade
from devtools.helm.failures import classify
from devtools.helm.labels import LABEL_CHART, LABEL_DIGEST, LABEL_LAUNCH, LABEL_LAYER, LABEL_STACK
from devtools.helm.ownership import launch_token, next_token
from devtools.model import BUSY, STAND_IN, Action, Contract, ObjectRef, Plan, Release, Step, Sweep
from devtools.process.runner import Command, Result
from devtools.readiness.contracts import Contracts, deadline
from devtools.readiness.wait import Failure, LateFailure, Wait, wait_ready
from devtools.releases.cleanup import remove_crds, remove_namespaces
from devtools.releases.commands import Commands
from devtools.releases.crds import apply_crds
from devtools.releases.facts import cut_off_revisions, mark_ready, newest_records, record_path, stack_of
from devtools.releases.launch import Launch, exhausted, killed
from devtools.releases.missing_crds import unknown
from devtools.releases.namespaces import make_namespace
from devtools.releases.nondeterminism import rerendered
from devtools.releases.outages import Outage, despite_outages
from devtools.releases.recovery import (
    await_other_helm,
    is_stand_in,
    left,
    newest,
    newest_state,
    records,
    recovery,
    unlabelled_record,
)
from devtools.releases.rejections import despite_refusals, refused
from devtools.releases.removal import (
    await_gone,
    await_pods,
    left_by_hooks,
    refused_deletions,
    remove_hooks,
    spare_crds,
    tests_of,
)
from devtools.releases.takeover import keep_data
from devtools.releases.webhooks import despite_webhooks, unanswered
from devtools.run.session import Session
from devtools.smoke.hook_watcher import HookWatch


class Steps:
    """Does steps; raises DevtoolsError where one fails."""

    def __init__(self, session: Session, plan: Plan) -> None:
        """For the steps of one plan; `close` must be called after the last."""
        self._session = session
        self._stack = plan.stack.name  # marks releases as this stack's
        self._commands = Commands(session)
        steps = {step.id: step for step in plan.steps}
        self._ahead = Ahead(steps, session.slots, partial(self._launch, longest=LONGEST))
        self._contracts = Contracts(
            session.kube,
            session.observer,
            simulated=session.real_node is not None,
            real_node=session.real_node or "",
        )

    def sync(self, step: Step) -> Done:
        """Bring one release to what is declared, wait for it, check its contract, note that it is ready."""
        release, session = step.release, self._session
        self._ahead.prepare(step)
        for hook in release.before:
            self._wait(release).say(f"hook {hook.argv[0]}")
            self._commands.hook(release, hook.argv, hook.timeout)
        deployed = despite_webhooks(lambda: self._upgrade(step), self._wait(release), self._warner(release))
        self._ahead.look_on(release.id)
        session.observer.renew()
        objects = tuple(self._scoped(ref) for ref in deployed.objects)
        wait = self._wait(release)
        if release.wait:
            wait_ready(session.kube, session.observer, objects, wait)
        if any(ref.kind == "CustomResourceDefinition" for ref in objects):
            session.kube.discover()  # once they are established, not before
        self.keep_contract(release, wait)
        if step.action is Action.UPGRADE and (fields := rerendered(session.kube, release.id, deployed.revision)):
            self._warner(release)(f"rendered differently from the same inputs: {fields}")
        mark_ready(session.kube, release.id, deployed.revision, step.digest, objects)
        outcome = Outcome.INSTALLED if step.action is Action.INSTALL else Outcome.UPGRADED
        return self._done(outcome, deployed.revision, objects)

    def close(self) -> None:
        """End what was begun for steps that never came."""
        self._ahead.close()

    def _done(self, outcome: Outcome, revision: int, objects: tuple[ObjectRef, ...]) -> Done:
        """Return how a step succeeded, with what a simulator answered for."""
        simulated = self._contracts.simulated_pods(objects)
        return Done(outcome=outcome, revision=revision, objects=objects, simulated_pods=simulated)

    def confirm(self, step: Step, objects: tuple[ObjectRef, ...]) -> Done:
        """A release that is not to be touched: only its contract is looked at; Failure where it is not deployed."""
        if step.action is Action.INSTALL:
            raise Failure(f"cannot be tested: {step.reason}", hint=f"invoke layer {step.release.layer}")
        if self._session.test:
            self.keep_contract(step.release, self._wait(step.release))
        return self._done(Outcome.UNCHANGED, step.revision, objects)

    def uninstall(self, step: Step) -> Done:
        """Remove a release but for its CRDs, and wait until its objects are gone.

        Their pods may still be ending then; only who takes away a namespace waits for them.
        """
        if step.sweep is Sweep.NAMESPACES:
            remove_namespaces(self._session, self._stack, self._wait(step.release))
        elif step.sweep is Sweep.CRDS:
            remove_crds(self._session, self._stack, self._wait(step.release), force=step.force)
        else:
            self._await_other_helm(step)
            self._remove(step.release, self._session.slots.hold(step.release.id))
        return Done(outcome=Outcome.UNINSTALLED, revision=0)

    def _remove(self, release: Release, slot: contextlib.AbstractContextManager[Any]) -> None:
        """See `uninstall`; `slot` is held while helm runs."""
        kube, observer, wait = self._session.kube, self._session.observer, self._wait(release)
        stored = spare_crds(kube, release.id, self._stack)
        objects = tuple(self._scoped(ref) for ref in stored.objects()) if stored else ()
        if namespaces := [ref.name for ref in objects if (ref.api_version, ref.kind) == ("v1", "Namespace")]:
            await_pods(observer, namespaces, wait)
        if revision := newest(kube, release.id):
            self._label_next(release, revision, "uninstall", revision)
        tests = tests_of(kube, release.id) if release.smoke or (stored and stored.tests()) else ()
        command = self._session.helm.uninstall(release.id, timeout=release.timeout)
        with slot:
            try:
                despite_outages(lambda _: self._must(release, "uninstall", command), self._warner(release))
            except Failure as error:  # helm says that it failed, and not why
                if refused_ones := refused_deletions(kube, objects):
                    hint = "this user must be allowed to delete what the chart makes: docs/clusters.md"
                    raise Failure(refused_ones[0], hint=hint, details=refused_ones[1:]) from error
                raise
        if stored:
            remove_hooks(kube, stored, tests)
            if left := left_by_hooks(kube, stored):
                self._session.bus.emit(Notice(level="info", message=left, release=str(release.id)))
            observer.renew()
            await_gone(kube, observer, objects, wait)

    def keep_contract(self, release: Release, wait: Wait) -> None:
        """Wait for each contract; all verdicts are told, the first failed one raises Failure."""
        broken: list[str] = []
        details: tuple[str, ...] = ()
        for contract in release.contract:
            checked = self._contracts.settle(contract, release.namespace, self._contract_wait(release, contract, wait))
            self._session.bus.emit(
                ContractChecked(
                    release=str(release.id),
                    layer=release.layer,
                    contract=str(contract),
                    verdict=checked.verdict,
                    value=checked.value,
                    reason=checked.reason,
                )
            )
            if checked.verdict is Verdict.FAILED:
                broken.append(f"contract {contract}: {checked.reason}")
                details = details or checked.details
        if broken:
            raise Failure(broken[0], details=(*broken[1:], *details))

    def _contract_wait(self, release: Release, contract: Contract, wait: Wait) -> Wait:
        """Its own time where it has one, else what is left of the release's."""
        return self._wait(release, contract.timeout) if contract.timeout else wait

    def _wait(self, release: Release, timeout: float = 0.0) -> Wait:
        """Patience of so many seconds, or of the release's timeout, telling events what for and how long still."""
        limit = deadline(timeout or release.timeout)

        def say(what: str) -> None:
            left = round(max(limit - time.monotonic(), 0.1), 1)
            event = StepWaiting(release=str(release.id), layer=release.layer, what=what, left=left)
            self._session.bus.emit(event)

        return Wait(deadline=limit, say=say, cancel=self._session.cancel)

    def _upgrade(self, step: Step) -> Deployed:
        """Namespace, CRDs and `helm upgrade --install`, each when it is the release's turn."""
        release, session = step.release, self._session
        # it may wait, so it holds no slot
        make_namespace(session.kube, release.namespace, {LABEL_STACK: self._stack}, self._wait(release))
        await_gone(session.kube, session.observer, step.going, self._wait(release))
        if step.recover:
            self._await_other_helm(step)  # before it takes a slot
        with session.slots.hold(release.id):
            crds = has_crds(release.chart.path)
            answer = "" if crds else self._helm(step)
        if crds:
            apply_crds(session, release, self._stack, self._wait(release))  # it waits, so it holds no slot
            with session.slots.hold(release.id):
                answer = self._helm(step)
        return parse_upgrade(answer, release.namespace)

    def _helm(self, step: Step) -> str:
        """Clear what a killed run left, then `helm upgrade --install`; its answer."""
        release, session = step.release, self._session
        if session.cancel.is_set():  # while it waited for its turn
            raise Interrupted(session.cancel.reason)

        def work(again: bool) -> str:  # noqa: FBT001 - as despite_outages calls it
            self._clear(step, again=again)
            return self._helm_upgrade(step)

        warn = self._warner(release)
        return despite_outages(despite_refusals(work, session.kube, self._wait(release), warn, step), warn)

    def _helm_upgrade(self, step: Step) -> str:
        """One `helm upgrade --install`, started by now or long ago; its answer."""
        values = self._session.values[step.id]
        launch = self._ahead.take(step) or self._launch(step)
        launch.give(values)
        self._ahead.look_on(step.id)
        return self._end(step.release, "upgrade", launch).stdout

    def _launch(self, step: Step, longest: float = 0.0) -> Launch:
        """Start a release's helm, which may wait for its values for so many seconds."""
        release = step.release
        self._session.redactor.learn(self._session.values[step.id])
        labels = {
            LABEL_DIGEST: step.digest,
            LABEL_LAYER: release.layer,
            LABEL_STACK: self._stack,
            LABEL_CHART: release.chart.kind,
            LABEL_LAUNCH: launch_token(self._session.origin),
            **release.labels,
        }
        command = self._session.helm.upgrade(
            release.id,
            release.chart.path,
            timeout=release.timeout,
            history=release.history,
            labels=labels,
            take=step.take,
            first=step.action is Action.INSTALL,
        )

        def work(given: Command, launch: Launch) -> Result:
            def hushed() -> bool:
                return launch.is_hushed

            return self._commands.run(release, given, quiet=True, hushed=hushed)

        return Launch(replace(command, timeout=(command.timeout or 0.0) + longest), work, reads=True)

    def _warner(self, release: Release) -> Callable[[str], None]:
        """Emits warnings about a release."""
        return lambda line: self._session.bus.emit(Notice(level="warning", message=line, release=str(release.id)))

    def _clear(self, step: Step, *, again: bool) -> None:
        """Undo and forget what a helm that was cut off left of a release; Failure where the release is not ours."""
        kube, release = self._session.kube, step.release
        known = records(kube, release.id)
        if newest_state(known) in BUSY:  # perhaps only since the plan was made
            self._await_other_helm(step)
            known = records(kube, release.id)
        owner = stack_of(known)
        if known and owner != self._stack and not step.adopt and newest_state(known) != "uninstalled":
            raise Failure(
                "a release of this name was installed by other means meanwhile",
                hint=f"to adopt it: invoke layer {release.layer} --take-ownership {release.id}",
            )
        if step.adopt:
            keep_data(kube, release.id, known)
        if not (again or step.recover or step.cut_off):
            return
        if is_stand_in(known) and release.chart.kind != STAND_IN and not step.adopt:
            self._remove(release, contextlib.nullcontext())  # it is the release's turn already
            known = records(kube, release.id)
        state = left(known)
        if state and not (step.adopt and state == "failed"):
            self._recover(step, state, known)
            known = records(kube, release.id)
        for revision in cut_off_revisions(known, newest_records(known)).get(release.id, ()):
            kube.delete(record_path(release.id, revision))

    def _await_other_helm(self, step: Step) -> None:
        session, wait = self._session, self._wait(step.release)
        await_other_helm(session.kube, step.release, wait, origin=session.origin, adopt=step.take_pending)

    def _recover(self, step: Step, state: str, known: Sequence[Mapping[str, Any]]) -> None:
        """A release stuck in `pending-*` or never deployed: back to what worked, or away."""
        helm, kube, release = self._session.helm, self._session.kube, step.release
        way = recovery(state, known, adopt=step.adopt)
        self._warner(release)(way.told(state))
        if way.how == "forget":
            kube.delete(record_path(release.id, way.revision))
        elif way.how == "rollback":
            self._label_next(release, way.revision, "rollback", newest(kube, release.id) + 1)
            self._must(release, "rollback", helm.rollback(release.id, way.revision, timeout=release.timeout))
        else:
            self._remove(release, contextlib.nullcontext())  # it is the release's turn already

    def _label_next(self, release: Release, revision: int, verb: str, writes: int) -> None:
        """Label a revision so that the one that helm makes of it is known as this run's."""
        labels = {LABEL_LAUNCH: next_token(self._session.origin, verb, writes)}
        self._session.kube.merge(record_path(release.id, revision), {"metadata": {"labels": labels}})

    def _must(self, release: Release, verb: str, command: Command) -> Result:
        """Run helm; raises what it means when it does not end well."""
        launch = Launch(command, lambda given, _: self._commands.run(release, given))
        return self._end(release, verb, launch)

    def _end(self, release: Release, verb: str, launch: Launch) -> Result:
        """Look after a helm until it has ended; raises what it means when that is not well.

        Helm does not always say that the API server went away (a hook's Job is then just `not ready`), so it is asked.
        """
        started = time.monotonic()
        watch = HookWatch(session=self._session, release=release.id, verb=verb, say=self._wait(release).say)
        result = watch.run(launch)
        if result.ok:
            return result
        if result.cancelled:
            raise Interrupted(f"helm {verb} of {release.id} was interrupted")
        if fault := exhausted(result):
            raise fault
        failure = classify(result.stderr)
        text = failure.text
        self._session.kube.check()
        if failure.is_away or (failure.kind != "chart" and self._session.kube.was_away(started)):
            raise Outage(f"the API server went away for a while: {text}", hint="run the same command again")
        if result.timed_out:
            raise LateFailure(f"helm {verb} took longer than {release.timeout:.0f} s: {text}")
        kube, values = self._session.kube, self._session.values.get(release.id) or {}
        known = killed(result) or unlabelled_record(kube, release.id, text)
        known = known or refused(kube, release, result.stderr) or unanswered(text)
        known = known or unknown(text, release.chart.path, values)
        raise known or Failure(text, hint=failure.hint, details=watch.said())

    def _scoped(self, ref: ObjectRef) -> ObjectRef:
        """The manifest does not tell namespaced kinds from others; the API server does."""
        resource = self._session.kube.resource(ref.kind, ref.api_version)
        if resource is None or resource.namespaced:
            return ref
        return ObjectRef(ref.api_version, ref.kind, "", ref.name)
