"""Readiness rules and contracts, case by case."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.errors import ConfigError
from devtools.model import Contract
from devtools.readiness.attempts import last_attempt
from devtools.readiness.contract_evaluation import evaluate
from devtools.readiness.failures import PATIENCE, Symptom, symptoms
from devtools.readiness.rules import ENDED, has_run, job_result, selects, unproven, waits_for
from tests.kits.run import HERE

CASES = Path(__file__).parent.parent / "cases"


def _cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in yaml.load((CASES / name).read_text(), yaml.CSafeLoader)]


@pytest.mark.parametrize("case", _cases("readiness.yaml"))
def test_what_an_object_waits_for(case: dict[str, Any]) -> None:
    assert waits_for(case["object"]) == case["waits"]


@pytest.mark.parametrize(
    ("status", "has"),
    [
        ({}, False),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({"phase": "Succeeded"}, True),
        ({"phase": "Failed"}, False),
    ],
    ids=["new", "unready", "ready", "ended well", "failed"],
)
def test_a_job_has_begun_when_a_pod_of_it_has_run(status: dict[str, Any], has: bool) -> None:  # noqa: FBT001
    assert has_run({"metadata": {"name": "a"}, "status": status}) is has


@pytest.mark.parametrize("case", _cases("failures.yaml"))
def test_what_will_not_heal(case: dict[str, Any]) -> None:
    found = symptoms(case["object"], case["pods"], case.get("claims", ()), case.get("events", ()))
    assert [str(symptom) for symptom in found] == case["says"]
    assert all(symptom.reason in PATIENCE for symptom in found)


PATIENT = {
    "a clear word": (Symptom(object="Pod/a", reason="ErrImagePull", message="manifest unknown"), 3.0),
    "a registry that may be slow": (Symptom(object="Pod/a", reason="ImagePullBackOff", message="i/o timeout"), 25.0),
    "a name that is none": (Symptom(object="Pod/a", reason="InvalidImageName", message="not found"), 0.0),
    "ended twice": (Symptom(object="Pod/a", reason="CrashLoopBackOff", message="", restarts=1), math.inf),
    "ended three times": (Symptom(object="Pod/a", reason="CrashLoopBackOff", message="", restarts=2), 0.0),
    "no room": (Symptom(object="Pod/a", reason="Unschedulable", message="Insufficient cpu"), 15.0),
    "no volume": (
        Symptom(object="Pod/a", reason="Unschedulable", message="pod has unbound immediate PersistentVolumeClaims"),
        30.0,
    ),
    "a quota": (Symptom(object="Job/a", reason="FailedCreate", message="exceeded quota"), 5.0),
    "a user who may not run": (
        Symptom(object="Pod/a", reason="CreateContainerConfigError", message="container has runAsNonRoot and image …"),
        3.0,
    ),
    "a key that may come": (
        Symptom(object="Pod/a", reason="CreateContainerConfigError", message="couldn't find key a in ConfigMap b/c"),
        20.0,
    ),
    "a Job that tries again and again": (Symptom(object="Pod/a", reason="BackOff", message="exit code 1"), 0.0),
    "a webhook": (Symptom(object="Job/a", reason="FailedCreate", message="failed calling webhook"), 20.0),
}


@pytest.mark.parametrize("case", PATIENT)
def test_how_long_a_trouble_may_last(case: str) -> None:
    symptom, seconds = PATIENT[case]
    assert symptom.patience() == seconds


HINTS = {
    # reason and message, and what the hint says: nothing where the message says it all
    "a name that is none": ("InvalidImageName", 'couldn\'t parse image name "A B"', "correct the image's name"),
    "an image that may not be pulled": ("ErrImageNeverPull", "is not present", "invoke images.preload"),
    "a registry that wants to know who asks": ("ErrImagePull", "401 Unauthorized", "imagePullSecrets"),
    "a registry that does not answer": ("ImagePullBackOff", "i/o timeout", "does the cluster reach its registry?"),
    "a program that is not there": (
        "CrashLoopBackOff",
        'exec: "nosuch": executable file not found in $PATH',
        "its image has no such program",
    ),
    "too much memory": ("CrashLoopBackOff", "exit code 137 (OOMKilled) after 2 restarts", "resources.limits.memory"),
    "a crash loop": ("CrashLoopBackOff", "exit code 1 after 2 restarts", "`needs`"),
    "a Job that tries again": ("BackOff", "exit code 1, as did 4 pods", "`needs`"),
    "a Secret that is missing": ("CreateContainerConfigError", 'secret "a" not found', "`needs`"),
    "a key that is missing": ("CreateContainerConfigError", "couldn't find key a in Secret b/c", "`needs`"),
    "a volume of a missing Secret": ("FailedMount", 'secret "a" not found', "`needs`"),
    "a volume of a missing key": ("FailedMount", "references non-existent secret key: a", "`needs`"),
    "a user who may not run": ("CreateContainerConfigError", "container's runAsUser breaks non-root policy", ""),
    "a directory that is none": ("FailedMount", "hostPath type check failed: /x is not a directory", ""),
    "a ServiceAccount that is missing": ("FailedCreate", 'serviceaccount "a" not found', "`needs`"),
    "a PriorityClass that is missing": ("FailedCreate", "no PriorityClass with name a was found", "`needs`"),
    "a quota": ("FailedCreate", "exceeded quota: a", "kubectl describe resourcequotas"),
    "a policy": ("FailedCreate", "denied request: no", ""),
}


@pytest.mark.parametrize("case", HINTS)
def test_a_hint_fits_what_happened_or_there_is_none(case: str) -> None:
    reason, message, says = HINTS[case]
    hint = Symptom(object="Pod/a", reason=reason, message=message).hint
    assert says in hint
    assert bool(says) == bool(hint)


TRIES = {
    "none yet": ({}, []),
    "one": ({"failed": 1}, ["1 pod failed, the last with exit code 3"]),
    "two": ({"failed": 2}, ["2 pods failed, the last with exit code 3"]),
    "two at a time": ({"failed": 2, "parallelism": 2}, ["1 pod failed, the last with exit code 3"]),
    "some that did it": ({"failed": 2, "succeeded": 1}, []),
}


@pytest.mark.parametrize("case", TRIES)
def test_what_the_tries_of_a_job_came_to(case: str) -> None:
    status, says = dict(TRIES[case][0]), TRIES[case][1]
    old, new = ({"state": {"terminated": {"exitCode": code}}, "name": "a"} for code in (1, 3))
    pods: list[dict[str, Any]] = [
        {"metadata": {"creationTimestamp": at}, "status": {"phase": "Failed", "containerStatuses": [state]}}
        for at, state in (("2026-01-01T00:00:10Z", new), ("2026-01-01T00:00:00Z", old))
    ]
    job = {"spec": {"parallelism": status.pop("parallelism", 1)}, "status": status}
    assert [last_attempt(job, pods)] == (says or [""])
    assert last_attempt(job, []) == (says[0].partition(",")[0] if says else "")


def test_what_else_is_on_its_way_may_end_a_crash_loop() -> None:
    def ended(restarts: int) -> Symptom:
        return Symptom(object="Pod/a", reason="CrashLoopBackOff", message="", restarts=restarts)

    assert [ended(number).patience(alone=False) for number in (2, 3, 4)] == [math.inf, math.inf, 0.0]


def test_containers_that_have_only_just_begun_to_run() -> None:
    now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)

    def pod(started: str, **more: Any) -> dict[str, Any]:
        states = [{"name": name, "restartCount": 1, "state": {"running": {"startedAt": started}}} for name in "ab"]
        containers = [{"name": "a"}, {"name": "b", "readinessProbe": {"exec": {}}}]
        return {"metadata": more, "spec": {"containers": containers}, "status": {"containerStatuses": states}}

    stage = {"manager": "kwok-controller", "subresource": "status"}
    assert unproven(pod("2026-01-01T00:00:58Z"), now) == [("a", 1)]
    assert unproven(pod("2026-01-01T00:00:01Z"), now) == []
    assert unproven(pod(""), now) == [("a", ENDED)]
    assert unproven(pod("2026-01-01T00:00:58Z", deletionTimestamp="2026-01-01T00:00:59Z"), now) == []
    assert unproven(pod("2026-01-01T00:00:58Z", managedFields=[stage]), now) == []


@pytest.mark.parametrize("case", _cases("contracts.yaml"))
def test_an_object_against_its_contract(case: dict[str, Any]) -> None:
    observed = evaluate(Contract(where=HERE, **case["contract"]), case["object"])
    assert (observed.value, "" if observed.good else observed.reason) == (case["value"], case["wrong"])
    assert observed.final == (case["value"] == "failed")
    assert observed.refused == case.get("refused", False)


@pytest.mark.parametrize("path", ["{.status[", "{.a}{.b}", "{range .items[*]}{.x}{end}", "{$$}"])
def test_a_path_that_cannot_be_read_is_named_at_its_place(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate(Contract(where=HERE, jsonpath=path), {"metadata": {}})
    assert str(caught.value.problems[0]).startswith("layers/40-data-plane.yaml:1:1: jsonpath")


def test_a_job_that_failed_says_why() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    assert job_result({"status": {"conditions": [failed]}}) == ("failed", "BackoffLimitExceeded: too often")
    assert job_result({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}) == ("complete", "")
    assert job_result({}) == ("", "")


def test_a_workload_without_a_selector_selects_nothing() -> None:
    pod = {"metadata": {"labels": {"app": "web"}}}
    assert not selects({"spec": {}}, pod)
    assert selects({"spec": {"selector": {"matchLabels": {"app": "web"}}}}, pod)
    assert not selects({"spec": {"selector": {"matchLabels": {"app": "db"}}}}, pod)
