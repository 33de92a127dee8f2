"""What helm's messages mean: recorded ones, and such as hold the words of others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools.helm.failures import classify, unrecorded
from tests.kits.repository import ROOT

CASES = yaml.load((ROOT / "tests/cases/helm-failures.yaml").read_text("utf-8"), yaml.CSafeLoader)
AWAY = [case["stderr"] for case in CASES if case["kind"] == "away"]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_recorded_message(case: dict[str, Any]) -> None:
    assert case.get("source", "written by hand") == "written by hand"
    found = classify(case["stderr"])
    assert (found.kind, found.text, found.hint) == (case["kind"], case["text"], case.get("hint", ""))


@given(st.sampled_from(AWAY), st.text(max_size=10), st.text(max_size=10))
def test_no_text_of_a_chart_is_mistaken_for_a_lost_api_server(away: str, before: str, after: str) -> None:
    text = f"Error: execution error at (web/templates/x.yaml:1:4): {before}{away}{after}"
    assert classify(text).kind == "chart"


@given(st.sampled_from(AWAY))
def test_no_object_name_is_mistaken_for_a_lost_api_server(away: str) -> None:
    name = away.partition("Error: ")[2].splitlines()[0]
    text = f'Error: server-side apply failed for object ns/x /v1, Kind=ConfigMap: ConfigMap "{name}" is invalid: no'
    assert classify(text).kind == "other"


def test_an_update_of_the_record_that_got_no_answer_is_an_outage() -> None:
    request = 'Put \\"https://127.0.0.1:1/api/v1/namespaces/x/secrets/sh.helm.release.v1.web.v1\\"'
    reason = f"update: failed to update: {request}: dial tcp 127.0.0.1:1: connect: connection refused"
    found = unrecorded(f'level=WARN msg=x\nlevel=ERROR msg="failed to record the release" error="{reason}"\n')
    assert found == reason.replace('\\"', '"')
    assert classify(f"Error: {found}").kind == "away"
    assert unrecorded("level=ERROR msg=x\n") == ""
