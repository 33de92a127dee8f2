"""Watches one Helm test while Helm runs it: its object, its pods, and the logs of every container.

`helm test` reports only that a test failed, waits for ever for one that was deleted, and its logs are wrong or missing
in several versions (helm/helm#11236, #9098, #6902).
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from threading import Thread
from typing import Any

from devtools.errors import DevtoolsError
from devtools.events import Notice, TestOutput
from devtools.kube.logs import NotFollowed, log_lines
from devtools.model import ObjectRef, Release
from devtools.readiness.failures import Symptom
from devtools.readiness.rules import condition, container_statuses, has_begun, job_result
from devtools.readiness.wait import FailureDetector, Patience
from devtools.run_context.session import Session
from devtools.smoke.deadline import Deadline, deadline_of, expiry, extended, has_passed

TAIL = 40  # log lines shown with a failure
MOST_LINES = 10_000  # of one container that become events
LINGER = 10.0  # seconds that helm may take to notice the end of a test
UNFOLLOWED_PAUSE = 0.2
LOGS_LATE = 60.0  # seconds that the log of an ended container may lag behind; it ends by itself, on a busy machine late
LOGS_OF_RUNNING = 5.0  # the same for a container that still runs, whose log does not end
_JOB_LABEL = "job-name"
_WEIGHT = "helm.sh/hook-weight"
_DELETE_POLICY = "helm.sh/hook-delete-policy"
_OPTIONAL = "devtools.ameide.io/optional"
_SKIPPED = re.compile(r"^result: skipped(?: \((?P<why>.*)\))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test hook of a release."""

    release: Release
    hook: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its Job or Pod."""
        return str(self.hook["metadata"]["name"])

    @property
    def kind(self) -> str:
        """`Job` or `Pod`."""
        return str(self.hook["kind"])

    @property
    def ref(self) -> ObjectRef:
        """Its object; a hook may be in another namespace than the release."""
        where = str(self.hook["metadata"].get("namespace") or self.release.namespace)
        return ObjectRef("batch/v1" if self.kind == "Job" else "v1", self.kind, where, self.name)

    @property
    def deadline(self) -> Deadline:
        """How long it may run."""
        return deadline_of(self.hook, self.release.timeout)

    @property
    def weight(self) -> int:
        """Its weight; Helm runs tests of lower weights first, and an invalid weight counts as 0."""
        text = str(self._annotations.get(_WEIGHT, "0"))
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else 0

    @property
    def is_deleted_on_failure(self) -> bool:
        """Whether Helm deletes it once it has failed."""
        return "hook-failed" in str(self._annotations.get(_DELETE_POLICY, ""))

    @property
    def _annotations(self) -> Mapping[str, Any]:
        return self.hook["metadata"].get("annotations") or {}

    @property
    def is_optional(self) -> bool:
        """Whether its target may be absent; it then says so in its log, and succeeds."""
        return self._annotations.get(_OPTIONAL) == "true"

    def owns(self, pod: Mapping[str, Any], before: str) -> bool:
        """Return whether a pod is of this run of the test; `before` is the uid of an earlier run's object."""
        metadata = pod["metadata"]
        if self.kind == "Pod":
            return bool(metadata["name"] == self.name and metadata["uid"] != before)
        owners = {str(owner.get("uid")) for owner in metadata.get("ownerReferences") or ()}
        return (metadata.get("labels") or {}).get(_JOB_LABEL) == self.name and before not in owners


@dataclass(slots=True)
class _Log:
    """One container's log, as far as it was read."""

    thread: Thread
    last: str = ""
    lines: int = 0


@dataclass(slots=True)
class Watch:
    """The state of one run of a test so far."""

    session: Session
    test: Test
    before: str  # uid of an earlier run's object
    began: float = field(default_factory=time.monotonic)
    pods: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    symptom: Symptom | None = None
    ended: str = ""  # `complete` or `failed`
    message: str = ""  # of a Job that failed
    was_there: bool = False
    settled: float | None = None  # since when its object has ended or is gone
    _gone: bool = False
    _patience: Patience = field(default_factory=Patience)
    _logs: dict[tuple[str, str], _Log] = field(default_factory=dict)
    _over: bool = False
    _extended: int = 0
    detector: FailureDetector = field(init=False)

    def __post_init__(self) -> None:
        self.detector = FailureDetector(self.session.observer)

    def look(self) -> None:
        """Check again; a read that fails is left to the next check, and helm reports errors."""
        try:
            item = self.session.observer.get(self.test.ref)
            pods = self.session.observer.pods(self.test.ref.namespace)
        except DevtoolsError:
            return
        for pod in pods:
            if self.test.owns(pod, self.before):
                self.pods[str(pod["metadata"]["uid"])] = pod
                for container in filter(has_begun, container_statuses(pod)):
                    self._follow(pod, str(container["name"]))
        self._judge(item)
        if item is not None and self.was_there and self.test.kind == "Job":
            self._extend(item)
        self.symptom = self.symptom or self._patience.expired(self._symptoms(item))

    def needs_no_helm(self) -> bool:
        """Return whether helm's wait cannot succeed: on a permanent failure, or some time after the object's end."""
        return self.symptom is not None or (self.settled is not None and time.monotonic() - self.settled > LINGER)

    @property
    def is_gone(self) -> bool:
        """Whether its object is gone and its end is unknown."""
        return self._gone and not self.ended

    def finish(self) -> None:
        """Check a last time, and give the logs a moment to drain; nothing is followed after that."""
        self.session.observer.renew()  # helm may have noticed the end before the last check
        self.look()
        now = time.monotonic()
        running = {
            (str(pod["metadata"]["name"]), str(container["name"]))
            for pod in self.pods.values()
            for container in container_statuses(pod)
            if (container.get("state") or {}).get("running")
        }
        for key, log in list(self._logs.items()):
            limit = LOGS_OF_RUNNING if key in running else LOGS_LATE
            log.thread.join(max(0.0, now + limit - time.monotonic()))
        self._over = True

    def skipped(self) -> str | None:
        """Return why the script says it checked nothing; None if it does not say so."""
        names = {
            str(item["name"]) for pod in self.pods.values() for item in (pod.get("spec") or {}).get("containers") or ()
        }
        last_lines = [log.last for (_, container), log in self._logs.items() if container in names]
        for line in last_lines:
            if match := _SKIPPED.match(line.strip()):
                return match["why"] or "it reports no reason"
        if self.test.is_optional and not any(line.startswith("result: ") for line in last_lines):
            return "its log was not read to the end, so it is unknown whether it checked anything"
        return None

    def expiry(self) -> str:
        """Return how it ran out of time; empty if it did not."""
        deadline = self.test.deadline
        if text := expiry(self.message, self.pods.values(), self._last_line(), deadline):
            return text
        is_late = not self.ended and time.monotonic() - self.began >= deadline.seconds
        return f"not finished after {deadline.seconds:g} s" if is_late and not deadline.is_own else ""

    def has_passed(self) -> bool:
        """Return whether it had passed before Kubernetes ended it at its deadline."""
        return has_passed(self.pods.values(), self._last_line())

    def exit(self) -> str:
        """Return how a failed container ended, if one did."""
        return next((last_lines for pod in self.pods.values() if (last_lines := _exit(pod))), "")

    def nodes(self) -> set[str]:
        """Return the nodes it ran on."""
        return {str((pod.get("spec") or {}).get("nodeName") or "") for pod in self.pods.values()}

    def _last_line(self) -> str:
        """Return the verdict that a script printed last, else the last line of any log."""
        lines = [log.last.strip() for log in self._logs.values()]
        return next((line for line in lines if line.startswith("result: ")), lines[-1] if lines else "")

    def _extend(self, job: Mapping[str, Any]) -> None:
        """Extend the Job's deadline by the time its pod takes to start."""
        waited = time.monotonic() - self.began
        needed = extended(job, self.pods.values(), self.test.deadline, self.test.release.timeout, waited)
        path = self.session.kube.path_of(self.test.ref) if needed and needed != self._extended else None
        if path and needed:
            self._extended = needed  # once, even if refused: the Job then ends as declared
            with contextlib.suppress(DevtoolsError):
                self.session.kube.merge(path, {"spec": {"activeDeadlineSeconds": needed}})

    def _judge(self, item: Mapping[str, Any] | None) -> None:
        if item is not None and str(item["metadata"]["uid"]) != self.before:
            self.was_there, self._gone = True, False
            self.ended, self.message = job_result(item) if self.test.kind == "Job" else _pod_result(item)
        elif self.was_there and not self._gone:
            self._gone = True
            if not self.ended and self.pods and all(_pod_result(pod)[0] == "complete" for pod in self.pods.values()):
                self.ended = "complete"  # a time to live of 0: only the end of its pods was observed
        if self.ended or self._gone:
            self.settled = self.settled or time.monotonic()

    def _symptoms(self, item: Mapping[str, Any] | None) -> list[Symptom]:
        """Read possibly permanent failures; helm itself reports that the test failed, and cleans up."""
        pods = list(self.pods.values())
        if self.ended or item is None or str(item["metadata"]["uid"]) == self.before:
            return []
        return [symptom for symptom in self.detector.of(item, pods) if symptom.reason != "Failed"]

    def _follow(self, pod: Mapping[str, Any], container: str) -> None:
        """Follow one container's log on its own thread, once; simulated pods have no logs."""
        subject, node = str(pod["metadata"]["name"]), (pod.get("spec") or {}).get("nodeName")
        real = self.session.real_node
        if self._over or (subject, container) in self._logs or (real is not None and node != real):
            return
        thread = Thread(target=self._read, args=(pod, container), name=f"log-{subject}", daemon=True)
        self._logs[subject, container] = _Log(thread=thread)
        thread.start()

    def _read(self, pod: Mapping[str, Any], container: str) -> None:
        """Read one container's log to its end, whether kubelet follows it or not."""
        name, where = str(pod["metadata"]["name"]), self.test.ref.namespace
        log, kube = self._logs[name, container], self.session.kube
        try:
            try:
                self._take(log, container, log_lines(kube, where, pod, container, follow="true"))
            except NotFollowed as error:
                text = f"{error.message}; {error.hint}"
                self.session.bus.emit(Notice(level="warning", message=text, release=str(self.test.release.id)))
                while self.settled is None and not self._over:
                    time.sleep(UNFOLLOWED_PAUSE)
                self._take(log, container, islice(log_lines(kube, where, pod, container), log.lines, None))
        except DevtoolsError as error:
            self.tail.append(f"(log of {name}/{container} could not be read: {error.message})")

    def _take(self, log: _Log, container: str, lines: Iterable[str]) -> None:
        """Emit a log's next lines as events."""
        for line in lines:
            if self._over:
                return
            log.lines += 1
            log.last = line or log.last
            self.tail.append(line)
            if log.lines <= MOST_LINES + 1:
                text = line if log.lines <= MOST_LINES else f"(output after {MOST_LINES} lines is left out)"
                where = str(self.test.release.id)
                self.session.bus.emit(TestOutput(release=where, test=self.test.name, container=container, line=text))


def _pod_result(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a pod ended, as `job_result` does for a Job."""
    phase = str((pod.get("status") or {}).get("phase"))
    return {"Succeeded": "complete", "Failed": "failed"}.get(phase, ""), ""


def _exit(pod: Mapping[str, Any]) -> str:
    """Return how a failed container ended: `container test exited with 1`, or why the pod was ended."""
    for container in container_statuses(pod):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            reason = ended.get("reason", "Error")
            return f"container {container['name']} exited with {ended['exitCode']}" + (
                f" ({reason})" if reason != "Error" else ""
            )
    return str(condition(pod, "DisruptionTarget").get("message") or (pod.get("status") or {}).get("message") or "")
