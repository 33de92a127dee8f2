"""What machines wrote is read, or refused with a ValueError, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.base.machine_json import json_text, read_json
from devtools.base.machine_yaml import DEEPEST, read_documents, read_yaml
from tests.kits.fuzzing import laughs


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1", {"a": 1}),
        ("a: 2024-99-99", {"a": "2024-99-99"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("enum: [=, '!=']", {"enum": ["=", "!="]}),
        ("!!set {a, b}", {"a": None, "b": None}),
        ("!!omap [a: 1]", [{"a": 1}]),
        ("!!binary YQ==", "a"),
        ("!!binary /w==", "\ufffd"),
        ("a: 1\n---\nb: 2", {"a": 1}),
        ("9" * 5000, "9" * 5000),
        ("{y: y, 'y': yes}", {"true": True, "y": True}),
        ("17:45", "17:45"),
        ("[&x {k: v}, *x, {<<: *x}]", [{"k": "v"}] * 3),
        (b"\xff\xfea\x00:\x00 \x001\x00", {"a": 1}),
    ],
)
def test_yaml_that_is_read(text: str | bytes, value: Any) -> None:
    assert read_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "!!bool x",
        '!!int ""',
        "!!float x",
        "{[a]: b}",
        "\x00",
        "\ud800",
        b"\xff",
        "&a [*a]",
        "&a {b: [{c: *a}]}",
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        "[" * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "[&a " + "[" * 300 + "]" * 300 + ", " + "[" * 300 + "*a" + "]" * 300 + "]",
        laughs(7),
    ],
    ids=lambda text: repr(text[:24]),
)
def test_yaml_that_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_yaml(text)


def test_documents_come_one_by_one() -> None:
    found = read_documents("a: 1\n---\n---\nb: [\n")
    assert next(found) == {"a": 1}
    with pytest.raises(ValueError, match="line"):
        next(found)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, b"\xff"], ids=lambda text: repr(text[:9])
)
def test_json_that_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_json(text)


_ACTED_UPON = {*map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F)))} - {"\n"}
_ACTED_UPON |= {*map(chr, range(0x2066, 0x206A))}


@given(st.dictionaries(st.text(), st.text() | st.text(sorted(_ACTED_UPON)), max_size=3))
def test_json_for_people_holds_nothing_that_a_terminal_acts_upon(value: dict[str, str]) -> None:
    text = json_text(value)
    assert _ACTED_UPON.isdisjoint(text)
    assert read_json(text) == value


def test_json_for_people_keeps_letters_and_can_always_be_encoded() -> None:
    assert json_text({"größe": "日本 👍 \udcff"}, indent=None) == '{"größe": "日本 👍 \\udcff"}'
