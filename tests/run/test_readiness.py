"""Readiness rules, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.run.readiness import PATIENCE, job_result, selects, troubles, waits_for

CASES = Path(__file__).parent.parent / "cases"


def _cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in yaml.safe_load((CASES / name).read_text())]


@pytest.mark.parametrize("case", _cases("readiness.yaml"))
def test_what_an_object_waits_for(case: dict[str, Any]) -> None:
    assert waits_for(case["object"]) == case["waits"]


@pytest.mark.parametrize("case", _cases("troubles.yaml"))
def test_what_will_not_heal(case: dict[str, Any]) -> None:
    found = troubles(case["object"], case["pods"])
    assert [str(trouble) for trouble in found] == case["says"]
    assert all(trouble.reason in PATIENCE for trouble in found)


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
