"""Explains why a Service has no pod to send requests to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from devtools.errors import DevtoolsError
from devtools.model import ObjectRef
from devtools.readiness.observer import Observer
from devtools.readiness.rules import condition

_ADDRESS = re.compile(r"https?://(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc\b")

Object = Mapping[str, Any]


def missing_endpoints(observer: Observer, text: str) -> str:
    """Return why the Service whose address is in a message has no endpoints; empty if it has some, or none is named.

    The API server only reports that an admission webhook was not reached: `Post "https://hook.ops.svc:443/": …`.
    """
    found = _ADDRESS.search(text)
    if found is None:
        return ""
    name, namespace = found["name"], found["namespace"]
    try:
        service = observer.get(ObjectRef("v1", "Service", namespace, name))
        if service is None:
            return f"Service/{name} does not exist in namespace {namespace}"
        pods = [pod for pod in observer.pods(namespace) if is_behind(service, pod)]
    except DevtoolsError:  # this user may not read it
        return ""
    if not selector_of(service):
        return ""  # its endpoints are managed elsewhere
    if not pods:
        return selects_nothing(service, name)
    return "" if any(map(is_ready, pods)) else f"no pod of Service/{name} is ready"


def selector_of(service: Object) -> Mapping[str, str]:
    """Return the labels that a Service selects pods by."""
    return (service.get("spec") or {}).get("selector") or {}


def is_behind(service: Object, pod: Object) -> bool:
    """Return whether a Service selects a pod."""
    selector = selector_of(service)
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def is_ready(pod: Object) -> bool:
    """Return whether a Service sends requests to a pod that it selects."""
    return condition(pod, "Ready").get("status") == "True"


def selects_nothing(service: Object, name: str) -> str:
    """Return why no pod is behind a Service."""
    selector = selector_of(service)
    if not selector:
        return f"Service/{name} has no selector"
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    return f"Service/{name} selects {labels}: no pod has {'that label' if len(selector) == 1 else 'those labels'}"
