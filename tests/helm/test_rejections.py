"""What helm says of refusals, as data; the values that the API server repeats are never kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools.helm.rejections import refusals, without_values

CASES = yaml.load((Path(__file__).parents[1] / "cases" / "refusals.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_refusals(case: Any) -> None:
    assert list(map(str, refusals(case["said"]))) == case["refusals"]


JSON = st.recursive(
    st.text(max_size=6) | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)


@given(JSON, JSON)
def test_values_are_left_out_whatever_is_in_them(one: Any, other: Any) -> None:
    printed = f"x: [a: Invalid value: {json.dumps(one)}: field is immutable, b: Invalid value: {json.dumps(other)}: no]"
    assert without_values(printed) == "x: [a: Invalid value: field is immutable, b: Invalid value: no]"


@given(st.text(), st.text())
def test_whatever_helm_says_is_read(one: str, other: str) -> None:
    refusals(f"Error: server-side apply failed for object {one}/a v1, Kind=X: Invalid value: {other}")
    assert "Invalid value" in without_values(f"a: Invalid value: {one}")
