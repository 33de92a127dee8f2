"""What to show of a failure: the newest events, and the last lines of the container that failed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from devtools.errors import DevtoolsError
from devtools.kube.client import Kube
from devtools.kube.logs import log_lines
from devtools.readiness.failures import Symptom, when
from devtools.readiness.observer import Observer
from devtools.readiness.rules import condition, container_statuses, has_begun

LOG_LINES = 8  # with `EVENT_LINES` as much as the last screen shows of one failure
LONGEST = 8 * 1024  # characters of a line
MOST_PIECES = 1024  # of lines, each of at most 64 KiB, that are read
EVENT_LINES = 4
_PODS = 2  # pods of one workload that are looked into
_NOISE = frozenset({"MissingClusterDNS", "DNSConfigForming"})
_BARE_REASON = re.compile(r"event: Failed: Error: \w+")  # the symptom's, or the one before it: `ErrImagePull`
_NO_LOG = "unable to retrieve container logs for "  # kubelet's answer where it has cleared the container away
_ENDED_BY_PROBE = ("Liveness probe ", "Startup probe ")

Item = Mapping[str, Any]


def explain(kube: Kube, symptom: Symptom) -> list[str]:
    """Last events about the object, but for what the symptom says itself, and the last lines of its container."""
    kind, _, name = symptom.object.partition("/")
    known = (f"event: {symptom.reason}: ", "event: BackOff: ")
    about = events_about(kube, symptom.namespace, kind, name, fallback=False)
    lines = [line for line in about if not line.startswith(known) and (symptom.message or "\n") not in line]
    lines = [line for line in lines if not _BARE_REASON.fullmatch(line)]
    if symptom.pod and symptom.container:
        lines += last_logs(kube, symptom.namespace, symptom.pod, symptom.container)
    return lines


def explain_pods(kube: Kube, observer: Observer, item: Item) -> list[str]:
    """Events and logs of the pods behind an object that are not ready, of the first few."""
    pods = [pod for pod in observer.pods_of(item) if condition(pod, "Ready").get("status") != "True"]
    lines: list[str] = []
    for pod in pods[:_PODS]:
        namespace, name = str(pod["metadata"].get("namespace", "")), str(pod["metadata"]["name"])
        found = events_about(kube, namespace, "Pod", name)
        failing = [state for state in container_statuses(pod) if not state.get("ready") and has_begun(state)]
        for state in failing[:1]:
            found += last_logs(kube, namespace, name, str(state.get("name")))
        lines += [f"Pod/{name} is not ready:", *found] if found else []
    return lines


def probe_that_ended(kube: Kube, symptom: Symptom) -> str:
    """The liveness or startup probe for which kubelet keeps ending a container; empty where it ends by itself."""
    if symptom.reason != "CrashLoopBackOff":
        return ""
    for line in reversed(events_about(kube, symptom.namespace, "Pod", symptom.pod)):
        message = line.partition("Unhealthy: ")[2]
        if message.startswith(_ENDED_BY_PROBE):
            return " ".join(message.rstrip(":").split())
    return ""


def events_about(kube: Kube, namespace: str, kind: str, name: str, *, fallback: bool = True) -> list[str]:
    """The newest warnings about one object, `event: Reason: message`; other events where there is none (`fallback`).

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
    return _event_lines(events)


def _event_lines(events: Sequence[Item]) -> list[str]:
    """The last of them as lines, each once."""
    texts = dict.fromkeys(f"event: {event.get('reason')}: {str(event.get('message')).strip()}" for event in events)
    return list(texts)[-EVENT_LINES:]


def last_logs(kube: Kube, namespace: str, pod: str, container: str) -> list[str]:
    """The last lines of a container, of its previous life where it has said nothing in this one."""
    for previous in ("false", "true"):
        try:
            lines = _bounded(log_lines(kube, namespace, pod, container, previous=previous, tailLines=str(LOG_LINES)))
        except DevtoolsError:
            continue
        if lines and not lines[0].startswith(_NO_LOG):
            return [f"log {container}: {line}" for line in lines]
    return []


def _bounded(lines: Iterable[str]) -> list[str]:
    """The last lines, without what is too much of them; a limit of the server's might cut a secret in two."""
    return list(deque((line[:LONGEST] for line in islice(lines, MOST_PIECES)), maxlen=LOG_LINES))
