"""Runs a strict server-side dry run of rendered objects on an API server that has only their CRDs and namespaces."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devtools.base.machine_yaml import json_for_yaml
from devtools.checks.findings import Finding, Shown
from devtools.checks.objects import Made
from devtools.errors import Interrupted
from devtools.helm.rejections import without_values
from devtools.kube.client import ApiError, Kube
from devtools.process.waiting import wait_until
from devtools.redaction import Redactor
from devtools.releases.crds import CRDS

_PARALLEL = 8
_ESTABLISHED = 60.0  # seconds until the kinds of CRDs are served
_LOOK = 0.2  # seconds between polls
_FIELD = re.compile(r"\.?((?:spec|data|metadata|rules|roleRef|subjects|webhooks)(?:[.\[][\w\"=.\[\]-]*)?)")


def rehearsed(kube: Kube, objects: Sequence[Made], crds: Sequence[Mapping[str, Any]], shown: Shown) -> list[Finding]:
    """Apply every object in a strict dry run, after creating its CRDs and namespaces for real."""
    groups: dict[str, list[Made]] = {}
    for item in objects:
        groups.setdefault(json_for_yaml(item.body) + item.source + str(item.release.namespace), []).append(item)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="rehearse") as pool:
        list(pool.map(lambda crd: _create_crd(kube, crd), {str(crd["metadata"]["name"]): crd for crd in crds}.values()))
        _await_kinds(kube, crds)
        for name in sorted({_namespace(item) for item in objects}):
            if kube.get(f"/api/v1/namespaces/{name}") is None:
                kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
        every = [(group[0], group) for group in groups.values()]
        messages = pool.map(lambda pair: _refusal(kube, pair[0]), every)
        return [
            item.finding("server", f"{item.name}: {text}", _path(text), shown)
            for (_, group), text in zip(every, messages, strict=True)
            if text
            for item in group
        ]


def _create_crd(kube: Kube, crd: Mapping[str, Any]) -> None:
    """Create a CRD; its faults are found with those of the other objects."""
    body = {key: value for key, value in crd.items() if key != "status"}
    with contextlib.suppress(ApiError):
        kube.apply(f"{CRDS}/{crd['metadata']['name']}", body)


def _await_kinds(kube: Kube, crds: Sequence[Mapping[str, Any]]) -> None:
    """Wait until the kinds of these CRDs are served; if one never is, its objects have findings."""
    pending = {str(((crd.get("spec") or {}).get("names") or {}).get("kind") or "") for crd in crds}

    def are_served() -> bool:
        kube.discover()
        return pending <= {kind.kind for kind in kube.served()}

    if pending:
        wait_until(are_served, _ESTABLISHED, kube.cancel, _LOOK)


def _namespace(item: Made) -> str:
    return str((item.body.get("metadata") or {}).get("namespace") or item.release.namespace)


def _refusal(kube: Kube, item: Made) -> str:
    """Return why the API server would refuse an object; empty if it accepts it or does not know its kind."""
    if kube.cancel.is_set():
        raise Interrupted(kube.cancel.reason)
    metadata = item.body.get("metadata") or {}
    resource = kube.resource(str(item.body.get("kind")), str(item.body.get("apiVersion", "")))
    if resource is None or not metadata.get("name"):
        return ""
    body = {key: value for key, value in item.body.items() if key != "status"}
    try:
        kube.rehearse(resource.path(_namespace(item), str(metadata["name"])), body, "helm", strict=True)
    except ApiError as error:
        redactor = Redactor()
        redactor.learn(item.body)
        return " ".join(redactor.text(without_values(error.text)).split())
    return ""


def _path(text: str) -> list[str]:
    """Return the keys of the first field that a message names."""
    found = _FIELD.search(text)
    parts = re.split(r"[.\[\]]", found[1]) if found else ()
    return [part for part in parts if part and not part.isdigit() and "=" not in part]
