"""What the watcher makes of hooks that are no longer there."""

from __future__ import annotations

import base64
import gzip
import json
from collections import deque
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devtools.model import ObjectRef, ReleaseId
from devtools.readiness.failures import Symptom
from devtools.run_context.session import Session
from devtools.smoke.hook_watcher import HookWatch, hooks

REF = ObjectRef("batch/v1", "Job", "ns", "check")


def watching(**session: Any) -> HookWatch:
    """A watch of an installation whose session has only this."""
    made = cast("Session", SimpleNamespace(**session))
    return HookWatch(session=made, release=ReleaseId("ns", "app"), verb="install", say=lambda _: None)


def record(*policies: str) -> dict[str, Any]:
    """A release's record with one hook."""
    hook = {"kind": "Job", "name": "check", "events": ["post-install"], "delete_policies": list(policies)}
    packed = gzip.compress(json.dumps({"hooks": [hook]}).encode())
    labels = {"status": "pending-install", "version": "1", "name": "app"}
    data = {"release": base64.b64encode(base64.b64encode(packed)).decode()}
    return {"metadata": {"name": "x", "namespace": "ns", "labels": labels}, "data": data}


def test_hooks_by_their_delete_policy() -> None:
    made = record("before-hook-creation", "hook-succeeded")
    assert hooks(made, "install", "ns", policy="hook-succeeded") == {REF: "post-install"}
    assert hooks(made, "install", "ns") == {REF: "post-install"}
    assert hooks(record("before-hook-creation"), "install", "ns", policy="hook-succeeded") == {}


@pytest.mark.parametrize(("policies", "reasons"), [((), ["Deleted"]), (("hook-succeeded",), [])])
def test_a_hook_that_is_deleted_on_success_is_not_missed(policies: tuple[str, ...], reasons: list[str]) -> None:
    """It may end and go between two looks."""
    made = record(*policies)
    metadata = {"name": "x", "namespace": "ns", "labels": made["metadata"]["labels"]}
    kube = SimpleNamespace(metadata=lambda *_, **__: [metadata], get=lambda _: made)
    watch = watching(kube=kube, observer=SimpleNamespace(get=lambda _: None))
    assert watch._read() == {REF: "post-install"}
    watch._running[REF] = ""  # it was seen a moment ago
    assert [symptom.reason for symptom in watch._symptoms(REF)] == reasons
    assert [symptom.reason for symptom in watch._symptoms(REF)] == reasons


@pytest.mark.parametrize(
    ("symptom", "lines"),
    [
        (Symptom(object="Job/check", reason="Failed", message="x"), ["log app: one", "log side: two"]),
        (
            Symptom(object="Pod/check-1", reason="Failed", message="x", pod="check-1", container="side"),
            ["log side: two"],
        ),
        (Symptom(object="Job/other", reason="Failed", message="x"), []),
    ],
)
def test_a_failed_hook_shows_the_logs_of_pods_that_are_gone(symptom: Symptom, lines: list[str]) -> None:
    watch = watching(observer=SimpleNamespace())
    watch._detector = cast("Any", SimpleNamespace(failure=lambda _: SimpleNamespace(message="m", hint="", details=[])))
    watch._tails = {("check-1", "app"): deque(["one"]), ("check-1", "side"): deque(["two"])}
    if symptom.pod:
        watch._tails["check-10", "side"] = deque(["of another pod"])
    assert list(watch._failed(symptom, "pre-install").details) == lines
