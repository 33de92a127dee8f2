"""Collects the details of a failure: the newest events, and the last lines of the container that failed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from devtools.errors import DevtoolsError
from devtools.kube.client import Kube
from devtools.kube.logs import log_lines
from devtools.readiness.failures import Symptom, when
from devtools.readiness.observer import Observer
from devtools.readiness.rules import condition, container_statuses, has_begun

LOG_LINES = 8  # together with `EVENT_LINES`, as much as the last screen shows of one failure
LONGEST = 8 * 1024  # characters of a line
MOST_PIECES = 1024  # of lines, each of at most 64 KiB, that are read
EVENT_LINES = 4
_PODS = 2  # pods of one workload that are inspected
_NOISE = frozenset({"MissingClusterDNS", "DNSConfigForming"})
_BARE_REASON = re.compile(r"event: Failed: Error: \w+")  # the symptom's, or the one before it: `ErrImagePull`
_NO_LOG = "unable to retrieve container logs for "  # kubelet's answer if it has removed the container
_ENDED_BY_PROBE = ("Liveness probe ", "Startup probe ")

Item = Mapping[str, Any]


def explain(kube: Kube, symptom: Symptom) -> list[str]:
    """Return the last events about the object, without the symptom's own, and the last lines of its container."""
    kind, _, name = symptom.object.partition("/")
    known = (f"event: {symptom.reason}: ", "event: BackOff: ")
    about = events_about(kube, symptom.namespace, kind, name, fallback=False)
    lines = [line for line in about if not line.startswith(known) and (symptom.message or "\n") not in line]
    lines = [line for line in lines if not _BARE_REASON.fullmatch(line)]
    if symptom.pod and symptom.container:
        lines += last_logs(kube, symptom.namespace, symptom.pod, symptom.container)
    return lines


def explain_pods(observer: Observer, item: Item) -> list[str]:
    """Return events and logs of the first few pods behind an object that are not ready."""
    pods = [pod for pod in observer.pods_of(item) if condition(pod, "Ready").get("status") != "True"]
    lines: list[str] = []
    for pod in pods[:_PODS]:
        namespace, name = str(pod["metadata"].get("namespace", "")), str(pod["metadata"]["name"])
        found = events_about(observer.kube, namespace, "Pod", name)
        failing = [state for state in container_statuses(pod) if not state.get("ready") and has_begun(state)]
        for state in failing[:1]:
            found += last_logs(observer.kube, namespace, name, str(state.get("name")))
        lines += [f"Pod/{name} is not ready:", *found] if found else []
    return lines


def probe_that_ended(kube: Kube, symptom: Symptom) -> str:
    """Return the liveness or startup probe that makes kubelet end a container; empty if it ends by itself."""
    if symptom.reason != "CrashLoopBackOff":
        return ""
    for line in reversed(events_about(kube, symptom.namespace, "Pod", symptom.pod)):
        message = line.partition("Unhealthy: ")[2]
        if message.startswith(_ENDED_BY_PROBE):
            return " ".join(message.rstrip(":").split())
    return ""


def events_about(kube: Kube, namespace: str, kind: str, name: str, *, fallback: bool = True) -> list[str]:
    """Return the newest warnings about one object, `event: Reason: message`; without any, other events (`fallback`).

    Those about an object without a namespace are in `default`.
    """
    where = f"involvedObject.kind={kind},involvedObject.name={name}"
    try:
        events = kube.items(f"/api/v1/namespaces/{namespace or 'default'}/events", fieldSelector=where)
    except DevtoolsError:
        return []
    events = [event for event in events if event.get("reason") not in _NOISE]
    warnings = [event for event in events if event.get("type") == "Warning"]
    events = warnings or (events if fallback else [])
    events.sort(key=when)
    texts = dict.fromkeys(f"event: {event.get('reason')}: {str(event.get('message')).strip()}" for event in events)
    return list(texts)[-EVENT_LINES:]


def last_logs(kube: Kube, namespace: str, pod: str, container: str) -> list[str]:
    """Return the last lines of a container, from before its restart if it has printed nothing since."""
    for previous in ("false", "true"):
        try:
            lines = _bounded(log_lines(kube, namespace, pod, container, previous=previous, tailLines=str(LOG_LINES)))
        except DevtoolsError:
            continue
        if lines and not lines[0].startswith(_NO_LOG):
            return [f"log {container}: {line}" for line in lines]
    return []


def _bounded(lines: Iterable[str]) -> list[str]:
    """Return the last lines, shortened here, because a limit of the server could cut a secret in two."""
    return list(deque((line[:LONGEST] for line in islice(lines, MOST_PIECES)), maxlen=LOG_LINES))
