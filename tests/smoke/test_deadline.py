"""Deadlines of tests, by cases: how one that ran out of time is told from others, and how long a Job may last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.smoke.deadline import SLACK, deadline_of, expiry, extended, has_passed

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "deadlines.yaml").read_text())
HOOK = {
    "kind": "Job",
    "metadata": {
        "name": "smoke-kafka",
        "labels": {"devtools.ameide.io/test": "kafka"},
        "annotations": {"devtools.ameide.io/timeout-seconds": "120"},
    },
    "spec": {"activeDeadlineSeconds": 120 + SLACK},
}
FOREIGN = {"kind": "Job", "metadata": {"name": "ping"}, "spec": {"activeDeadlineSeconds": 120}}


def pod(state: dict[str, Any] | None) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [{"name": "test", "state": state or {}}]}}


def started(at: str) -> dict[str, Any]:
    return pod({"running": {"startedAt": at}})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_running_out_of_time(case: dict[str, Any]) -> None:
    moment = {"startedAt": "2026-01-01T00:00:00Z"}
    state = {"terminated": {**moment, **case["ended"]}} if "ended" in case else {"running": moment}
    pods = [pod(state if case.get("begun", True) else {"waiting": {"reason": "ContainerCreating"}})]
    last = case.get("last", "")
    message = f"{case['job']}: Job was active longer than specified deadline"
    assert expiry(message, pods, last, deadline_of(HOOK, 300)) == case.get("expiry", "")
    if "expiry" in case:
        assert has_passed(pods, last) is case.get("passed", False)


def test_what_to_raise() -> None:
    assert deadline_of(HOOK, 300).key == "timeoutSeconds of the job kafka"
    assert deadline_of(FOREIGN, 300).key == "activeDeadlineSeconds of Job/ping"
    assert deadline_of({"kind": "Pod", "metadata": {"name": "ping"}}, 300).key == "the release's `timeout`"


def test_a_jobs_deadline_leaves_out_the_start_of_its_container() -> None:
    def job(hook: dict[str, Any], **status: Any) -> dict[str, Any]:
        return {**hook, "status": {"startTime": "2026-01-01T00:00:00Z", **status}}

    ours, other = deadline_of(HOOK, 300), deadline_of(FOREIGN, 300)
    at_once, late = [started("2026-01-01T00:00:00Z")], [started("2026-01-01T00:00:45Z")]
    over = [{"type": "Failed", "status": "True"}]
    assert extended(job(HOOK), at_once, ours, 300, 1) is None
    assert extended(job(HOOK), late, ours, 300, 46) == 120 + 45 + SLACK
    assert extended(job(FOREIGN), late, other, 300, 46) == 120 + 45
    assert extended(job(FOREIGN), late, other, 300, 59) == 165  # the same whenever it is looked at
    assert extended(job(FOREIGN), [pod(None)], other, 300, 11) is None
    assert extended(job(FOREIGN), [pod(None)], other, 300, 70) == 420
    again = job({**FOREIGN, "spec": {"activeDeadlineSeconds": 420}})  # now it has started
    assert extended(again, late, other, 300, 80) == 165
    assert extended(job(FOREIGN, conditions=over), late, other, 300, 130) is None
    assert extended({**FOREIGN, "status": {}}, (), other, 300, 70) is None
    assert extended({"kind": "Job", "metadata": {"name": "x"}, "spec": {}}, late, other, 300, 70) is None
