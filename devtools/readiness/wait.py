"""Waits for a release's objects: reports what it waits for, and stops early at a permanent failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from devtools.base.words import shortened
from devtools.errors import DevtoolsError, ExitCode, Interrupted, TimedOut
from devtools.model import ObjectRef
from devtools.process.runner import Cancel
from devtools.readiness.attempts import last_attempt
from devtools.readiness.diagnostics import events_about, explain, explain_pods, probe_that_ended
from devtools.readiness.endpoints import missing_endpoints
from devtools.readiness.failures import Symptom, gone, newest, symptoms
from devtools.readiness.observer import Observer
from devtools.readiness.rules import (
    ENDED,
    OLD_PODS,
    condition,
    has_run,
    is_waited_for,
    is_workload,
    unproven,
    waits_for,
)

LOOK_AT_EVENTS = 3.0  # seconds after which the events of a release that is not ready are listed
STAYS_UP = 2.0  # seconds a container without a readiness probe must have run
STAYS_UP_AGAIN = 10.0  # the same for a restarted one: as long as kubelet's first back-off
MORE_TIME = "if it only needs more time, raise the release's `timeout`"
_API_VERSIONS = {  # kinds that are checked for symptoms
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "Pod": "v1",
    "PersistentVolumeClaim": "v1",
}


class Failure(DevtoolsError):
    """A release, test or contract that failed, with the lines worth showing."""

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        """`details` are events and last log lines."""
        super().__init__(message, hint=hint)
        self.details = tuple(details)


class LateFailure(TimedOut):
    """Time ran out, with the lines worth showing."""

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        """`details` are the objects that were not ready."""
        super().__init__(message, hint=hint, exit_code=ExitCode.TIMEOUT)
        self.details = tuple(details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How to wait: until `deadline` (monotonic seconds); `say` gets what the wait is for."""

    deadline: float
    say: Callable[[str], None]
    cancel: Cancel

    def pause(self, seconds: float) -> None:
        """Sleep; raises Interrupted on cancel."""
        if self.cancel.wait(seconds):
            raise Interrupted(self.cancel.reason or "interrupted")

    def over(self) -> bool:
        """Return whether no time is left."""
        return time.monotonic() >= self.deadline

    def polling(self) -> Polling:
        """Return the pauses between checks."""
        return Polling(self)


@dataclass(slots=True)
class Polling:
    """The pauses of one wait, each longer than the last; reports what it waits for when that changes."""

    wait: Wait
    seconds: float = 0.05
    text: str = ""

    def say(self, left: Sequence[str]) -> None:
        """Report what is left, if that is new."""
        text = shortened(left)
        if text != self.text:
            self.wait.say(text)
            self.text = text

    def rest(self) -> None:
        """Sleep until the next check; raise Interrupted on cancel. Readiness is noticed a tenth late, 0.5 s at most."""
        self.wait.pause(self.seconds)
        self.seconds = min(self.seconds * 1.2, 0.5)

    def pause(self, left: Sequence[str], late: DevtoolsError | None = None) -> None:
        """Report what is left and sleep; raise `late` (default: LateFailure) if time is over, Interrupted on cancel."""
        self.say(left)
        if self.wait.over():
            raise late or LateFailure(f"timed out waiting for {self.text}", details=left[3:])
        self.rest()


@dataclass(slots=True)
class Patience:
    """Records when each symptom was first observed."""

    since: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def expired(self, found: Sequence[Symptom], *, alone: bool = True) -> Symptom | None:
        """Return the symptom that has lasted too long, if any; forget those that are gone.

        `alone` says that no other unfinished object could resolve it.
        """
        now = time.monotonic()
        current = {(symptom.namespace, symptom.object, symptom.family): symptom for symptom in found}
        for key in [key for key in self.since if key not in current]:
            del self.since[key]
        for key, symptom in current.items():
            if now - self.since.setdefault(key, now) >= symptom.patience(alone=alone):
                return symptom
        return None


@dataclass(frozen=True, slots=True)
class FailureDetector:
    """Finds possibly permanent failures behind an object: in its status, its pods, their claims, and events."""

    observer: Observer
    began: float = field(default_factory=time.monotonic)

    def of(self, item: Mapping[str, Any], pods: Sequence[Mapping[str, Any]] | None = None) -> list[Symptom]:
        """Return its symptoms, without those whose missing object exists by now; `pods` if they are known."""
        observer, namespace = self.observer, str(item["metadata"].get("namespace", ""))
        pods = observer.pods_of(item) if pods is None else pods
        claims = [item] if item.get("kind") == "PersistentVolumeClaim" else observer.claims_of(pods)
        late = namespace and time.monotonic() - self.began >= LOOK_AT_EVENTS
        found = symptoms(item, pods, claims, observer.events(namespace) if late else ())
        return [symptom for symptom in found if not self._heals(symptom)]

    def failure(self, symptom: Symptom, *, logs: bool = True) -> Failure:
        """Return the error of a wait that a symptom ends; without `logs` if they are shown already."""
        message, probe = str(symptom), probe_that_ended(self.observer.kube, symptom)
        message += f"; kubelet ended it: {probe}" if probe else ""
        absent = missing_endpoints(self.observer, symptom.message)  # of an admission webhook
        message += f"; {absent}" if absent else ""
        details = explain(self.observer.kube, symptom if logs else replace(symptom, container=""))
        if not symptom.pod:
            details += self._pods_behind(symptom)
        return Failure(message, hint=symptom.hint, details=details)

    def probe(self, item: Mapping[str, Any]) -> str:
        """Return the probe's message of a pod that runs and is not ready, if there is one."""
        namespace = str(item["metadata"].get("namespace", ""))
        if time.monotonic() - self.began < LOOK_AT_EVENTS:
            return ""
        pods = [pod for pod in self.observer.pods_of(item) if condition(pod, "Ready").get("status") != "True"]
        unhealthy = [newest(pod, self.observer.events(namespace), ("Unhealthy",)) for pod in pods]
        return next((" ".join(str(event["message"]).split()) for event in unhealthy if event), "")

    def _heals(self, symptom: Symptom) -> bool:
        """Return whether the missing ConfigMap or Secret exists by now: kubelet checks again within seconds."""
        if not symptom.wanted:
            return False
        kind, name = symptom.wanted
        return self.observer.get(ObjectRef("v1", kind, symptom.namespace, name)) is not None

    def _pods_behind(self, symptom: Symptom) -> list[str]:
        """Return the details about the pods of a workload that has a symptom itself."""
        kind, _, name = symptom.object.partition("/")
        if kind not in _API_VERSIONS:
            return []
        item = self.observer.get(ObjectRef(_API_VERSIONS[kind], kind, symptom.namespace, name))
        return explain_pods(self.observer, item) if item else []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """Checks that containers without a probe stay up, because one that ends at once has also run for a moment."""

    observer: Observer
    since: dict[tuple[str, str, int], float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)  # when an object was first observed as ready, by uid

    def lacks(self, item: Mapping[str, Any]) -> str:
        """Return what a ready workload or Job still lacks, such as a container that stays up; empty if nothing."""
        if not is_workload(item) and item.get("kind") != "Job":
            return ""
        now, moment = time.monotonic(), datetime.now(UTC)
        pods = self.observer.pods_of(item, since=self.ready.setdefault(str(item["metadata"].get("uid")), now))
        phases = {(pod.get("status") or {}).get("phase") for pod in pods}
        if (
            item.get("kind") == "Job"
            and (item.get("status") or {}).get("ready")
            and not phases & {"Running", "Succeeded"}
        ):
            return "its pod to run"
        for pod in pods:
            for name, restarts in unproven(pod, moment):
                key = (str(pod["metadata"].get("uid")), name, restarts)
                needed = STAYS_UP_AGAIN if restarts else STAYS_UP
                if restarts == ENDED or now - self.since.setdefault(key, now) < needed:
                    return f"container {name} to stay up" + (f", {restarts} restarts" if restarts > 0 else "")
        return ""


def wait_ready(observer: Observer, objects: Iterable[ObjectRef], wait: Wait) -> None:
    """Wait until every workload, pod, Job, claim and CRD among `objects` is ready.

    Raises Failure for a symptom that lasts too long, LateFailure if time runs out, Interrupted on cancel.
    """
    watched = [ref for ref in objects if is_waited_for(ref.api_version, ref.kind)]
    detector, patience, polling = FailureDetector(observer), Patience(), wait.polling()
    proof = _Proof(observer=observer)
    while watched:
        waiting = [(ref, reason) for ref in watched if (reason := _pending(detector, proof, ref))]
        watched = [ref for ref, _ in waiting]
        if not watched:
            return
        found = {ref: _symptoms(detector, ref) for ref in watched}
        alone = all(found.values())
        if symptom := patience.expired([symptom for each in found.values() for symptom in each], alone=alone):
            raise detector.failure(symptom)
        polling.say([f"{ref} ({_with_cause(reason, found[ref])})" for ref, reason in waiting])
        if wait.over():
            details = _why_late(detector, watched)
            raise LateFailure(f"timed out waiting for {polling.text}", hint=MORE_TIME, details=details)
        polling.rest()


def _pending(detector: FailureDetector, proof: _Proof, ref: ObjectRef) -> str:
    """Return what one object waits for."""
    observer = detector.observer
    item = observer.get(ref)
    if item is None:
        return "" if ref.kind == "Job" else "to exist"  # a Job's time to live may have passed
    waits = waits_for(item)
    if waits and ref.kind == "PersistentVolumeClaim" and _waits_for_a_pod(observer, item):
        return ""
    if waits and ref.kind == "Job" and any(map(has_run, observer.pods_of(item))):
        waits = ""
    text = detector.probe(item) if waits and is_workload(item) else ""
    if waits and ref.kind == "Job":
        text = last_attempt(item, observer.pods_of(item))
    return f"{waits}: {text}" if text else waits or proof.lacks(item)


def _with_cause(waits: str, found: Sequence[Symptom]) -> str:
    """Return what an object waits for, with the first known cause; old pods remain until the new ones are ready."""
    if not found or ": " in waits:
        return waits
    cause = " ".join(str(found[0]).split())
    return cause if waits == OLD_PODS else f"{waits}: {cause}"


def _waits_for_a_pod(observer: Observer, claim: Mapping[str, Any]) -> bool:
    """Return whether a claim is bound only once a pod mounts it."""
    name = str((claim.get("spec") or {}).get("storageClassName") or "")
    found = observer.get(ObjectRef("storage.k8s.io/v1", "StorageClass", "", name)) if name else None
    return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"


def _symptoms(detector: FailureDetector, ref: ObjectRef) -> list[Symptom]:
    """Return all possibly permanent failures of one object that is not ready."""
    item = detector.observer.get(ref)
    if item is None:
        return [gone(ref.kind, ref.namespace, ref.name)]
    return detector.of(item) if ref.kind in _API_VERSIONS else []


def _why_late(detector: FailureDetector, watched: Sequence[ObjectRef]) -> list[str]:
    """Return the details about the objects that did not become ready."""
    observer, lines = detector.observer, list[str]()
    for symptom in [symptom for ref in watched for symptom in _symptoms(detector, ref)][:2]:
        lines += [str(symptom), *explain(observer.kube, symptom)]
    for ref in watched[:2]:
        item = observer.get(ref)
        behind = explain_pods(observer, item) if item and ref.kind in _API_VERSIONS else []
        lines += behind or events_about(observer.kube, ref.namespace, ref.kind, ref.name)
    return list(dict.fromkeys(lines))
