"""Words put into sentences."""

from __future__ import annotations

from devtools.base.words import did_you_mean


def test_a_word_is_never_suggested_for_itself() -> None:
    assert did_you_mean("web", ["web"]) == ""
    assert did_you_mean("web", ["web", "webb"]) == "did you mean 'webb'?"
    assert did_you_mean("web", ["other"]) == ""
