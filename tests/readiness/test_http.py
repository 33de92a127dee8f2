"""HTTP checks while the API server says nothing; those that are answered are in test_contracts.py."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devtools.errors import Interrupted
from devtools.events import Verdict
from devtools.model import HttpCheck
from devtools.process.runner import Cancel
from devtools.readiness import http
from devtools.readiness.http import HttpProbe
from devtools.readiness.observer import Observer
from tests.kits.api_script import Say, Script, served

POD = {
    "metadata": {"name": "web-1", "labels": {"app": "web"}},
    "spec": {"containers": []},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}
SERVICE = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
FORWARD = "/api/v1/namespaces/shop/pods/web-1/portforward"
KINDS = [
    {"resource": name, "responseKind": {"kind": kind, "version": "v1"}, "scope": "Namespaced", "verbs": ["list"]}
    for name, kind in (("pods", "Pod"), ("services", "Service"))
]


def _is_real(_: Mapping[str, Any]) -> bool:
    return False


def _hanging() -> Script:
    """An API server with a Service and its pod that says nothing to whoever wants a port-forward."""
    found = [{"metadata": {"name": ""}, "versions": [{"version": "v1", "freshness": "Current", "resources": KINDS}]}]
    document = {"kind": "APIGroupDiscoveryList", "items": found}
    return (
        Script()
        .on("GET /api", Say(body=document))
        .on("GET /apis", Say(body={**document, "items": []}))
        .on("GET /api/v1/namespaces/shop/services", Say(body={"items": [SERVICE]}))
        .on("GET /api/v1/namespaces/shop/pods", Say(body={"items": [POD]}))
        .on(f"GET {FORWARD}", Say(waits=600.0))
    )


def test_a_port_forward_that_is_not_answered_ends_on_cancel(tmp_path: Path) -> None:
    cancel, script = Cancel(), _hanging()
    with served(script, tmp_path, cancel=cancel) as kube:
        threading.Thread(target=_cancel_once, args=(script, cancel), daemon=True).start()
        with pytest.raises(Interrupted, match="SIGTERM"):
            HttpProbe(Observer(kube), _is_real).check(HttpCheck(service="web", port=80), "shop")


def _cancel_once(script: Script, cancel: Cancel) -> None:
    while not any(FORWARD in line for line in script.asked):
        cancel.wait(0.02)
    cancel.set("asked to stop (SIGTERM)")


def test_a_port_forward_that_is_not_answered_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_FOR", 1.0)
    with served(_hanging(), tmp_path) as kube:
        checked = HttpProbe(Observer(kube), _is_real).check(HttpCheck(service="web", port=80), "shop")
        assert (checked.verdict, checked.reason) == (Verdict.FAILED, "no answer: nothing received within 1 s")
