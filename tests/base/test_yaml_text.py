"""YAML that is written for controllers: go-yaml and PyYAML read back what was written."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools.base.machine_yaml import read_yaml, yaml_text

TEXTS = ["", "~", "null", "y", "No", "on", "1e3", "0o14", "0x1F", "1_000", "22:22", "2020-01-01", "=", "<<", ".5", "-"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from(TEXTS) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("text", [*TEXTS, "a\nb", "a\nb\n", "a \n b\n\n", "\n", "{{ .x }}", "# no", "a: b", "%"])
def test_text_stays_text(text: str) -> None:
    written = yaml_text({"key": text, text: 1})
    assert read_yaml(written) == {"key": text, text: 1}
    assert yaml.safe_load(written) == {"key": text, text: 1}


@given(VALUES)
def test_whatever_is_written_is_read_back(value: Any) -> None:
    assert read_yaml(yaml_text({"value": value})) == {"value": value}


def test_shared_values_are_repeated() -> None:
    shared = {"a": [1]}
    assert yaml_text({"x": shared, "z": shared}) == "x:\n  a:\n  - 1\nz:\n  a:\n  - 1\n"
