"""Runs helm for the steps of a plan: upgrades, rollbacks, uninstalls; cleans up after a helm that was killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from devtools.charts.crds import has_crds
from devtools.engine.prestart import LONGEST, Prestart
from devtools.errors import Interrupted
from devtools.events import Notice
from devtools.helm.commands import Deployed, parse_upgrade
from devtools.helm.failures import unrecorded
from devtools.helm.labels import LABEL_CHART, LABEL_DIGEST, LABEL_LAUNCH, LABEL_LAYER, LABEL_STACK
from devtools.helm.ownership import launch_token, token_for_next_revision
from devtools.model import BUSY, STAND_IN, Action, Hook, ObjectRef, Plan, Release, Step
from devtools.process.runner import Command, Result
from devtools.readiness.wait import Failure
from devtools.releases.command_runner import Commands
from devtools.releases.crds import apply_crds
from devtools.releases.facts import cut_off_revisions, newest_records, record_path, scoped, stack_of
from devtools.releases.helm_process import HelmProcess
from devtools.releases.namespaces import make_namespace
from devtools.releases.recovery import (
    await_other_helm,
    is_stand_in,
    left,
    newest,
    newest_state,
    records,
    recovery,
)
from devtools.releases.recreate import Refused, overcome
from devtools.releases.removal import (
    await_gone,
    await_pods,
    left_by_hooks,
    refused_deletions,
    remove_hooks,
    spare_crds,
    tests_of,
)
from devtools.releases.retry_policy import POLICIES, FailedHelm, Policy, Retries, recognise
from devtools.releases.takeover import keep_data
from devtools.run_context.session import Session
from devtools.smoke.hook_watcher import HookWatch


class HelmSteps:
    """The helm processes of one plan; raises DevtoolsError if one fails and is not retried."""

    def __init__(self, session: Session, plan: Plan) -> None:
        """`close` must be called after the last step."""
        self._session = session
        self._stack = plan.stack.name  # marks releases as this stack's
        self._commands = Commands(session)
        steps = {step.id: step for step in plan.steps}
        self._prestarted = Prestart(steps, session.slots, partial(self._launch, longest=LONGEST))

    def prestart(self, step: Step) -> None:
        """Start a step's helm before its turn, if there is CPU to spare."""
        self._prestarted.start(step)

    def close(self) -> None:
        """End the processes that were started for steps whose turn never came."""
        self._prestarted.close()

    def hooks(self, release: Release, hooks: Iterable[Hook]) -> None:
        """Run commands of a release, one after the other."""
        for hook in hooks:
            self._session.wait_for(release, hook.timeout).say(f"hook {hook.argv[0]}")
            env = {"DEVTOOLS_NAMESPACE": release.namespace, "DEVTOOLS_RELEASE": release.name}
            self._commands.hook(hook, release, env)

    def upgrade(self, step: Step) -> Deployed:
        """Make the namespace, apply CRDs, run `helm upgrade --install`; retry as `releases.retry_policy` says."""
        session, release = self._session, step.release
        wait, warn = session.wait_for(release), partial(session.warn, release)
        recreation = Policy(attempts=1, recover=partial(overcome, session.kube, step, wait, warn))
        retries = Retries(wait, warn, {**POLICIES, Refused: recreation})
        deployed = retries.run(partial(self._attempt, step, retries))
        self._prestarted.start_dependents(release.id)
        return deployed

    def _attempt(self, step: Step, retries: Retries) -> Deployed:
        """Upgrade once, after cleaning up what an earlier attempt may have left."""
        release, session = step.release, self._session
        # a process that waits holds no slot
        labels, create = {LABEL_STACK: self._stack}, release.create_namespace
        make_namespace(session.kube, release.namespace, labels, session.wait_for(release), create=create)
        await_gone(session.observer, step.going, session.wait_for(release))
        if step.recover:
            self._await_other_helm(step)
        if has_crds(release.chart.path):
            apply_crds(session, release, self._stack, session.wait_for(release))
        with session.slots.hold(release.id):
            if session.cancel.is_set():  # while it waited for its turn
                raise Interrupted(session.cancel.reason)
            self._clear(step, again=retries.clear)
            launch = self._prestarted.claim(step) or self._launch(step)
            launch.give(session.values[step.id])
            self._prestarted.start_dependents(step.id)
            answer = self._finish(release, "upgrade", launch).stdout
        return parse_upgrade(answer, release.namespace)

    def uninstall(self, step: Step) -> None:
        """Remove a release except for its CRDs, and wait until its objects are gone; pods may still be terminating."""
        self._await_other_helm(step)
        self._remove(step.release, self._session.slots.hold(step.release.id))

    def _remove(self, release: Release, slot: contextlib.AbstractContextManager[Any]) -> None:
        """Do what `uninstall` says; `slot` is held while helm runs."""
        kube, observer, wait = self._session.kube, self._session.observer, self._session.wait_for(release)
        stored = spare_crds(kube, release.id, self._stack)
        objects = tuple(scoped(kube, ref) for ref in stored.objects()) if stored else ()
        if namespaces := [ref.name for ref in objects if (ref.api_version, ref.kind) == ("v1", "Namespace")]:
            await_pods(observer, namespaces, wait)
        if revision := newest(kube, release.id):
            self._label_next(release, revision, "uninstall", revision)
        tests = tests_of(kube, release.id) if release.smoke or (stored and stored.tests()) else ()
        with slot:
            self._uninstall(release, objects)
        if stored:
            remove_hooks(kube, stored, tests)
            for left in left_by_hooks(kube, stored):
                self._session.bus.emit(Notice(level="info", message=left, release=str(release.id)))
            observer.renew()
            await_gone(observer, objects, wait)

    def _uninstall(self, release: Release, objects: Sequence[ObjectRef]) -> None:
        """Run `helm uninstall`; report it if the user may not delete its objects, because helm does not report that."""
        command = self._session.helm.uninstall(release.id, timeout=release.timeout)
        retries = Retries(self._session.wait_for(release), partial(self._session.warn, release))
        try:
            retries.run(partial(self._run, release, "uninstall", command))
        except Failure as error:
            if found := refused_deletions(self._session.kube, objects):
                hint = "allow this user to get, list and delete the kinds that the chart makes"
                raise Failure(found[0], hint=hint, details=found[1:]) from error
            raise

    def _launch(self, step: Step, longest: float = 0.0) -> HelmProcess:
        """Start a release's helm, which may wait for its values for this many seconds."""
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

        timeout = (command.timeout or 0.0) + longest
        run = partial(self._commands.run, release, quiet=True)
        return HelmProcess(replace(command, timeout=timeout), run, reads=True)

    def _clear(self, step: Step, *, again: bool) -> None:
        """Undo and forget what a killed helm left of a release; raise Failure if the release is not this stack's."""
        kube, release = self._session.kube, step.release
        known = records(kube, release.id)
        if newest_state(known) in BUSY:  # perhaps only since the plan was made
            self._await_other_helm(step)
            known = records(kube, release.id)
        owner = stack_of(known)
        if known and owner != self._stack and not step.adopt and newest_state(known) != "uninstalled":
            raise Failure(
                "a release of this name was installed by another tool in the meantime",
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

    def _recover(self, step: Step, state: str, known: Sequence[Mapping[str, Any]]) -> None:
        """Roll back or remove a release that is stuck in `pending-*` or was never deployed."""
        kube, release = self._session.kube, step.release
        way = recovery(state, known, adopt=step.adopt)
        self._session.warn(release, way.notice(state))
        if way.how == "forget":
            kube.delete(record_path(release.id, way.revision))
        elif way.how == "rollback":
            self.roll_back(release, way.revision)
        else:
            self._remove(release, contextlib.nullcontext())  # it is the release's turn already

    def roll_back(self, release: Release, revision: int) -> None:
        """Deploy an earlier revision again as a new one; waits for hooks only."""
        self._label_next(release, revision, "rollback", newest(self._session.kube, release.id) + 1)
        command = self._session.helm.rollback(release.id, revision, timeout=release.timeout)
        self._run(release, "rollback", command)

    def _label_next(self, release: Release, revision: int, verb: str, writes: int) -> None:
        """Label a revision so that the one helm makes from it is recognised as this run's."""
        labels = {LABEL_LAUNCH: token_for_next_revision(self._session.origin, verb, writes)}
        self._session.kube.merge(record_path(release.id, revision), {"metadata": {"labels": labels}})

    def _run(self, release: Release, verb: str, command: Command) -> Result:
        """Run helm to its end; raise the classified error if it fails."""
        return self._finish(release, verb, HelmProcess(command, partial(self._commands.run, release)))

    def _await_other_helm(self, step: Step) -> None:
        session, wait = self._session, self._session.wait_for(step.release)
        await_other_helm(session.kube, step.release, wait, origin=session.origin, adopt=step.take_pending)

    def _finish(self, release: Release, verb: str, launch: HelmProcess) -> Result:
        """Watch the hooks of a helm until it has ended; raise the classified error if it failed."""
        session, started = self._session, time.monotonic()
        watch = HookWatch(session=session, release=release.id, verb=verb, say=session.wait_for(release).say)
        result = watch.run(launch)
        if result.ok:
            if not (reason := unrecorded(result.stderr)):
                return result
            result = replace(result, stderr=f"Error: cannot record the release as deployed: {reason}")
        failed = FailedHelm(
            release=release,
            verb=verb,
            result=result,
            started=started,
            observer=session.observer,
            values=session.values.get(release.id) or {},
        )
        if error := recognise(failed):
            raise error
        raise Failure(failed.message.text, hint=failed.message.hint, details=watch.log())
