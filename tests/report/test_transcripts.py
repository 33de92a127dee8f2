"""Whole transcripts against files that a reader can check by eye.

After a wanted change: `python -m tests.report.test_transcripts` writes them anew; read the difference.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from devtools.report.terminal.plain import Plain
from tests.report.scenarios import SCENARIOS, play

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def transcript(name: str) -> str:
    screen = io.StringIO()
    play(SCENARIOS[name](), Plain(screen, screen, cwd=Path("/repo")))
    return screen.getvalue()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_reads_as_its_transcript(name: str) -> None:
    assert transcript(name) == (TRANSCRIPTS / f"{name}.txt").read_text(encoding="utf-8")


def test_every_transcript_has_a_run() -> None:
    assert {path.stem for path in TRANSCRIPTS.glob("*.txt")} == set(SCENARIOS)


if __name__ == "__main__":
    for scenario in SCENARIOS:
        (TRANSCRIPTS / f"{scenario}.txt").write_text(transcript(scenario), encoding="utf-8")
