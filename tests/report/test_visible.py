"""What a terminal would act upon is shown instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.report.text import Span, plain, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("charts/web/Chart.yaml", "charts/web/Chart.yaml"),
        ("größe · 日本 👍", "größe · 日本 👍"),
        ("a\tb", "a\tb"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\nb\r", r"a\nb\r"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\udcff.yaml", r"\udcff.yaml"),
    ],
)
def test_controls_become_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert plain((Span(text, "bad"),)) == shown


@given(st.text())
def test_nothing_that_a_terminal_acts_upon_is_left(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert not {letter for letter in shown if ord(letter) < 32 or 127 <= ord(letter) < 160} - {"\t"}
    shown.encode()
