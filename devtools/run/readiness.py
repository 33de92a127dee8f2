"""When an object is ready, what it still waits for, and when waiting is in vain; pure, on API objects as JSON.

Rules follow kubectl's `rollout status` and the pod lifecycle's documented reasons
(https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

PATIENCE: Mapping[str, float] = {
    # reason → seconds it may last before waiting is given up; what another release may still deliver gets longer
    "InvalidImageName": 0.0,
    "ErrImageNeverPull": 2.0,
    "ErrImagePull": 10.0,
    "ImagePullBackOff": 5.0,
    "CreateContainerConfigError": 15.0,
    "CreateContainerError": 15.0,
    "RunContainerError": 15.0,
    "CrashLoopBackOff": 10.0,
    "Unschedulable": 15.0,
    "FailedCreate": 5.0,
    "ProgressDeadlineExceeded": 0.0,
    "Failed": 0.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that may never heal: which object, Kubernetes' reason, its message, whose log to show."""

    object: str
    reason: str
    message: str
    namespace: str = ""
    pod: str = ""
    container: str = ""

    def __str__(self) -> str:
        """`Pod/web-1 container app: ImagePullBackOff: Back-off pulling …`."""
        where = f"{self.object} container {self.container}" if self.container else self.object
        return f"{where}: {self.reason}" + (f": {self.message}" if self.message else "")


def condition(item: Object, kind: str) -> Mapping[str, Any]:
    """The status condition of this type, or nothing."""
    for entry in (item.get("status") or {}).get("conditions") or ():
        if entry.get("type") == kind:
            return dict(entry)
    return {}


def waits_for(item: Object) -> str:
    """What an object still waits for, empty when it is ready; kinds without a rule of ours are ready at once."""
    rule = _RULES.get(_group_kind(str(item.get("apiVersion", "")), str(item.get("kind", ""))))
    return rule(item) if rule else ""


def _deployment(item: Object) -> str:
    wanted, status = _replicas(item), item.get("status") or {}
    if _stale(item) or status.get("updatedReplicas", 0) < wanted:
        return f"{status.get('updatedReplicas', 0)} of {wanted} pods updated"
    if status.get("replicas", 0) > status.get("updatedReplicas", 0):
        return "old pods to go"
    available = status.get("availableReplicas", 0)
    return "" if available >= wanted else f"{available} of {wanted} pods available"


def _stateful_set(item: Object) -> str:
    wanted, status = _replicas(item), item.get("status") or {}
    strategy = (item.get("spec") or {}).get("updateStrategy") or {}
    rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate"
    kept = (strategy.get("rollingUpdate") or {}).get("partition", 0) if rolling else wanted
    updated = status.get("updatedReplicas", 0)
    if _stale(item) or (updated < wanted - kept and status.get("updateRevision") != status.get("currentRevision")):
        return f"{updated} of {wanted} pods updated"
    ready = status.get("readyReplicas", 0)
    return "" if ready >= wanted else f"{ready} of {wanted} pods ready"


def _daemon_set(item: Object) -> str:
    status = item.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    strategy = ((item.get("spec") or {}).get("updateStrategy") or {}).get("type", "RollingUpdate")
    if _stale(item) or (strategy == "RollingUpdate" and status.get("updatedNumberScheduled", 0) < wanted):
        return f"{status.get('updatedNumberScheduled', 0)} of {wanted} pods updated"
    ready = status.get("numberReady", 0)
    return "" if ready >= wanted else f"{ready} of {wanted} pods ready"


def _pod(item: Object) -> str:
    phase = (item.get("status") or {}).get("phase", "Pending")
    if phase == "Succeeded" or condition(item, "Ready").get("status") == "True":
        return ""
    return f"pod {phase}"


def _established(item: Object) -> str:
    return "" if condition(item, "Established").get("status") == "True" else "to be established"


# by group and kind: others have Deployments and StatefulSets of their own, with another status
_RULES: Mapping[tuple[str, str], Callable[[Object], str]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("", "Pod"): _pod,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _established,
}


def is_waited_for(api_version: str, kind: str) -> bool:
    """Whether there is a rule of ours for when an object of the kind is ready."""
    return _group_kind(api_version, kind) in _RULES


def is_workload(item: Object) -> bool:
    """Whether the object is one of Kubernetes' own kinds that keep pods running."""
    group, kind = _group_kind(str(item.get("apiVersion", "")), str(item.get("kind", "")))
    return group == "apps" and kind in {"Deployment", "StatefulSet", "DaemonSet"}


def _group_kind(api_version: str, kind: str) -> tuple[str, str]:
    return api_version.rpartition("/")[0], kind


def job_result(item: Object) -> tuple[str, str]:
    """A Job's end: `complete`, `failed` or nothing yet, and the message of a failure."""
    if condition(item, "Complete").get("status") == "True":
        return "complete", ""
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        return "failed", ": ".join(str(failed[key]) for key in ("reason", "message") if failed.get(key))
    return "", ""


def troubles(item: Object, pods: Sequence[Object]) -> list[Trouble]:
    """What in a workload or its pods looks as if it would not heal.

    Nothing before its controller has seen the newest spec: what the status says until then is about an older one.
    """
    if _stale(item):
        return []
    found: list[Trouble] = []
    metadata = item["metadata"]
    name, namespace = f"{item.get('kind')}/{metadata['name']}", str(metadata.get("namespace", ""))
    refused = condition(item, "ReplicaFailure")
    if refused.get("status") == "True":
        message = str(refused.get("message", ""))
        found.append(Trouble(object=name, reason="FailedCreate", message=message, namespace=namespace))
    progress = condition(item, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        message = str(progress.get("message", ""))
        found.append(Trouble(object=name, reason="ProgressDeadlineExceeded", message=message, namespace=namespace))
    if item.get("kind") == "Pod" or (item.get("kind") == "Job" and job_result(item)[0] == "failed"):
        found += [_ended_badly(pod) for pod in pods if (pod.get("status") or {}).get("phase") == "Failed"][:1]
    for pod in pods:
        found += pod_troubles(pod)
    return found


def _ended_badly(pod: Object) -> Trouble:
    """A pod that nobody will start again."""
    name, status = str(pod["metadata"]["name"]), pod.get("status") or {}
    ends = {
        str(container.get("name")): (container.get("state") or {}).get("terminated") or {}
        for key in ("initContainerStatuses", "containerStatuses")
        for container in status.get(key) or ()
    }
    container, code = next(((name, end["exitCode"]) for name, end in ends.items() if end.get("exitCode")), ("", 0))
    said = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
    return Trouble(
        object=f"Pod/{name}",
        reason="Failed",
        message=said or (f"exit code {code}" if container else ""),
        namespace=str(pod["metadata"].get("namespace", "")),
        pod=name,
        container=container,
    )


def pod_troubles(pod: Object) -> list[Trouble]:
    """A pod that cannot be scheduled, and containers that cannot start; nothing of one that is on its way out."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return []
    name, namespace = str(metadata["name"]), str(metadata.get("namespace", ""))
    found: list[Trouble] = []
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        message = str(scheduled.get("message", ""))
        found.append(
            Trouble(object=f"Pod/{name}", reason="Unschedulable", message=message, namespace=namespace, pod=name)
        )
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            found += _container_trouble(name, namespace, container)
    return found


def _container_trouble(pod: str, namespace: str, container: Object) -> list[Trouble]:
    """A container that waits for a reason which seldom goes away."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    if reason not in PATIENCE:
        return []
    message = str(waiting.get("message", ""))
    last = (container.get("lastState") or {}).get("terminated") or {}
    if reason == "CrashLoopBackOff" and last:
        message = f"exit code {last.get('exitCode')} after {container.get('restartCount', 0)} restarts"
    return [
        Trouble(
            object=f"Pod/{pod}",
            reason=reason,
            message=message,
            namespace=namespace,
            pod=pod,
            container=str(container.get("name", "")),
        )
    ]


def newest_pods(item: Object, pods: Sequence[Object], sets: Sequence[Object]) -> list[Object]:
    """Those of a Deployment's pods that its newest ReplicaSet made; all of them where that is not among `sets`.

    Broken pods of an older one stay while the new ones start, and must not be taken for theirs.
    """
    revision = _revision(item)
    hashes = {
        (one["metadata"].get("labels") or {}).get("pod-template-hash")
        for one in sets
        if revision and _revision(one) == revision and _is_owned(one, item)
    }
    newest = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get("pod-template-hash") in hashes]
    return newest if hashes else list(pods)


def _revision(item: Object) -> str:
    return str((item["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", ""))


def _is_owned(item: Object, owner: Object) -> bool:
    uids = {entry.get("uid") for entry in item["metadata"].get("ownerReferences") or ()}
    return owner["metadata"].get("uid") in uids


def selects(item: Object, pod: Object) -> bool:
    """Whether a workload's selector (its `matchLabels`) picks a pod."""
    wanted = ((item.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _replicas(item: Object) -> int:
    return int((item.get("spec") or {}).get("replicas", 1))


def _stale(item: Object) -> bool:
    """The controller has not seen the newest spec yet."""
    seen = (item.get("status") or {}).get("observedGeneration", 0)
    return bool(is_workload(item) and seen < item["metadata"].get("generation", 0))
