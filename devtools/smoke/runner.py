"""Runs a smoke release's Helm tests: each by itself, all in parallel, with the log of every container."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from functools import partial
from threading import BoundedSemaphore
from typing import Any

from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted
from devtools.events import Notice, TestFinished, TestStarted, Verdict
from devtools.helm.commands import parse_tests
from devtools.helm.failures import classify
from devtools.model import Release, ReleaseId
from devtools.process.runner import Cancel, Result
from devtools.process.waiting import wait_until
from devtools.readiness.diagnostics import events_about
from devtools.readiness.wait import Failure
from devtools.releases.removal import INSTANCE, is_test
from devtools.releases.retry_policy import Outage, Retries, thread_limit
from devtools.run_context.session import Session
from devtools.smoke.deadline import SLACK
from devtools.smoke.record_guard import RecordGuard
from devtools.smoke.watch import Test, Watch

AT_ONCE = 16  # tests that run at the same time: each has a waiting helm of 60 MB
MORE = 15  # seconds that helm may wait longer than the test may run
_TESTS = frozenset({"Job", "Pod"})
CLEARED_IN = 120.0  # seconds that the deletion of an earlier run's objects may take


@dataclass(frozen=True)
class TestResult:
    """How a test ended."""

    verdict: Verdict
    reason: str = ""
    details: tuple[str, ...] = ()
    timed_out: bool = False


class Smoke:
    """Runs the tests of smoke releases on one cluster."""

    def __init__(self, session: Session, note: Callable[[DevtoolsError], None]) -> None:
        """`note` gets errors that concern the whole run."""
        self._session = session
        self._note = note
        self._kube = session.kube
        self._bus = session.bus
        self._slots = BoundedSemaphore(AT_ONCE)

    def run(self, release: Release) -> tuple[TestFinished, ...]:
        """Run every test hook of a deployed release and return how each ended; emit the events of each.

        Raises Interrupted or DevtoolsError if the tests cannot even be found.
        """
        hooks = self._hooks(release)
        tests = [Test(release=release, hook=hook) for hook in hooks if hook["kind"] in _TESTS]
        if not tests:
            self._warn(release, "has no tests")
            return ()
        self._prune(release.id, {test.name for test in tests})
        self._make(release.id, [hook for hook in hooks if hook["kind"] not in _TESTS])
        record = RecordGuard(self._kube, release.id)
        with ThreadPoolExecutor(min(len(tests), AT_ONCE), thread_name_prefix="smoke") as pool:
            finished: dict[str, TestFinished] = {}
            for weight in sorted({test.weight for test in tests}):  # tests may need objects of a lower weight
                turn = [test for test in tests if test.weight == weight]
                finished |= {done.test: done for done in pool.map(lambda test: self._test(test, record), turn)}
            return tuple(finished[test.name] for test in tests)

    def _hooks(self, release: Release) -> tuple[dict[str, Any], ...]:
        """Return the test hooks of the deployed revision: Jobs and bare Pods, and the objects they need."""
        result = self._session.runner.run(self._session.helm.hooks(release.id))
        if result.cancelled:
            raise Interrupted(self._session.cancel.reason or "interrupted")
        if not result.ok:
            failure = classify(result.stderr)
            message = f"cannot read the tests of {release.id}: {failure.text}"
            if failure.kind != "away":
                raise DevtoolsError(message)
            self._kube.check()
            raise Outage(message)
        return parse_tests(result.stdout)

    def _make(self, release: ReleaseId, hooks: Sequence[dict[str, Any]]) -> None:
        """Create the ConfigMaps, accounts and other objects that are test hooks themselves.

        `helm test` skips every hook except the named one, even those that it needs.
        """
        for hook in hooks:
            metadata = hook["metadata"]
            resource = self._kube.resource(hook["kind"], str(hook.get("apiVersion", "")))
            if resource is None:
                raise DevtoolsError(
                    f"kind {hook['kind']}, which a test of {release} needs, does not exist on the cluster"
                )
            where = str(metadata.get("namespace") or release.namespace) if resource.namespaced else ""
            self._kube.apply(resource.path(where, str(metadata["name"])), hook)

    def _prune(self, release: ReleaseId, current: set[str]) -> None:
        """Delete test Jobs of earlier revisions that the chart no longer has."""
        path = f"/apis/batch/v1/namespaces/{release.namespace}/jobs"
        for job in self._kube.items(path, labelSelector=f"{INSTANCE}={release.name}"):
            metadata = job["metadata"]
            if is_test(metadata) and metadata["name"] not in current:
                self._kube.delete(f"{path}/{metadata['name']}")

    def _test(self, test: Test, record: RecordGuard) -> TestFinished:
        """Run one test from start to end without raising."""
        about: dict[str, Any] = {"release": str(test.release.id), "layer": test.release.layer, "test": test.name}
        with self._slots:
            started, begins = time.monotonic(), not self._session.cancel.is_set()
            if begins:
                self._bus.emit(TestStarted(**about))
            end = self._safely(test, record, Verdict.INTERRUPTED if begins else Verdict.SKIPPED)
            finished = TestFinished(**about, **vars(end), seconds=time.monotonic() - started)
            self._bus.emit(finished)
            return finished

    def _safely(self, test: Test, record: RecordGuard, interrupted: Verdict) -> TestResult:
        """Run it, again after an outage; record errors of the whole run. `interrupted` is the verdict of Ctrl-C."""
        retries = Retries(self._session.wait_for(test.release), partial(self._warn, test.release))
        try:
            return retries.run(partial(self._run, test, record))
        except Interrupted as error:
            return TestResult(interrupted, error.message)
        except EnvironmentFault as error:
            self._note(error)
            return TestResult(Verdict.SKIPPED, error.message)
        except DevtoolsError as error:
            return TestResult(Verdict.FAILED, error.message)
        except Exception as error:  # noqa: BLE001 - the other tests must be able to end in order
            bug = self._session.bug(error)
            self._note(bug)
            return TestResult(Verdict.FAILED, bug.message)

    def _run(self, test: Test, record: RecordGuard) -> TestResult:
        """Run `helm test` for one hook while watching the objects it makes."""
        if self._session.cancel.is_set():
            raise Interrupted(self._session.cancel.reason)
        watch, stop = Watch(session=self._session, test=test, before=self._clear(test)), Cancel()
        limit = test.deadline.seconds + (test.release.timeout + SLACK if test.deadline.is_own else 0.0)
        command = self._session.helm.test(test.release.id, test.name, timeout=limit + MORE)
        with ThreadPoolExecutor(1, thread_name_prefix="helm-test") as own:
            with record.turn:
                helm = own.submit(self._session.runner.run, replace(command, cancel=stop))
                try:
                    while not helm.done() and not self._begun(test, watch.before):
                        wait_for((helm,), 0.05)
                except BaseException:  # helm may already have left only this test in the record
                    stop.set("the run ended")
                    wait_for((helm,))
                    record.restore_after_cancel()
                    raise
                record.restore()
            while not helm.done():
                wait_for((helm,), 0.1)
                watch.look()
                if watch.needs_no_helm():
                    stop.set("its wait cannot succeed")
            watch.finish()
            return self._end(watch, helm.result())

    def _clear(self, test: Test) -> str:
        """Delete the object that an earlier run of the test left, wait until it is gone, and return its uid.

        Helm would delete it too, but may then mistake the old object's end for that of the new one.
        """
        path = self._kube.path_of(test.ref) or ""
        item = self._kube.get(path) if path else None
        if item is None:
            return ""
        uid = str(item["metadata"]["uid"])
        self._kube.delete(path)

        def is_gone() -> bool:
            found = self._kube.get(path)
            return found is None or found["metadata"]["uid"] != uid

        if not wait_until(is_gone, CLEARED_IN, self._session.cancel):
            raise Failure(f"the {test.kind} {test.name} of an earlier run is still being deleted")
        return uid

    def _begun(self, test: Test, before: str) -> bool:
        """Return whether Helm has made the test's object: it writes the record before, and does not read it again."""
        item = self._kube.get(self._kube.path_of(test.ref) or "/")
        return item is not None and str((item.get("metadata") or {}).get("uid")) != before

    def _end(self, watch: Watch, result: Result) -> TestResult:
        """Return the outcome from Helm's result and the watched objects."""
        if watch.symptom:
            failure = watch.detector.failure(watch.symptom, logs=False)
            return TestResult(Verdict.FAILED, failure.message, (*failure.details, *watch.tail))
        if self._session.cancel.is_set() and not result.ok:
            return TestResult(Verdict.INTERRUPTED, self._session.cancel.reason, tuple(watch.tail))
        if watch.is_gone and not result.ok:
            gone = f"its {watch.test.kind} was deleted while it ran"
            if watch.test.is_deleted_on_failure:
                gone = "it failed, and Helm deleted it by its hook-delete-policy before the reason could be read"
            return TestResult(Verdict.FAILED, watch.exit() or gone, tuple(watch.tail))
        if not result.ok:
            return self._failure(watch, result)
        if watch.test.name not in result.stdout:
            return TestResult(Verdict.FAILED, "helm did not run it: the release's record does not hold it any more")
        return self._success(watch)

    def _success(self, watch: Watch) -> TestResult:
        """Return passed if a kubelet ran it; a pod that only a Stage completed proves nothing about its script."""
        real, nodes = self._session.real_node, watch.nodes()
        if real is not None and nodes != {real}:
            reason = "no real node ran it" if nodes else "its pod was deleted before its status could be read"
            return TestResult(Verdict.SIMULATED, reason)
        skipped = watch.skipped()
        return TestResult(Verdict.PASSED) if skipped is None else TestResult(Verdict.SKIPPED, skipped)

    def _failure(self, watch: Watch, result: Result) -> TestResult:
        """Return the Job's or container's own reason, else Helm's; a successful test has passed whatever Helm says."""
        test = watch.test
        failure = classify(result.stderr)
        if watch.ended == "complete":
            why = "helm did not notice" if result.cancelled else f"helm: {failure.text}"
            self._warn(test.release, f"{test.name} succeeded, but {why}")
            return self._success(watch)
        if fault := thread_limit(result):
            raise fault
        if failure.kind == "away":
            self._kube.check()
            raise Outage(
                f"the cluster became unreachable during test {test.name}: {failure.text}", hint="invoke cluster.status"
            )
        if late := watch.expiry():
            if watch.has_passed():
                return self._success(watch)
            return TestResult(Verdict.FAILED, f"{late}; {test.deadline.hint}", tuple(watch.tail), timed_out=True)
        reason = watch.exit() or watch.message or ("timed out" if result.timed_out else failure.text)
        details = tuple(watch.tail) or events_about(self._kube, test.ref.namespace, test.kind, test.name)
        return TestResult(Verdict.FAILED, reason, tuple(details))

    def _warn(self, release: Release, message: str) -> None:
        self._bus.emit(Notice(level="warning", message=message, release=str(release.id)))
