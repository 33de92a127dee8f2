"""Whatever a cluster's own kinds say of themselves, it is understood.

An API server keeps to its types, so here they are kept to, too: what may be left out is, texts are any text, numbers
any number, lists are empty or long, times are any time or null.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, event, example, given
from hypothesis import strategies as st

from devtools.diff.difference import changes
from devtools.diff.managed_fields import handed_over, managed, owns
from devtools.diff.replaced_items import replaced
from devtools.kube.client import ApiError
from devtools.readiness.failures import PATIENCE, newest, symptoms
from devtools.readiness.rules import lacks_pods, newest_pods, selects, unproven, waits_for
from devtools.releases.retry_policy import unanswered

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIME = "2026-01-01T00:00:00Z"
TIMES = (None, TIME, "2025-12-31T23:59:59.123456Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
NEEDED = {"metadata", "name", "uid", "type", "kind", "apiVersion", "involvedObject", "status"}  # status: of a condition
TEXTS = (
    *PATIENCE,
    *(
        "",
        "True",
        "False",
        "Unknown",
        "Failed",
        "Succeeded",
        "Running",
        "Pending",
        "Unschedulable",
        "Ready",
        "Complete",
    ),
    *("a", "b", "a\nb", "é\u2028", "x" * 3000, "%s {0}", "ContainerCreating", "Job", "RollingUpdate", "OnDelete"),
    *('secret "x" not found', "not found", "failed calling webhook", "Readiness probe failed: statuscode: 404"),
    *("unbound immediate PersistentVolumeClaims", "spec.containers{a}", "kwok-controller", "status", "8"),
)
NUMBERS = (-(2**31), -1, 0, 1, 2, 3, 30, 137, 2**31 - 1, 2**63 - 1)


def metadata(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "n", "uid": f"u-{name}", "generation": 2, "creationTimestamp": TIME, **more}


def container(name: str) -> dict[str, Any]:
    ended = {"exitCode": 1, "reason": "Error", "message": "m", "startedAt": TIME, "finishedAt": TIME}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}, "running": {"startedAt": TIME}}
    more = {"ready": False, "restartCount": 3, "state": {**state, "terminated": ended}, "lastState": {}}
    return {"name": name, **more, "image": "x:1"}


def condition(kind: str) -> dict[str, Any]:
    return {"type": kind, "status": "False", "reason": "Unschedulable", "message": "m", "lastTransitionTime": TIME}


POD = {
    "metadata": metadata(
        "p",
        labels={"app": "a", "pod-template-hash": "h"},
        ownerReferences=[{"kind": "ReplicaSet", "name": "r", "uid": "u-r", "controller": True}],
        managedFields=[{"manager": "kwok-controller", "subresource": "status", "operation": "Apply"}],
        deletionTimestamp=TIME,
    ),
    "spec": {"nodeName": "m", "containers": [{"name": "a", "readinessProbe": {"periodSeconds": 1}}, {"name": "b"}]},
    "status": {
        "phase": "Pending",
        "reason": "Evicted",
        "message": "m",
        "conditions": [condition("PodScheduled"), condition("Ready")],
        "initContainerStatuses": [container("i")],
        "containerStatuses": [container("a"), container("b")],
    },
}
STATUS = {
    **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "observedGeneration"), 2),
    **dict.fromkeys(
        ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady", "active", "ready", "failed"), 1
    ),
    "succeeded": 0,
    "ready": 1,
    "phase": "Pending",
    "updateRevision": "a",
    "currentRevision": "b",
    "conditions": [condition(kind) for kind in ("Progressing", "ReplicaFailure", "Failed", "Complete", "Established")],
}
SPEC = {
    "replicas": 2,
    "paused": True,
    "suspend": False,
    "selector": {"matchLabels": {"app": "a"}},
    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
}
KINDS = (
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet")),
    *(("batch/v1", "Job"), ("v1", "Pod"), ("v1", "PersistentVolumeClaim"), ("v1", "ConfigMap")),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
)
OWNED = {"annotations": {"deployment.kubernetes.io/revision": "2"}, "labels": {"pod-template-hash": "h"}}
SET = {"metadata": metadata("r", **OWNED, ownerReferences=[{"kind": "Deployment", "name": "w", "uid": "u-w"}])}
CLAIM = {"kind": "PersistentVolumeClaim", "metadata": metadata("c"), "status": {"phase": "Pending"}}
EVENT = {
    "metadata": metadata("e"),
    "involvedObject": {"kind": "Pod", "name": "p", "uid": "u-p", "fieldPath": "spec.containers{a}"},
    "reason": "FailedMount",
    "message": "m",
    "type": "Warning",
    "count": 3,
    "firstTimestamp": TIME,
    "lastTimestamp": TIME,
    "eventTime": None,
    "series": {"lastObservedTime": TIME},
}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@st.composite
def objects(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """An object with a few places changed to what their types allow."""
    found = copy.deepcopy(good)
    for _ in range(draw(st.integers(0, 5))):
        parent, key = draw(st.sampled_from(list(places(found))))
        value = parent[key]
        spared = key not in NEEDED or (key == "status" and isinstance(value, dict))
        if isinstance(parent, dict) and spared and draw(st.booleans()):
            del parent[key]
        else:
            parent[key] = draw(_another(value, key))
    return found


def _another(value: Any, key: Any) -> st.SearchStrategy[Any]:
    """What else could stand there."""
    if value is None or value == TIME:
        return st.sampled_from(TIMES)
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.sampled_from(NUMBERS)
    if isinstance(value, str):
        retained = key in {"kind", "apiVersion", "uid"}
        return st.just(value) if retained else st.sampled_from(TEXTS if key != "name" else ("a", "b", "p", "w"))
    if isinstance(value, list):
        return st.sampled_from((value, [*value, *copy.deepcopy(value)], value[:1], []))
    return st.sampled_from((value, {} if not NEEDED & value.keys() else value))


WORKLOADS = st.sampled_from(KINDS).flatmap(
    lambda kind: objects(
        {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata("w", **OWNED), "spec": SPEC, "status": STATUS}
    )
)


@given(
    WORKLOADS,
    st.lists(objects(POD), max_size=2),
    st.lists(objects(CLAIM), max_size=1),
    st.lists(objects(EVENT), max_size=2),
    st.lists(objects(SET), max_size=2),
)
def test_whatever_a_workload_its_pods_and_events_say(
    item: dict[str, Any],
    pods: list[dict[str, Any]],
    claims: list[dict[str, Any]],
    events: list[dict[str, Any]],
    sets: list[dict[str, Any]],
) -> None:
    assert isinstance(waits_for(item), str)
    assert len(newest_pods(item, pods, sets)) <= len(pods)
    lacks_pods(item, pods)
    found = symptoms(item, pods, claims, events)
    for symptom in found:
        assert str(symptom)
        assert symptom.patience() >= 0
        assert symptom.patience(alone=False) >= symptom.patience() or symptom.reason != "CrashLoopBackOff"
        assert isinstance(symptom.hint, str)
        assert symptom.wanted is None or all(symptom.wanted)
    for pod in pods:
        selects(item, pod)
        assert all(isinstance(number, int) for _, number in unproven(pod, NOW))
        newest(pod, events, ("FailedMount",))
    event("troubled" if found else "fine")


# --- who manages which field

STEPS = st.sampled_from(
    ("f:spec", "f:data", "f:a", "f:b", 'k:{"name":"a"}', 'k:{"port":1,"protocol":"TCP"}', 'v:"a"', "v:1", "i:0", ".")
)
FIELDS: st.SearchStrategy[Any] = st.recursive(
    st.builds(dict),  # a new one each time, as from JSON: they are changed
    lambda inner: st.dictionaries(STEPS, inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {"manager": st.sampled_from(("helm", "kubectl", "é")), "operation": st.sampled_from(("Apply", "Update"))},
        optional={
            "fieldsV1": FIELDS,
            "subresource": st.sampled_from(("", "status", "scale")),
            "time": st.just(TIME),
            "apiVersion": st.just("v1"),
        },
    ),
    max_size=3,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(("a", "1", "")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("a", "b", "name", "port", "spec")), inner, max_size=3)
    ),
    max_leaves=8,
)


@example(
    [{"manager": "helm", "operation": "Apply", "fieldsV1": {"f:spec": {'k:{"port":1,"protocol":"TCP"}': {}}}}],
    [],
    [{"port": []}],
    [{"a": None}],
)
@given(ENTRIES, ENTRIES, VALUES, VALUES)
def test_any_field_manager(
    live: list[dict[str, Any]], wanted: list[dict[str, Any]], one: object, other: object
) -> None:
    first = {"metadata": {"name": "a", "managedFields": live}, "spec": one, "data": {"a": other}}
    second = {"metadata": {"name": "a", "managedFields": wanted}, "spec": other, "data": {"a": one}}
    managed(first, second)
    found = changes(first, second, "helm")
    assert all(str(change.path) for change in found)
    replaced(first, second, "helm")
    paths = [change.steps for change in found]
    assume(paths)
    for path in paths:
        for entry in live:
            owns(entry, path)
    before = copy.deepcopy(live)
    handed_over(first, paths, "helm")
    assert live == before  # a copy is handed over
    event("handed over")


@given(st.text(max_size=300), st.sampled_from(("connection refused", "x509", "not found", "EOF", "")))
def test_any_webhook_configuration(text: str, why: str) -> None:
    found = unanswered(f'failed calling webhook "{text}": {text} {why} {text}')
    assert found is None or found.message
    assert ApiError(500, text, text).message
