"""The live view, rendered to text with a fixed clock."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devtools import events as ev
from devtools.errors import ConfigError
from devtools.report.renderers import choose, renderer, use_color
from devtools.report.run_state import RunState
from devtools.report.terminal.live import LiveView, View
from devtools.report.terminal.plain import Ticking
from devtools.report.text import ASCII, UNICODE, Marks
from devtools.testing import FakeClock
from tests.kits.terminal import Terminal
from tests.report.scenarios import LAYER, SCENARIOS, START, Script, begin, done, play, started, synced


def drawn(script: Script, at: float, *, width: int = 80, height: int = 20, marks: Marks = UNICODE) -> list[str]:
    state, screen = RunState(), io.StringIO()
    for event, when in script:
        state.emit(event, START + when)
    console = Console(file=screen, width=width, height=height, force_terminal=True, color_system=None)
    console.print(View(state, FakeClock(START + at), marks))
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_what_runs_and_what_it_waits_for() -> None:
    assert drawn(synced()[:10], 4.0) == [
        "layer 40-data-plane  4.0s · local on kwok-ameide",
        "  ✓ installed   ameide/redis  0.9s",
        "  ✓ installed   clickhouse-operator/clickhouse-operator  1.4s",
        "  ✓ installed   ameide/kafka  2.0s",
        "  ⠹ install ameide/clickhouse  2.3s  ClickHouseInstallation/clickhouse: Creating",
        "  3 of 6 releases done, 1 running",
    ]


def test_a_long_wait_says_how_much_of_it_is_left() -> None:
    line = next(line for line in drawn(synced()[:10], 42.0, width=120) if "install ameide/clickhouse" in line)
    assert line.endswith("install ameide/clickhouse  40s, 4m 20s left  ClickHouseInstallation/clickhouse: Creating")


def test_a_finished_layer_is_one_line_once_its_tests_ended() -> None:
    testing = drawn(synced(), 12.0)
    assert "  ⠦ test redis-ping  1.5s  ameide/data-plane-smoke" in testing
    assert not any("6 installed" in line for line in testing)
    assert drawn(SCENARIOS["green"]()[:-1], 13.0) == [
        "layer 40-data-plane  13s · local on kwok-ameide",
        "  ✓ 40-data-plane  6 installed",
        "  6 of 6 releases done, 0 running; 2 of 2 tests done",
    ]


def test_a_failure_is_counted() -> None:
    assert drawn(SCENARIOS["failed-release"]()[:-1], 44.0)[-2:] == [
        "  ✗ 40-data-plane  3 installed, 1 failed, 2 skipped",
        "  6 of 6 releases done, 0 running; 1 failed",
    ]


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (ev.Verdict.PASSED, "  ✓ 40-data-plane  6 installed"),
        (ev.Verdict.SKIPPED, "  ✓ 40-data-plane  6 installed"),
        (ev.Verdict.FAILED, "  ✗ 40-data-plane  6 installed, 1 test failed"),
        (ev.Verdict.SIMULATED, "  ~ 40-data-plane  6 installed, 1 test simulated"),
    ],
)
def test_a_layer_whose_tests_failed_has_not_succeeded(verdict: ev.Verdict, line: str) -> None:
    script = [
        (
            replace(event, verdict=verdict)
            if isinstance(event, ev.TestFinished) and event.test == "redis-ping"
            else event,
            at,
        )
        for event, at in SCENARIOS["green"]()[:-1]
    ]
    assert drawn(script, 13.0)[1] == line


def test_no_line_is_lost_while_the_view_is_redrawn() -> None:
    terminal = Terminal(80, 30)
    console = Console(file=terminal, width=80, height=30, force_terminal=True, color_system=None, _environ={})

    def clock() -> float:
        """Is asked in the middle of drawing: leaves room there for whatever else would draw."""
        time.sleep(0.002)
        return START

    view = Ticking(LiveView(console, console, clock=clock, cwd=Path("/repo"), verbose=True), clock, every=1 / 500)
    script = SCENARIOS["green"]()
    start = next(at for at, (event, _) in enumerate(script) if isinstance(event, ev.StepStarted))
    for event, at in script[: start + 1]:
        view.emit(event, START + at)
    expected = [f"line {number} of a log" for number in range(300)]
    for number, line in enumerate(expected):  # the view grows and shrinks meanwhile
        test: dict[str, Any] = {"release": "ameide/data-plane-smoke", "layer": LAYER, "test": f"test-{number % 8}"}
        if number // 8 % 2:
            view.emit(ev.TestFinished(**test, verdict=ev.Verdict.PASSED, seconds=1.0), START + 5)
        else:
            view.emit(ev.TestStarted(**test), START + 5)
        view.emit(ev.StepOutput(release="ameide/redis", stream="stdout", line=line), START + 5)
    for event, at in script[start + 1 :]:
        view.emit(event, START + at)
    view.close()
    shown = "\n".join(terminal.lines)
    assert [line for line in expected if f"| {line}\n" not in shown] == []


@pytest.mark.parametrize("height", [5, 10, 24, 60])
@pytest.mark.parametrize("width", [30, 80, 200])
def test_three_hundred_steps_fit_the_screen(width: int, height: int) -> None:
    script: Script = [(started(), 0.0)]
    names = [f"ameide/release-{number}" for number in range(300)]
    steps = tuple(
        ev.PlannedStep(release=n, layer=LAYER, action="install", reason="new", needs=(), chart="c", stand_in=False)
        for n in names
    )
    script += [(ev.PlanMade(layers=(LAYER,), steps=steps, dry_run=False), 0.0)]
    script += [(begin(name), 1.0) for name in names[:150]]
    script += [(done(name, 1.0), 2.0) for name in names[:50]]
    lines = drawn(script, 3.0, width=width, height=height)
    assert len(lines) <= height - 1
    assert all(len(line) <= width for line in lines)
    assert lines[-1].startswith("  50 of 300 releases done")
    assert any("more running" in line for line in lines)


def test_ascii_terminals_get_ascii() -> None:
    assert all(line.isascii() for line in drawn(synced(), 12.0, marks=ASCII))


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_last_screen_is_the_plain_one_with_colour(name: str, *, color: bool) -> None:
    screen = io.StringIO()
    console = Console(
        file=screen, width=80, height=24, force_terminal=True, no_color=not color, color_system="standard", _environ={}
    )
    play(SCENARIOS[name](), LiveView(console, console, clock=FakeClock(START), cwd=Path("/repo")))
    observed = screen.getvalue()
    assert ("\x1b[1;31m" in observed or "\x1b[32m" in observed or "\x1b[33m" in observed) is color
    from rich.text import Text

    transcript = (Path(__file__).parent / "transcripts" / f"{name}.txt").read_text(encoding="utf-8")
    tail = transcript[transcript.rindex("\n\n") :]
    assert "\n".join(line.rstrip() for line in Text.from_ansi(observed).plain.splitlines()).endswith(tail.rstrip())


def test_the_view_is_gone_when_the_run_is_over() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=24, force_terminal=True, _environ={})
    play(SCENARIOS["green"](), LiveView(console, console, clock=FakeClock(START), cwd=Path("/repo")))
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1


@pytest.mark.parametrize(
    ("output", "isatty", "environ", "kind"),
    [
        ("text", True, {"TERM": "xterm"}, "live"),
        ("text", False, {"TERM": "xterm"}, "plain"),
        ("text", True, {"TERM": "dumb"}, "plain"),
        ("text", True, {}, "plain"),
        ("text", True, {"TERM": "xterm", "CI": "true"}, "plain"),
        ("text", True, {"TERM": "xterm", "CI": "false"}, "live"),
        ("text", True, {"TERM": "xterm", "NO_COLOR": "1"}, "live"),
        ("json", True, {"TERM": "xterm"}, "json"),
        ("jsonl", False, {}, "jsonl"),
    ],
)
def test_choose(output: str, environ: dict[str, str], kind: str, *, isatty: bool) -> None:
    assert choose(output, isatty=isatty, environ=environ) == kind


def test_an_unknown_output_names_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        choose("yaml", isatty=True, environ={})
    assert "text, json, jsonl" in caught.value.hint


@pytest.mark.parametrize(
    ("isatty", "environ", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (False, {"TERM": "xterm"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_use_color(environ: dict[str, str], *, isatty: bool, expected: bool) -> None:
    assert use_color(isatty=isatty, environ=environ) is expected


@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_renderer_keeps_stdout_for_the_result(output: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    clock, cwd = FakeClock(START), Path("/repo")
    for sink in renderer(output, out=out, err=err, environ={}, is_terminal=False, clock=clock, cwd=cwd):
        play(SCENARIOS["green"](), sink)
    first = out.getvalue().lstrip().splitlines()[0]
    assert first == {"text": "Summary", "json": "{"}.get(output, first)
    assert (err.getvalue() == "") is (output == "jsonl")
    assert ("PASSED" in err.getvalue()) is False


def test_plain_output_imports_no_rich() -> None:
    code = (
        "import sys, devtools.report.renderers, devtools.report.tables, devtools.report.problems, devtools.report.files"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit('rich' in sys.modules)"], check=False, cwd=Path(__file__).parents[2]
    )
    assert run.returncode == 0
