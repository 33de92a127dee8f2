"""Finds failures of a workload, its pods and its claims that may be permanent, and how long each may last; pure.

Reasons are Kubernetes' own: of container states and conditions
(https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/), and of events if no status shows it (a volume that
cannot be mounted, a pod that may not be created, a claim without a provisioner).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from devtools.base.words import plural
from devtools.readiness.attempts import end_of, end_text, failed_attempts, failed_of, newest_of
from devtools.readiness.hints import hint_of
from devtools.readiness.rules import (
    condition,
    container_statuses,
    is_stale,
    is_workload,
    job_result,
    lacks_pods,
    waits_for,
)

Object = Mapping[str, Any]

PATIENCE: Mapping[str, float] = {
    # reason → seconds it may last before waiting stops; longer if something else may still resolve it
    "InvalidImageName": 0.0,
    "ErrImageNeverPull": 2.0,
    "ErrImagePull": 25.0,  # kubelet tries again after 10 s
    "ImagePullBackOff": 25.0,
    "CreateContainerConfigError": 20.0,  # kubelet looks again every 10 to 15 s
    "CreateContainerError": 15.0,
    "RunContainerError": 15.0,
    "CrashLoopBackOff": 0.0,  # but only after `RESTARTS`
    "Unschedulable": 15.0,
    "FailedCreate": 5.0,
    "FailedMount": 20.0,
    "FailedAttachVolume": 30.0,
    "FailedCreatePodSandBox": 30.0,
    "ProvisioningFailed": 10.0,
    "FailedBinding": 10.0,
    "ExternalProvisioning": 20.0,  # no provisioner has started to make the volume
    "Unhealthy": 20.0,  # only permanent answers, see _HOPELESS_PROBE
    "ProgressDeadlineExceeded": 0.0,
    "DeploymentPaused": 0.0,
    "Failed": 0.0,
    "BackOff": 0.0,  # of a Job that retries
    "Deleted": 5.0,
}
RESTARTS = 2  # of a container that keeps ending: about 15 s when it ends at once
RESTARTS_IN_COMPANY = 4  # while other objects of the release are not ready, or for a Job that retries: about 90 s
_CLEAR = 3.0  # seconds that a definite refusal may last: a registry's, or kubelet's for a forbidden user
_DELIVERED = 20.0  # seconds that a refusal may last if another release may resolve it

_CLEAR_WORD = re.compile(  # "on 127.0.0.1:53": the node has no DNS, as the embedded one
    r"not found|manifest unknown|does not exist|no match for platform|no such host|on 127\.0\.0\.1:53"
)
_MAY_COME = re.compile(r"failed calling webhook|not found")
_MAY_NOT_RUN = re.compile(r"non-root policy|runAsNonRoot")  # kubelet's messages for a user that is root, or not numeric
_WANTED = re.compile(r"\b(?P<kind>configmap|secret) \"(?P<name>[^\"]+)\" not found")
_KINDS = {"configmap": "ConfigMap", "secret": "Secret"}
_HOPELESS_PROBE = re.compile(
    r"statuscode: 40[1345]|executable file not found|no such file or directory|permission denied|unimplemented",
    re.IGNORECASE,
)
_ON_NODE = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_OF_CLAIMS = ("ProvisioningFailed", "FailedBinding", "ExternalProvisioning", "Provisioning")
_STARTING = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """A failure that may be permanent: the object, Kubernetes' reason, its message, and whose log to show."""

    object: str
    reason: str
    message: str
    namespace: str = ""
    pod: str = ""
    container: str = ""
    restarts: int = 0
    most: int = RESTARTS  # that it may make

    def __str__(self) -> str:
        """`Pod/web-1 container app: ImagePullBackOff: Back-off pulling …`."""
        where = f"{self.object} container {self.container}" if self.container else self.object
        return f"{where}: {self.reason}" + (f": {self.message}" if self.message else "")

    @property
    def family(self) -> str:
        """The identity of the failure, even if the reason changes, as between a failed pull and kubelet's back-off."""
        return "Image" if "Image" in self.reason else self.reason

    @property
    def wanted(self) -> tuple[str, str] | None:
        """Kind and name of the ConfigMap or Secret that would resolve it."""
        found = _WANTED.search(self.message)
        return (_KINDS[found["kind"]], found["name"]) if found else None

    @property
    def hint(self) -> str:
        """A hint on what to check, if the message is not enough."""
        return hint_of(self.reason, self.message)

    def patience(self, *, alone: bool = True) -> float:
        """Return the seconds it may last; `alone` says that no other unfinished object could resolve it."""
        if self.reason == "CrashLoopBackOff":
            return 0.0 if self.restarts >= (self.most if alone else RESTARTS_IN_COMPANY) else math.inf
        if self.family == "Image" and _CLEAR_WORD.search(self.message):
            return min(_CLEAR, PATIENCE[self.reason])
        if self.reason == "CreateContainerConfigError" and _MAY_NOT_RUN.search(self.message):
            return _CLEAR
        if self.reason == "FailedCreate" and _MAY_COME.search(self.message):
            return _DELIVERED
        if "unbound immediate PersistentVolumeClaims" in self.message:
            return 2 * PATIENCE[self.reason]  # its claim shows why, and fails first
        return PATIENCE[self.reason]


def symptoms(
    item: Object, pods: Sequence[Object], claims: Sequence[Object] = (), events: Sequence[Object] = ()
) -> list[Symptom]:
    """Return the possibly permanent failures of an object, its pods and their claims; `events` are of their namespace.

    Empty until a workload's controller has observed the newest spec: until then the status is about an older one.
    """
    if is_stale(item):
        return []
    found = [*(symptom for pod in pods for symptom in pod_symptoms(pod, events)), *_own(item)]
    found += [symptom for claim in claims for symptom in _claim_symptoms(claim, events)]
    failed = failed_of(pods)
    ended, message = job_result(item) if item.get("kind") == "Job" else ("", "")
    if item.get("kind") == "Pod" or ended == "failed":
        found += [_ended_badly(pod) for pod in failed][:1]
    if ended == "failed" and not failed:
        found.append(_about(item, "Failed", message))
    if item.get("kind") == "Job" and not ended and failed and failed_attempts(item) > RESTARTS_IN_COMPANY:
        found.append(_again(item, failed))
    if is_workload(item):  # an evicted pod is replaced; a single eviction is normal
        put_off = [pod for pod in failed if (pod.get("status") or {}).get("reason")]
        found += [_ended_badly(pod) for pod in put_off[1:]][:1]
    if lacks_pods(item, pods):
        found += _from_event(item, events, ("FailedCreate",))
    return found


def _again(job: Object, failed: Sequence[Object]) -> Symptom:
    """Return the newest failed pod of a Job that keeps failing: a crash loop in which each attempt has its own pod."""
    symptom = _ended_badly(newest_of(failed))
    text = f"{symptom.message}, as did {failed_attempts(job) - 1} pods of Job/{job['metadata']['name']} before it"
    return replace(symptom, reason="BackOff", message=text)


def _own(item: Object) -> Iterator[Symptom]:
    """Yield the failures in the object's own status."""
    refused, progress = condition(item, "ReplicaFailure"), condition(item, "Progressing")
    if refused.get("status") == "True":
        yield _about(item, "FailedCreate", str(refused.get("message", "")))
    if progress.get("reason") == "ProgressDeadlineExceeded":
        yield _about(item, "ProgressDeadlineExceeded", str(progress.get("message", "")))
    if (item.get("spec") or {}).get("paused") and waits_for(item):
        yield _about(item, "DeploymentPaused", "its rollout is paused, so that no pod is updated")


def gone(kind: str, namespace: str, name: str) -> Symptom:
    """Return the failure of an object that Helm made and that does not exist."""
    return Symptom(
        object=f"{kind}/{name}",
        reason="Deleted",
        message="something deleted it while it was waited for",
        namespace=namespace,
    )


def pod_symptoms(pod: Object, events: Sequence[Object] = ()) -> list[Symptom]:
    """Return the failures of a pod: not schedulable, or containers that cannot start; none for a terminating pod."""
    if pod["metadata"].get("deletionTimestamp"):
        return []
    found: list[Symptom] = []
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        found.append(_about(pod, "Unschedulable", str(scheduled.get("message", ""))))
    states = container_statuses(pod)
    for container in states:
        found += _container_symptoms(pod, container)
    waiting = {str(((container.get("state") or {}).get("waiting") or {}).get("reason", "")) for container in states}
    if waiting and waiting <= _STARTING:
        found += _from_event(pod, events, _ON_NODE)
    return found + [symptom for container in states for symptom in _probe_symptoms(pod, container, events)]


def _container_symptoms(pod: Object, container: Object) -> list[Symptom]:
    """Return the failure of a container that waits for a reason that seldom resolves itself, or has ended again."""
    state, restarts = container.get("state") or {}, int(container.get("restartCount", 0))
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if ended.get("exitCode") and restarts >= RESTARTS:  # kubelet reports it seconds later
        reason = "CrashLoopBackOff"
    if reason not in PATIENCE:
        return []
    last = ended or (container.get("lastState") or {}).get("terminated") or {}
    if reason == "CrashLoopBackOff" and last:
        message = f"{end_text(last)} after {plural(restarts, 'restart')}"
    symptom = _about(pod, reason, message, container=str(container.get("name", "")))
    owners = {owner.get("kind") for owner in pod["metadata"].get("ownerReferences") or ()}
    return [replace(symptom, restarts=restarts, most=RESTARTS_IN_COMPANY if "Job" in owners else RESTARTS)]


def _probe_symptoms(pod: Object, container: Object, events: Sequence[Object]) -> list[Symptom]:
    """Return the failure of a readiness probe with a permanent answer; a probe may answer `not yet` for any time."""
    if container.get("ready") or "running" not in (container.get("state") or {}):
        return []
    name = str(container.get("name", ""))
    newest_event = newest(pod, events, ("Unhealthy",), name)
    message = str(newest_event.get("message", "")).strip()
    if not message.startswith("Readiness") or not _HOPELESS_PROBE.search(message):
        return []
    return [_about(pod, "Unhealthy", message, container=name)]


def _claim_symptoms(claim: Object, events: Sequence[Object]) -> list[Symptom]:
    """Return the failure of a claim that gets no volume; a claim that waits for its first pod has no such event."""
    if (claim.get("status") or {}).get("phase", "Pending") != "Pending":
        return []
    newest_event = newest(claim, events, _OF_CLAIMS)
    reason = str(newest_event.get("reason", "Provisioning"))
    return [] if reason == "Provisioning" else [_about(claim, reason, str(newest_event.get("message", "")))]


def _from_event(item: Object, events: Sequence[Object], reasons: Sequence[str]) -> list[Symptom]:
    """Return the failure in the newest event with one of these reasons, if there is one."""
    event = newest(item, events, reasons)
    return [_about(item, str(event["reason"]), str(event.get("message", "")))] if event else []


def newest(item: Object, events: Iterable[Object], reasons: Sequence[str], container: str = "") -> Object:
    """Return the newest event about an object (or one container of it) with one of these reasons; empty if none."""
    uid, found = item["metadata"].get("uid"), list[Object]()
    for event in events:
        about = event.get("involvedObject") or {}
        is_it = about.get("uid") == uid and event.get("reason") in reasons
        if is_it and (not container or f"{{{container}}}" in str(about.get("fieldPath", ""))):
            found.append(dict(event))
    return max(found, key=when, default={})


def when(event: Object) -> str:
    """Return when it last happened, in a form that can be compared."""
    last = (event.get("series") or {}).get("lastObservedTime")
    return str(last or event.get("lastTimestamp") or event.get("eventTime") or "")


def _ended_badly(pod: Object) -> Symptom:
    """Return the failure of a pod that will not be started again."""
    container, text = end_of(pod)
    return _about(pod, "Failed", text, container=container)


def _about(item: Object, reason: str, message: str, *, container: str = "") -> Symptom:
    """Return a symptom of this object."""
    metadata, kind = item["metadata"], str(item.get("kind") or "Pod")  # items of a list do not have their kind
    return Symptom(
        object=f"{kind}/{metadata['name']}",
        reason=reason,
        message=message,
        namespace=str(metadata.get("namespace", "")),
        pod=str(metadata["name"]) if kind == "Pod" else "",
        container=container,
    )
