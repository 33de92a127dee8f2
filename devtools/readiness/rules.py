"""Decides whether an object is ready, and what it still waits for; pure, on API objects as JSON.

Rules follow kubectl's `rollout status`; for Jobs and claims those of kstatus
(https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md), with the exceptions named here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]

ENDED = -1  # instead of a number of restarts: it does not run now
OLD_PODS = "old pods to go"
PROVEN = 30.0  # seconds after which a running container counts as stable


def status_of(item: Object) -> Mapping[str, Any]:
    """Return an object's status; empty if it has none or, as a custom resource may, one that is not a map."""
    status = item.get("status")
    return status if isinstance(status, Mapping) else {}


def conditions(item: Object) -> list[Object]:
    """Return the conditions of a status; a custom resource may have other data under that name."""
    found = status_of(item).get("conditions")
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def container_statuses(pod: Object) -> list[Object]:
    """Return kubelet's status of each container, init containers first."""
    status = pod.get("status") or {}
    return [item for key in ("initContainerStatuses", "containerStatuses") for item in status.get(key) or ()]


def has_begun(container: Object) -> bool:
    """Return whether a container runs or ran by its status, so that it has a log."""
    return bool({"running", "terminated"} & set(container.get("state") or ()))


def condition(item: Object, kind: str) -> Mapping[str, Any]:
    """Return the status condition of this type, or an empty map."""
    for entry in conditions(item):
        if entry.get("type") == kind:
            return dict(entry)
    return {}


def waits_for(item: Object) -> str:
    """Return what an object still waits for, empty if it is ready; kinds without a rule here are ready at once."""
    rule = _RULES.get(_group_kind(str(item.get("apiVersion", "")), str(item.get("kind", ""))))
    return rule(item) if rule else ""


def _deployment(item: Object) -> str:
    wanted, status = _replicas(item), status_of(item)
    if is_stale(item) or status.get("updatedReplicas", 0) < wanted:
        return f"{status.get('updatedReplicas', 0)} of {wanted} pods updated"
    if status.get("replicas", 0) > status.get("updatedReplicas", 0):
        return OLD_PODS
    available = status.get("availableReplicas", 0)
    return "" if available >= wanted else f"{available} of {wanted} pods available"


def _stateful_set(item: Object) -> str:
    wanted, status = _replicas(item), status_of(item)
    strategy = (item.get("spec") or {}).get("updateStrategy") or {}
    rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate"
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0) if rolling else wanted
    updated = status.get("updatedReplicas", 0)
    if is_stale(item) or (
        updated < wanted - partition and status.get("updateRevision") != status.get("currentRevision")
    ):
        return f"{updated} of {wanted} pods updated"
    ready = status.get("readyReplicas", 0)
    return "" if ready >= wanted else f"{ready} of {wanted} pods ready"


def _daemon_set(item: Object) -> str:
    status = status_of(item)
    wanted = status.get("desiredNumberScheduled", 0)
    strategy = ((item.get("spec") or {}).get("updateStrategy") or {}).get("type", "RollingUpdate")
    if is_stale(item) or (strategy == "RollingUpdate" and status.get("updatedNumberScheduled", 0) < wanted):
        return f"{status.get('updatedNumberScheduled', 0)} of {wanted} pods updated"
    ready = status.get("numberReady", 0)
    return "" if ready >= wanted else f"{ready} of {wanted} pods ready"


def has_run(pod: Object) -> bool:
    """Return whether a pod was ready or has succeeded; a Job's controller counts such pods up to a second later."""
    return status_of(pod).get("phase") == "Succeeded" or condition(pod, "Ready").get("status") == "True"


def _job(item: Object) -> str:
    """Return what a Job waits for: running is enough, as for Helm; a contract waits for its end."""
    status, suspended = status_of(item), (item.get("spec") or {}).get("suspend")
    result = job_result(item)[0]
    if result == "complete" or suspended or status.get("ready") or status.get("succeeded"):
        return ""
    return result or "its pod to run"


# by group and kind, because other groups have their own Deployments and StatefulSets, with another status
_RULES: Mapping[tuple[str, str], Callable[[Object], str]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("", "Pod"): lambda item: "" if has_run(item) else f"pod {status_of(item).get('phase', 'Pending')}",
    ("", "PersistentVolumeClaim"): lambda item: (
        "" if status_of(item).get("phase") in {"Bound", "Lost"} else "to be bound"
    ),
    ("batch", "Job"): _job,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): lambda item: (
        "" if condition(item, "Established").get("status") == "True" else "to be established"
    ),
}


def is_waited_for(api_version: str, kind: str) -> bool:
    """Return whether there is a readiness rule here for the kind."""
    return _group_kind(api_version, kind) in _RULES


def is_workload(item: Object) -> bool:
    """Return whether the object is of one of Kubernetes' own kinds that keep pods running."""
    group, kind = _group_kind(str(item.get("apiVersion", "")), str(item.get("kind", "")))
    return group == "apps" and kind in {"Deployment", "StatefulSet", "DaemonSet"}


def _group_kind(api_version: str, kind: str) -> tuple[str, str]:
    return api_version.rpartition("/")[0], kind


def job_result(item: Object) -> tuple[str, str]:
    """Return a Job's end: `complete`, `failed` or empty, and the message of a failure."""
    if condition(item, "Complete").get("status") == "True":
        return "complete", ""
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        return "failed", ": ".join(str(failed[key]) for key in ("reason", "message") if failed.get(key))
    return "", ""


def lacks_pods(item: Object, pods: Sequence[Object]) -> bool:
    """Return whether a controller that has no condition for it has not yet made an object's pods."""
    kind, status = item.get("kind"), status_of(item)
    if is_workload(item):
        wanted = status.get("desiredNumberScheduled", 0) if kind == "DaemonSet" else _replicas(item)
        return kind != "Deployment" and len(pods) < wanted
    return kind == "Job" and not pods and not job_result(item)[0] and not status.get("succeeded")


def unproven(pod: Object, now: datetime) -> list[tuple[str, int]]:
    """Return containers without a probe, which count as ready only because they run, with their number of restarts.

    Containers that have run for `PROVEN` seconds are left out, and simulated ones, which do not crash.
    """
    fields, status = pod["metadata"].get("managedFields") or (), pod.get("status") or {}
    is_over = status.get("phase") in {"Succeeded", "Failed"} or pod["metadata"].get("deletionTimestamp")
    if is_over or any(is_simulators(field) for field in fields):
        return []
    asked = {item["name"] for item in (pod.get("spec") or {}).get("containers") or () if item.get("readinessProbe")}
    found = []
    for container in status.get("containerStatuses") or ():
        started = str(((container.get("state") or {}).get("running") or {}).get("startedAt") or "")
        age = (now - datetime.fromisoformat(started)).total_seconds() if started else 0.0
        if container["name"] not in asked and age < PROVEN:
            found.append((str(container["name"]), int(container.get("restartCount", 0)) if started else ENDED))
    return found


def is_simulators(field: Object) -> bool:
    """Return whether an entry of `managedFields` says that a Stage wrote the status."""
    return field.get("subresource") == "status" and str(field.get("manager", "")).startswith("kwok")


def newest_pods(item: Object, pods: Sequence[Object], sets: Sequence[Object]) -> list[Object]:
    """Return a Deployment's pods that its newest ReplicaSet made; all of them if that is not among `sets`.

    Broken pods of an older ReplicaSet remain while the new ones start, and must not be attributed to the new one.
    """
    revision, uid = _revision(item), item["metadata"].get("uid")
    hashes = {
        (one["metadata"].get("labels") or {}).get("pod-template-hash")
        for one in sets
        if revision and _revision(one) == revision
        if uid in {owner.get("uid") for owner in one["metadata"].get("ownerReferences") or ()}
    }
    newest = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get("pod-template-hash") in hashes]
    return newest if hashes else list(pods)


def _revision(item: Object) -> str:
    return str((item["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", ""))


def selects(item: Object, pod: Object) -> bool:
    """Return whether a workload's selector (its `matchLabels`) matches a pod."""
    wanted = ((item.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _replicas(item: Object) -> int:
    return int((item.get("spec") or {}).get("replicas", 1))


def is_stale(item: Object) -> bool:
    """Return whether a workload's controller has not observed the newest spec yet."""
    observed = status_of(item).get("observedGeneration", 0)
    return bool(is_workload(item) and observed < item["metadata"].get("generation", 0))
