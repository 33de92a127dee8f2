"""Runs a smoke release's Helm tests: each by itself, all in parallel, with the log of every container.

`helm test` says only that a test failed, and its logs are wrong or missing in several versions (helm/helm#11236,
#9098, #6902), so logs are followed here by the Job's label while Helm runs it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any

from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.process import Cancel, Result
from devtools.run.events import Notice, TestFinished, TestOutput, TestStarted, Verdict
from devtools.run.readiness import PATIENCE, Trouble, condition, job_result, pod_troubles
from devtools.run.record import Record
from devtools.run.session import Session
from devtools.run.waiting import Failure, events_about
from devtools.stack.model import Release, ReleaseId
from devtools.tools.helm import parse_failure, parse_tests

JOB_LABEL = "job-name"
TAIL = 40  # log lines shown with a failure
CLEARED_IN = 30.0  # seconds that the leftovers of an earlier run may take to go
LOGS_LATE = 5.0  # seconds that logs may lag behind the end of a test


@dataclass(slots=True)
class _Watch:
    """What one test's pods said so far."""

    followed: dict[tuple[str, str], Thread] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    since: dict[str, float] = field(default_factory=dict)
    pods: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    trouble: Trouble | None = None


class Smoke:
    """Runs the tests of smoke releases on one cluster."""

    def __init__(self, session: Session) -> None:
        """Everything it needs comes with the session."""
        self._session = session
        self._kube = session.kube
        self._bus = session.bus
        self._real_node = session.real_node

    def run(self, release: Release) -> tuple[TestFinished, ...]:
        """Run every test hook of a deployed release and say how each ended; emits the events of each."""
        hooks = self._hooks(release.id)
        if not hooks:
            self._bus.emit(Notice(level="warning", message=f"{release.id} has no tests", release=str(release.id)))
            return ()
        self._prune(release.id, {str(hook["metadata"]["name"]) for hook in hooks})
        record = Record(self._kube, release.id)
        with ThreadPoolExecutor(len(hooks), thread_name_prefix="smoke") as pool:
            return tuple(pool.map(lambda hook: self._test(release, hook, record), hooks))

    def _hooks(self, release: ReleaseId) -> list[dict[str, Any]]:
        """The tests of the deployed revision: Jobs and bare Pods."""
        result = self._session.runner.run(self._session.helm.hooks(release))
        if not result.ok:
            text, unreachable = parse_failure(result.stderr)
            raise (EnvironmentFault if unreachable else DevtoolsError)(f"cannot read the tests of {release}: {text}")
        return [hook for hook in parse_tests(result.stdout) if hook["kind"] in {"Job", "Pod"}]

    def _prune(self, release: ReleaseId, kept: set[str]) -> None:
        """Delete test Jobs of earlier revisions that the chart no longer has."""
        path = f"/apis/batch/v1/namespaces/{release.namespace}/jobs"
        for job in self._kube.items(path, labelSelector=f"app.kubernetes.io/instance={release.name}"):
            metadata = job["metadata"]
            is_test = "test" in str((metadata.get("annotations") or {}).get("helm.sh/hook", ""))
            if is_test and metadata["name"] not in kept:
                self._kube.delete(f"{path}/{metadata['name']}")

    def _test(self, release: Release, hook: Mapping[str, Any], record: Record) -> TestFinished:
        """One test, start to end."""
        name, where, started = str(hook["metadata"]["name"]), str(release.id), time.monotonic()
        self._bus.emit(TestStarted(release=where, layer=release.layer, test=name))
        try:
            verdict, reason, details = self._judge(release, hook, name, record)
        except EnvironmentFault:
            raise
        except DevtoolsError as error:
            verdict, reason, details = Verdict.FAILED, error.message, ()
        finished = TestFinished(
            release=where,
            layer=release.layer,
            test=name,
            verdict=verdict,
            seconds=time.monotonic() - started,
            reason=reason,
            details=tuple(details),
        )
        self._bus.emit(finished)
        return finished

    def _judge(
        self, release: Release, hook: Mapping[str, Any], name: str, record: Record
    ) -> tuple[Verdict, str, Sequence[str]]:
        """Run `helm test` for one hook while following its pods."""
        watch, stop = _Watch(), Cancel()
        before = self._clear(release.namespace, hook, name)
        timeout = float((hook.get("spec") or {}).get("activeDeadlineSeconds") or release.timeout) + 15
        command = self._session.helm.test(release.id, name, timeout=timeout)
        command = replace(command, cancel=stop)
        results: list[Result] = []
        helm = Thread(target=lambda: results.append(self._session.runner.run(command)), name=f"helm-test-{name}")
        with record.turn:
            helm.start()
            while helm.is_alive() and not self._begun(release.namespace, hook, name, before):
                helm.join(0.05)
            record.restore()
        while helm.is_alive():
            helm.join(0.1)
            self._follow(release, hook, name, watch, before)
            if watch.trouble:
                stop.set(str(watch.trouble))
        self._follow(release, hook, name, watch, before)
        _finish(watch)
        return self._verdict(release, name, watch, results)

    def _verdict(
        self, release: Release, name: str, watch: _Watch, results: Sequence[Result]
    ) -> tuple[Verdict, str, Sequence[str]]:
        """What Helm said, in the light of what the pods did."""
        tail = watch.lines[-TAIL:]
        if watch.trouble:
            kind, _, subject = watch.trouble.object.partition("/")
            return (
                Verdict.FAILED,
                str(watch.trouble),
                [*events_about(self._kube, release.namespace, kind, subject), *tail],
            )
        if not results:
            raise EnvironmentFault(f"helm test {name} could not be started")
        result = results[0]
        if result.cancelled:
            return Verdict.SKIPPED, self._session.cancel.reason or "interrupted", tail
        if not result.ok:
            return self._failure(release, name, watch, result)
        if name not in result.stdout:
            return Verdict.FAILED, "helm did not run it: the release's record does not hold it any more", ()
        return self._success(watch)

    def _success(self, watch: _Watch) -> tuple[Verdict, str, Sequence[str]]:
        """Passed where a kubelet ran it; a pod that only a Stage completed proves nothing about its script."""
        if self._real_node is None:
            return Verdict.PASSED, "", ()
        nodes = {str((pod.get("spec") or {}).get("nodeName", "")) for pod in watch.pods.values()}
        if nodes and nodes <= {self._real_node}:
            return Verdict.PASSED, "", ()
        return Verdict.SIMULATED, "no real node ran it" if nodes else "its pod was gone before it was seen", ()

    def _failure(
        self, release: Release, name: str, watch: _Watch, result: Result
    ) -> tuple[Verdict, str, Sequence[str]]:
        """The Job's or container's own reason before Helm's; a Job that succeeded has passed whatever Helm says."""
        job = self._kube.get(f"/apis/batch/v1/namespaces/{release.namespace}/jobs/{name}")
        ended, message = job_result(job) if job else ("", "")
        text, unreachable = parse_failure(result.stderr)
        if ended == "complete":
            warning = f"{name} succeeded, but helm said: {text}"
            self._bus.emit(Notice(level="warning", message=warning, release=str(release.id)))
            return self._success(watch)
        if unreachable:
            raise EnvironmentFault(f"the cluster went away during test {name}: {text}", hint="invoke cluster.status")
        reason = next((said for pod in watch.pods.values() if (said := _exit(pod))), "")
        reason = reason or message or ("timed out" if result.timed_out else text)
        details = watch.lines[-TAIL:] or events_about(self._kube, release.namespace, "Job", name)
        return Verdict.FAILED, reason, details

    def _clear(self, namespace: str, hook: Mapping[str, Any], name: str) -> str:
        """Delete what an earlier run of the test left and wait until it is gone; returns its uid.

        Helm would delete it too, but may then take the old object's end for that of the new one.
        """
        resource = self._kube.resource(str(hook["kind"]))
        path = resource.path(namespace, name) if resource else ""
        item = self._kube.get(path) if path else None
        if item is None:
            return ""
        uid, deadline = str(item["metadata"]["uid"]), time.monotonic() + CLEARED_IN
        self._kube.delete(path)
        while (item := self._kube.get(path)) and item["metadata"]["uid"] == uid:
            if time.monotonic() > deadline or self._session.cancel.wait(0.05):
                raise Failure(f"the {hook['kind']} {name} of an earlier run does not go away")
        return uid

    def _begun(self, namespace: str, hook: Mapping[str, Any], name: str, before: str) -> bool:
        """Whether Helm has made the test's object: it writes the record before, and reads it no more."""
        resource = self._kube.resource(str(hook["kind"]))
        item = self._kube.get(resource.path(namespace, name)) if resource else None
        return item is not None and str(item["metadata"]["uid"]) != before

    def _follow(self, release: Release, hook: Mapping[str, Any], name: str, watch: _Watch, before: str) -> None:
        """Notice new pods of the test, start a follower per container, and give up on what will not start."""
        try:
            pods = [pod for pod in self._session.observer.pods(release.namespace) if _belongs(pod, hook, name, before)]
        except DevtoolsError:
            return  # helm will say what is wrong
        now = time.monotonic()
        for pod in pods:
            watch.pods[str(pod["metadata"]["uid"])] = pod
            for trouble in pod_troubles(pod):
                if now - watch.since.setdefault(trouble.reason, now) >= PATIENCE[trouble.reason]:
                    watch.trouble = trouble
            for container in _started(pod):
                self._follow_container(release, name, watch, pod, container)

    def _follow_container(
        self, release: Release, test: str, watch: _Watch, pod: Mapping[str, Any], container: str
    ) -> None:
        """Follow one container's log in a thread of its own, once; simulated pods have none."""
        subject = str(pod["metadata"]["name"])
        node = (pod.get("spec") or {}).get("nodeName")
        if (subject, container) in watch.followed or (self._real_node is not None and node != self._real_node):
            return

        def follow() -> None:
            path = f"/api/v1/namespaces/{release.namespace}/pods/{subject}/log"
            try:
                for line in self._kube.lines(path, container=container, follow="true"):
                    watch.lines.append(line)
                    self._bus.emit(TestOutput(release=str(release.id), test=test, container=container, line=line))
            except DevtoolsError as error:
                watch.lines.append(f"(log of {subject}/{container} could not be read: {error.message})")

        thread = Thread(target=follow, name=f"log-{subject}", daemon=True)
        watch.followed[subject, container] = thread
        thread.start()


def _finish(watch: _Watch) -> None:
    """Give the followers a moment to drain."""
    deadline = time.monotonic() + LOGS_LATE
    for thread in watch.followed.values():
        thread.join(max(0.0, deadline - time.monotonic()))


def _belongs(pod: Mapping[str, Any], hook: Mapping[str, Any], name: str, before: str) -> bool:
    """Whether a pod is of this run of the test."""
    metadata = pod["metadata"]
    if hook["kind"] == "Pod":
        return bool(metadata["name"] == name and metadata["uid"] != before)
    owners = {str(owner.get("uid")) for owner in metadata.get("ownerReferences") or ()}
    return (metadata.get("labels") or {}).get(JOB_LABEL) == name and before not in owners


def _started(pod: Mapping[str, Any]) -> list[str]:
    """Containers that have run or run now."""
    status = pod.get("status") or {}
    return [
        str(container["name"])
        for key in ("initContainerStatuses", "containerStatuses")
        for container in status.get(key) or ()
        if {"running", "terminated"} & set(container.get("state") or ())
    ]


def _exit(pod: Mapping[str, Any]) -> str:
    """How a failed container ended: `container test exited with 1`, or why the pod was ended."""
    status = pod.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode"):
                reason = ended.get("reason", "Error")
                return f"container {container['name']} exited with {ended['exitCode']}" + (
                    f" ({reason})" if reason != "Error" else ""
                )
    said = condition(pod, "DisruptionTarget").get("message") or status.get("message") or ""
    return str(said)
