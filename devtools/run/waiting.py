"""Waits for what a release made: says what it waits for, gives up on what will not heal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from devtools.clients.kube import Kube
from devtools.errors import DevtoolsError, ExitCode, Interrupted, TimedOut
from devtools.process import Cancel
from devtools.run.observer import Observer
from devtools.run.readiness import PATIENCE, Trouble, is_waited_for, is_workload, troubles, waits_for
from devtools.stack.model import ObjectRef

LOG_LINES = 15
LOG_BYTES = 64 * 1024
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


@dataclass(slots=True)
class Patience:
    """When each trouble was first seen."""

    since: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def lost(self, found: Iterable[Trouble]) -> Trouble | None:
        """The first trouble that outlasted its patience; one that is gone is forgotten."""
        now = time.monotonic()
        current = {(trouble.namespace, trouble.object, _family(trouble.reason)): trouble for trouble in found}
        for key in [key for key in self.since if key not in current]:
            del self.since[key]
        for key, trouble in current.items():
            if now - self.since.setdefault(key, now) >= PATIENCE[trouble.reason]:
                return trouble
        return None


def wait_ready(kube: Kube, observer: Observer, objects: Iterable[ObjectRef], wait: Wait) -> None:
    """Wait until every workload, pod and CRD among `objects` is ready.

    Raises Failure for what lasts beyond its patience, LateFailure when time runs out, Interrupted on cancel.
    """
    watched = [ref for ref in objects if is_waited_for(ref.api_version, ref.kind)]
    patience, pause, last = Patience(), 0.05, ""
    while watched:
        waiting = [(ref, reason) for ref in watched if (reason := _pending(observer, ref))]
        watched = [ref for ref, _ in waiting]
        if not watched:
            return
        if trouble := patience.lost(_troubles(observer, watched)):
            raise Failure(str(trouble), details=explain(kube, trouble))
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
        if item is not None and (is_workload(item) or ref.kind == "Pod"):
            found += troubles(item, observer.pods_of(item))
    return found


def _family(reason: str) -> str:
    """Kubelet alternates between a failed pull and its back-off: the same trouble."""
    return "image" if "Image" in reason else reason


def explain(kube: Kube, trouble: Trouble) -> list[str]:
    """Last events about the object, and the last lines of the container that failed."""
    kind, _, name = trouble.object.partition("/")
    lines = events_about(kube, trouble.namespace, kind, name)
    if trouble.pod and trouble.container:
        lines += last_logs(kube, trouble.namespace, trouble.pod, trouble.container)
    return lines


def events_about(kube: Kube, namespace: str, kind: str, name: str) -> list[str]:
    """The newest events about one object, `event: Reason: message`, warnings only where there are any.

    Those about an object without a namespace are in `default`.
    """
    where = f"involvedObject.kind={kind},involvedObject.name={name}"
    try:
        events = kube.items(f"/api/v1/namespaces/{namespace or 'default'}/events", fieldSelector=where)
    except DevtoolsError:
        return []
    events = [event for event in events if event.get("type") == "Warning"] or events
    events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    texts = dict.fromkeys(f"event: {event.get('reason')}: {event.get('message')}" for event in events)
    return list(texts)[-EVENT_LINES:]


def last_logs(kube: Kube, namespace: str, pod: str, container: str) -> list[str]:
    """The last lines of a container, of its previous life where it has died."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    bounds = {"tailLines": str(LOG_LINES), "limitBytes": str(LOG_BYTES)}
    for previous in ("true", "false"):
        try:
            lines = list(kube.lines(path, container=container, previous=previous, **bounds))
        except DevtoolsError:
            continue
        if lines:
            return [f"log {container}: {line}" for line in lines]
    return []


def _why_late(kube: Kube, observer: Observer, watched: Sequence[ObjectRef]) -> list[str]:
    """Whatever is known about what did not get ready."""
    lines: list[str] = []
    for trouble in _troubles(observer, watched)[:2]:
        lines += [str(trouble), *explain(kube, trouble)]
    for ref in watched[:2]:
        lines += events_about(kube, ref.namespace, ref.kind, ref.name)
    return list(dict.fromkeys(lines))
