"""Reads the logs of containers, without the secrets that their pod receives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from devtools.errors import DevtoolsError, inotify_hint
from devtools.kube.client import Kube

Item = Mapping[str, Any]

_CUT = "failed to create fsnotify watcher: "  # kubelet's last line, after what the container printed so far


class NotFollowed(DevtoolsError):
    """A log that kubelet does not follow to its end because of an inotify limit; it can be read again."""


def log_lines(kube: Kube, namespace: str, pod: Item | str, container: str, **query: str) -> Iterator[str]:
    """Yield a container's log line by line, redacted; `pod` is its name or the object.

    The pod's secrets are looked up before the first line is read. Raises DevtoolsError; NotFollowed if a followed log
    ends early.
    """
    item = kube.get(f"/api/v1/namespaces/{namespace}/pods/{pod}") if isinstance(pod, str) else pod
    if item:
        learn_pod(kube, namespace, item)
    name = pod if isinstance(pod, str) else str(pod["metadata"]["name"])
    for line in kube.lines(f"/api/v1/namespaces/{namespace}/pods/{name}/log", container=container, **query):
        if "follow" in query and line.startswith(_CUT):
            raise NotFollowed(f"kubelet cannot follow logs: {line}", hint=inotify_hint(line))
        yield line


def learn_pod(kube: Kube, namespace: str, pod: Item) -> None:
    """Have the client hide the values in a pod's environment and volumes that are secret or come from Secrets."""
    spec = pod.get("spec") or {}
    kube.redactor.learn(spec)
    for name in sorted(secrets_of(spec)):
        path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        if path in kube.redactor.sources:
            continue
        with contextlib.suppress(DevtoolsError):  # this user may not read it
            if found := kube.get(path):
                kube.redactor.learn({"kind": "Secret", **found})
                kube.redactor.sources.add(path)


def secrets_of(spec: Any) -> set[str]:
    """Return the Secrets that a pod's specification refers to, by environment or volume."""
    if isinstance(spec, list):
        return {name for item in spec for name in secrets_of(item)}
    if not isinstance(spec, Mapping):
        return set()
    found = {name for item in spec.values() for name in secrets_of(item)}
    for key in ("secretRef", "secretKeyRef", "secret"):
        source = spec.get(key)
        if isinstance(source, Mapping):
            found.add(str(source.get("name") or source.get("secretName") or ""))
    return found - {""}
