"""Readiness rules and contracts, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.errors import ConfigError
from devtools.run.measure import measure
from devtools.run.readiness import PATIENCE, job_result, selects, troubles, waits_for
from devtools.stack.model import Contract
from tests.run.kit import HERE

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


@pytest.mark.parametrize("case", _cases("contracts.yaml"))
def test_an_object_against_its_contract(case: dict[str, Any]) -> None:
    seen = measure(Contract(where=HERE, **case["contract"]), case["object"])
    assert (seen.value, "" if seen.good else seen.reason) == (case["value"], case["wrong"])
    assert seen.final == (case["value"] == "failed")


@pytest.mark.parametrize("path", ["{.status[", "{.a}{.b}", "{range .items[*]}{.x}{end}", "{$$}"])
def test_a_path_that_cannot_be_read_is_named_at_its_place(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        measure(Contract(where=HERE, jsonpath=path), {"metadata": {}})
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
