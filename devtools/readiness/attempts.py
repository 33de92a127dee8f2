"""Describes how pods and containers ended, and how many attempts a Job has made; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devtools.base.words import plural
from devtools.readiness.rules import container_statuses, status_of

Object = Mapping[str, Any]


def end_text(ended: Object) -> str:
    """Return how a container ended: `exit code 1`, `exit code 137 (OOMKilled)`, with the runtime's message."""
    reason = str(ended.get("reason") or "Error")
    text = f"exit code {ended.get('exitCode')}" + (f" ({reason})" if reason not in {"Error", "Completed"} else "")
    message = " ".join(str(ended.get("message") or "").split())
    return f"{text}: {message}" if message and reason != "Error" else text


def end_of(pod: Object) -> tuple[str, str]:
    """Return the container that failed in a failed pod, if one did, and the message about its end."""
    status = status_of(pod)
    ends = {
        str(container.get("name")): (container.get("state") or {}).get("terminated") or {}
        for container in container_statuses(pod)
    }
    container = next((name for name, end in ends.items() if end.get("exitCode")), "")
    text = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
    return container, text or (end_text(ends[container]) if container else "")


def failed_attempts(job: Object) -> int:
    """Return how often a Job that makes a new pod for each attempt has failed; parallel pods count as one attempt."""
    if status_of(job).get("succeeded"):
        return 0
    return int(status_of(job).get("failed") or 0) // max(int((job.get("spec") or {}).get("parallelism") or 1), 1)


def last_attempt(job: Object, pods: Sequence[Object]) -> str:
    """Return a Job's failed attempts so far: `2 pods failed, the last with exit code 1`; empty if none has failed."""
    failed, many = failed_of(pods), failed_attempts(job)
    if not many:
        return ""
    text = f"{plural(many, 'pod')} failed"
    end = end_of(newest_of(failed))[1] if failed else ""
    return f"{text}, the last with {end}" if end.startswith("exit code ") else text


def failed_of(pods: Sequence[Object]) -> list[Object]:
    """Return the pods that failed and will not be started again."""
    return [pod for pod in pods if status_of(pod).get("phase") == "Failed"]


def newest_of(items: Sequence[Object]) -> Object:
    """Return the pod that was created last."""
    return max(items, key=lambda item: str(item["metadata"].get("creationTimestamp", "")))
