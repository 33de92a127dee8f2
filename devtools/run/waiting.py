"""Waits for what a release made: says what it waits for, gives up on what will not heal.

All who wait share one look at the cluster (`Observer`), so fifty waiting releases cost as many lists as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from devtools.clients.kube import ApiError, Kube
from devtools.errors import DevtoolsError, ExitCode, Interrupted, TimedOut
from devtools.process import Cancel
from devtools.run.readiness import PATIENCE, WAITED, WORKLOADS, Object, Trouble, selects, troubles, waits_for
from devtools.stack.model import ObjectRef

FRESH = 0.1  # seconds a look stays fresh
LOG_LINES = 15
EVENT_LINES = 6


class Failure(DevtoolsError):
    """A release, test or contract that failed, with the lines worth showing."""

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        """`details` are events and last log lines."""
        super().__init__(message, hint=hint)
        self.details = tuple(details)


class LateFailure(TimedOut):
    """Time ran out, with the lines worth showing."""

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        """`details` are what was waited for."""
        super().__init__(message, hint=hint, exit_code=ExitCode.TIMEOUT)
        self.details = tuple(details)


class Observer:
    """A short-lived memory of lists: who asks within `FRESH` seconds shares the answer."""

    def __init__(self, kube: Kube) -> None:
        """Lists come through `kube`."""
        self._kube = kube
        self._lock = Lock()
        self._locks: dict[str, Lock] = {}
        self._seen: dict[str, tuple[float, list[dict[str, Any]]]] = {}

    def items(self, api_version: str, kind: str, namespace: str) -> list[dict[str, Any]]:
        """Objects of a kind in a namespace (all when the kind has none), at most `FRESH` seconds old."""
        resource = self._kube.resource(kind, api_version)
        if resource is None:
            return []
        path = resource.path(namespace)
        with self._lock:
            lock = self._locks.setdefault(path, Lock())
        with lock:
            at, items = self._seen.get(path, (0.0, []))
            if time.monotonic() - at > FRESH:
                items = [{"apiVersion": api_version, "kind": kind, **item} for item in self._kube.items(path)]
                self._seen[path] = time.monotonic(), items
            return items

    def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        """One object, by way of its list."""
        for item in self.items(ref.api_version, ref.kind, ref.namespace):
            if item["metadata"]["name"] == ref.name:
                return item
        return None

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """The pods of a namespace."""
        return self.items("v1", "Pod", namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How to wait: until `deadline` (monotonic seconds), telling `say` what for."""

    deadline: float
    say: Callable[[str], None]
    cancel: Cancel

    def pause(self, seconds: float) -> None:
        """Sleep; raises Interrupted on cancel."""
        if self.cancel.wait(seconds):
            raise Interrupted(self.cancel.reason or "interrupted")

    def over(self) -> bool:
        """No time is left."""
        return time.monotonic() >= self.deadline


def wait_ready(kube: Kube, observer: Observer, objects: Iterable[ObjectRef], wait: Wait) -> None:
    """Wait until every workload, pod and CRD among `objects` is ready.

    Raises Failure for what lasts beyond its patience, LateFailure when time runs out, Interrupted on cancel.
    """
    watched = [ref for ref in objects if ref.kind in WAITED]
    since: dict[tuple[str, str], float] = {}
    pause, last = 0.05, ""
    while watched:
        waiting = [(ref, reason) for ref in watched if (reason := _pending(observer, ref))]
        watched = [ref for ref, _ in waiting]
        if not watched:
            return
        trouble = _lasting(_troubles(observer, watched), since)
        if trouble:
            raise Failure(str(trouble), details=explain(kube, watched[0].namespace, trouble))
        said = ", ".join(f"{ref} ({reason})" for ref, reason in waiting[:3])
        said += f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""  # noqa: PLR2004 - three fit a line
        if said != last:
            wait.say(said)
            last = said
        if wait.over():
            raise LateFailure(f"timed out waiting for {said}", details=_why_late(kube, observer, watched))
        wait.pause(pause)
        pause = min(pause * 1.5, 0.5)


def _pending(observer: Observer, ref: ObjectRef) -> str:
    """What one object waits for."""
    item = observer.get(ref)
    return waits_for(item) if item else "to exist"


def _troubles(observer: Observer, watched: Sequence[ObjectRef]) -> list[Trouble]:
    """Everything that looks hopeless among what is waited for."""
    found: list[Trouble] = []
    for ref in watched:
        item = observer.get(ref)
        if item is not None and ref.kind in WORKLOADS | {"Pod"}:
            found += troubles(item, pods_of(observer, item))
    return found


def pods_of(observer: Observer, item: Object) -> list[dict[str, Any]]:
    """The pods behind a workload; a pod stands for itself."""
    pods = observer.pods(str(item["metadata"].get("namespace", "")))
    if item.get("kind") == "Pod":
        return [pod for pod in pods if pod["metadata"]["name"] == item["metadata"]["name"]]
    return [pod for pod in pods if selects(item, pod)]


def _lasting(found: Iterable[Trouble], since: dict[tuple[str, str], float]) -> Trouble | None:
    """The first trouble that outlasted its patience; `since` remembers when each was first seen."""
    now = time.monotonic()
    current = {(trouble.object, _family(trouble.reason)): trouble for trouble in found}
    for key in [key for key in since if key not in current]:
        del since[key]
    for key, trouble in current.items():
        if now - since.setdefault(key, now) >= PATIENCE[trouble.reason]:
            return trouble
    return None


def _family(reason: str) -> str:
    """Kubelet alternates between a failed pull and its back-off: the same trouble."""
    return "image" if "Image" in reason else reason


def explain(kube: Kube, namespace: str, trouble: Trouble) -> list[str]:
    """Last events about the object, and the last lines of the container that failed."""
    kind, _, name = trouble.object.partition("/")
    lines = events_about(kube, namespace, kind, name)
    if trouble.pod and trouble.container:
        lines += last_logs(kube, namespace, trouble.pod, trouble.container)
    return lines


def events_about(kube: Kube, namespace: str, kind: str, name: str) -> list[str]:
    """The newest events about one object, `event: Reason: message`, warnings only where there are any."""
    where = f"involvedObject.kind={kind},involvedObject.name={name}"
    try:
        events = kube.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector=where)
    except ApiError:
        return []
    events = [event for event in events if event.get("type") == "Warning"] or events
    events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    texts = dict.fromkeys(f"event: {event.get('reason')}: {event.get('message')}" for event in events)
    return list(texts)[-EVENT_LINES:]


def last_logs(kube: Kube, namespace: str, pod: str, container: str) -> list[str]:
    """The last lines of a container, of its previous life where it has died."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    for previous in ("true", "false"):
        try:
            lines = list(kube.lines(path, container=container, tailLines=str(LOG_LINES), previous=previous))
        except DevtoolsError:
            continue
        if lines:
            return [f"log {container}: {line}" for line in lines]
    return []


def _why_late(kube: Kube, observer: Observer, watched: Sequence[ObjectRef]) -> list[str]:
    """Whatever is known about what did not get ready."""
    lines: list[str] = []
    for trouble in _troubles(observer, watched)[:2]:
        lines += [str(trouble), *explain(kube, watched[0].namespace, trouble)]
    for ref in watched[:2]:
        lines += events_about(kube, ref.namespace, ref.kind, ref.name)
    return list(dict.fromkeys(lines))
