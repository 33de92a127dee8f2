"""Plain lines: where they go, what they may hold, how wide they are."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from devtools import events as ev
from devtools.report import text
from devtools.report.run_state import ReleaseResult, RunState
from devtools.report.terminal import lines
from devtools.report.terminal.final import final_lines
from devtools.report.terminal.lines import Screen
from devtools.report.terminal.plain import Plain, Ticking
from devtools.testing import FakeClock
from tests.report.scenarios import LAYER, SCENARIOS, START, Script, begin, check, done, planned, play, say, started


def shown(script: Script, *, width: int = 80, verbose: bool = False) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    play(script, Plain(out, err, cwd=Path("/repo"), width=width, verbose=verbose))
    return out.getvalue(), err.getvalue()


def test_the_result_is_on_stdout_and_progress_on_stderr() -> None:
    out, err = shown(SCENARIOS["green"]())
    assert "PASSED" in out
    assert "| PONG" not in out
    assert "| PONG" in err
    assert "PASSED" not in err


def test_output_of_helm_is_printed_once() -> None:
    why = 'Service "s" is invalid: errors: .spec.ports[0].port: expected numeric .spec.selctor: not declared'
    printed = (
        "pod security would warn",
        f'level=WARN msg="upgrade failed" name=s error="{why}"',
        'Error: UPGRADE FAILED: Service "s" is invalid: errors:',
        "  .spec.ports[0].port: expected numeric",
        "  .spec.selctor: not declared",
    )
    end = ev.StepFinished(
        release="ameide/redis", layer=LAYER, outcome=ev.Outcome.FAILED, seconds=1.0, reason=why, hint="", details=()
    )
    script: Script = [(started(), 0.0), (begin("ameide/redis"), 0.1)]
    script += [(ev.StepOutput(release="ameide/redis", stream="stderr", line=line), 0.2) for line in printed]
    out, _ = shown([*script, (end, 1.0), (ev.RunFinished(exit_code=1, seconds=1.0), 1.0)])
    assert [line for line in out.splitlines() if "  | " in line] == ["  | pod security would warn"]
    script[-3:] = []  # helm was cut off before it came to its last word
    out, _ = shown([*script, (end, 1.0), (ev.RunFinished(exit_code=1, seconds=1.0), 1.0)])
    assert sum("  | " in line for line in out.splitlines()) == 2


def test_later_failures_show_the_beginning_of_their_reason() -> None:
    def end(number: int) -> ev.StepFinished:
        reason = "Pod/web: " + ("no room" if number < 6 else "a word and " * 20)
        return ev.StepFinished(
            release=f"a/r{number}", layer=LAYER, outcome=ev.Outcome.FAILED, seconds=1.0, reason=reason, hint="mend it"
        )

    script: Script = [(started(), 0.0)]
    script += [(event, 1.0) for number in range(7) for event in (begin(f"a/r{number}"), end(number))]
    out, _ = shown([*script, (ev.RunFinished(exit_code=1, seconds=1.0), 1.0)])
    assert out.count("Hint:   mend it") == 5
    _, short, _, long, more, after = out[out.index("FAILED a/r5") :].splitlines()[:6]
    assert short == "  Pod/web: no room"
    assert long.startswith("  Pod/web: a word and a word")
    assert more.endswith(" ...")
    assert len(more) <= 80
    assert after == ""


def test_remaining_objects_are_named_as_what_they_are() -> None:
    """`Namespaces/shop` names a step in events; text says which objects it deletes."""
    steps = {"shop/web": "removed with the stack", "Namespaces/shop": "where nothing is left in them: shop, db"}
    plan = planned({name: ("uninstall", reason) for name, reason in steps.items()})
    script: Script = [(started(), 0.0), (plan, 0.1)]
    for name, reason in {"shop/web": "removed with the stack", "Namespaces/shop": "shop, db"}.items():
        script += [(begin(name, "uninstall"), 1.0), (done(name, 0.4, ev.Outcome.UNINSTALLED, reason), 2.0)]
    out, err = shown([*script, (ev.RunFinished(exit_code=0, seconds=2.0), 2.0)])
    assert "1 to uninstall, 1 to delete" in err
    assert "    uninstall  shop/web          removed with the stack\n" in err
    assert "    delete     empty namespaces  where nothing is left in them: shop, db\n" in err
    assert "✓ deleted     empty namespaces    0.4s  shop, db\n" in err
    assert "✓ uninstalled shop/web" in out
    assert "✓ deleted     empty namespaces    0.4s  shop, db\n" in out
    failed = replace(done("CRDs/shop", 0.4), outcome=ev.Outcome.FAILED, reason="the CRDs are kept")
    out, _ = shown([*script, (begin("CRDs/shop"), 2.0), (failed, 2.0), (ev.RunFinished(exit_code=1, seconds=2), 2.0)])
    assert "FAILED CRDs (layer 40-data-plane)" in out
    assert "Namespaces/" not in out + err


def test_a_dry_run_gives_its_plan_on_stdout() -> None:
    out, err = shown(SCENARIOS["dry-run"]())
    assert "install    ameide/kafka" in out
    assert "ameide/kafka" not in err


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("width", [80, 60])
def test_prose_fits_the_width(name: str, width: int) -> None:
    """Only what must stay whole may be wider: logs, paths, names and commands."""
    out, err = shown(SCENARIOS[name](), width=width)
    for line in (out + err).splitlines():
        whole = " | " in line or "/" in line or "invoke" in line
        assert len(line) <= width or whole, line


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_line_can_be_written_in_the_streams_encoding(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    script = SCENARIOS["failed-smoke"]()
    script.insert(-2, (say("kafka-topics", "größer → ✓"), 13.0))
    play(script, Plain(stream, stream, cwd=Path("/repo")))
    written = raw.getvalue().decode(encoding)
    assert ("✓ passed" in written) is (encoding == "utf-8")
    assert ("+ passed" in written) is (encoding != "utf-8")


def test_what_a_container_prints_cannot_move_the_cursor() -> None:
    script = SCENARIOS["green"]()
    script.insert(-2, (say("kafka-topics", "\x1b[2J\x1b]0;title\x07clear\x9b31m\rover\x00"), 12.0))
    out, err = shown(script)
    assert not {"\x1b", "\r", "\x00", "\x9b", "\x07"} & set(out + err)
    assert "| clear" in err


def test_a_long_log_is_bounded_and_says_where_the_rest_is() -> None:
    _, err = shown(SCENARIOS["failed-smoke"]())
    assert "(6 earlier lines in .devtools/runs/" in err
    assert err.count("      | ") - err.count("| PONG") == 40


def test_waiting_is_shown_only_when_long_and_not_too_often() -> None:
    script: Script = [(started(), 0.0), (begin("ameide/redis"), 0.0)]
    script += [(ev.StepWaiting(release="ameide/redis", layer=LAYER, what=f"{n} of 9 ready"), n / 2) for n in range(9)]
    script += [(done("ameide/redis", 150.0), 150.0)]
    _, err = shown(script)
    assert [line.strip() for line in err.splitlines() if "of 9 ready" in line] == [
        "· waiting     ameide/redis  for 8 of 9 ready (5.0s)",
        "· waiting     ameide/redis  for 8 of 9 ready (1m 05s)",
        "· waiting     ameide/redis  for 8 of 9 ready (2m 05s)",
    ]


def test_a_wait_shows_the_probes_message_and_the_time_left() -> None:
    says = "Deployment/web (0 of 1 pods available: Readiness probe failed: migrations are running)"
    script: Script = [(started(), 0.0), (begin("ameide/web"), 0.0)]
    script += [(ev.StepWaiting(release="ameide/web", layer=LAYER, what=says, left=59.0), 1.0)]
    script += [(begin("ameide/redis"), 30.0), (done("ameide/redis", 1.0), 31.0), (done("ameide/web", 55.0), 55.0)]
    _, err = shown(script, width=120)
    assert [line.strip() for line in err.splitlines() if "waiting" in line or "for Deployment" in line] == [
        "· waiting     ameide/web",
        f"for {says} (5.0s, 55s left)",
    ]


def test_counts_are_never_negative_or_without_a_limit() -> None:
    late = ReleaseResult(release="ameide/web", layer=LAYER, started=START, waiting="it", patient_until=START + 60)
    assert lines.how_long(late, START + 61) == "1m 01s, 0.0s left"
    assert lines.how_long(replace(late, patient_until=None), START + 61) == "1m 01s"
    assert lines.how_long(replace(late, waiting=""), START + 61) == "1m 01s"
    assert lines.how_long(late, START + 4) == "4.0s", "nobody wonders yet"


def test_the_ticker_prints_while_idle_and_stops_at_close() -> None:
    class Heard:
        ticks = 0

        def emit(self, event: ev.Event, at: float) -> None: ...

        def tick(self, at: float) -> None:
            self.ticks += 1
            enough.set()

        def close(self) -> None: ...

    from threading import Event

    enough, heard = Event(), Heard()
    ticking = Ticking(heard, FakeClock(), every=0.001)
    assert enough.wait(120)
    ticking.close()
    after = heard.ticks
    assert not ticking._thread.is_alive()
    assert heard.ticks == after


def test_verbose_shows_what_helm_prints() -> None:
    _, err = shown(SCENARIOS["green"](), verbose=True)
    assert "ameide/clickhouse | level=INFO msg=waiting" in err


def test_contracts_are_counted_and_listed_only_on_request() -> None:
    _, brief = shown(SCENARIOS["failed-contract"]())
    _, whole = shown(SCENARIOS["failed-contract"](), verbose=True)
    assert "contracts: 2 passed, 1 simulated" in brief
    assert "StatefulSet/redis" not in brief
    assert "~ simulated   StatefulSet/redis  its pods are simulated, saw ready" in whole


def test_a_failure_is_reported_once_in_each_place() -> None:
    out, err = shown(SCENARIOS["failed-contract"](), width=200)
    for messages in (out, err):
        assert messages.count("contract Kafka/kafka Ready: Ready is False (QuorumLost: simulated failure)") == 1
    assert out.count("KafkaTopic/events does not exist") == 1
    assert "ameide/kafka failed" not in out


@pytest.mark.parametrize(
    ("value", "reason", "note"),
    [
        ("Ready=absent", "Ready is absent", "Ready is absent"),
        ("Ready=True", "its status is simulated", "its status is simulated, saw Ready=True"),
        ("Failed", "{.status.phase} is Failed (no disk)", "{.status.phase} is Failed (no disk)"),
        ("1", "waits for 10 pods", "waits for 10 pods, saw 1"),
        ("404", "answered 404", "answered 404"),
        ("", "it does not exist", "it does not exist"),
        ("ready", "", "saw ready"),
    ],
)
def test_output_is_not_printed_twice(value: str, reason: str, note: str) -> None:
    checked = check("ameide/x", "Kafka/x Ready", ev.Verdict.FAILED, value, reason)
    assert lines.contract_note(checked) == note


@pytest.mark.parametrize(
    ("name", "messages"),
    [("green", "PASSED"), ("simulated", "DONE"), ("unchanged", "UNCHANGED"), ("failed-contract", "FAILED")],
)
def test_the_headline(name: str, messages: str) -> None:
    out, _ = shown(SCENARIOS[name]())
    assert [line.split()[0] for line in out.splitlines() if " layer 40-data-plane in " in line] == [messages]
    assert ("simulator answered" in out) is (name in {"simulated", "unchanged"})


def test_a_run_that_checked_nothing_has_not_passed() -> None:
    script: Script = [(started(), 0.0), (begin("ameide/redis"), 0.0), (done("ameide/redis", 1.0), 1.0)]
    out, _ = shown([*script, (ev.RunFinished(exit_code=0, seconds=1.0), 1.0)])
    assert "DONE layer 40-data-plane in 1.0s" in out
    assert "PASSED" not in out


def test_several_containers_are_distinguished() -> None:
    script = SCENARIOS["green"]()
    script.insert(-2, (say("kafka-topics", "ready", container="sidecar"), 12.0))
    _, err = shown(script)
    assert "      | sidecar: ready" in err
    assert "      | check: 3 topics" in err
    assert "      | PONG" in err


def test_hundreds_of_failures_stay_readable() -> None:
    state = RunState()
    names = [f"ameide/release-{number}" for number in range(300)]
    steps = tuple(
        ev.PlannedStep(release=n, layer=LAYER, action="install", reason="new", needs=(), chart="c", stand_in=False)
        for n in names
    )
    state.emit(started(), START)
    state.emit(ev.PlanMade(layers=(LAYER,), steps=steps, dry_run=False), START)
    for index, name in enumerate(names):
        outcome = (ev.Outcome.INSTALLED, ev.Outcome.FAILED, ev.Outcome.SKIPPED)[0 if index < 280 else 1 + index % 2]
        reason = "because ameide/release-281 failed" if outcome is ev.Outcome.SKIPPED else "it broke"
        state.emit(done(name, 1.0, outcome, reason if outcome is not ev.Outcome.INSTALLED else ""), START)
    state.emit(ev.RunFinished(exit_code=1, seconds=9), START + 9)
    screen = [text.plain(line) for line in final_lines(state, Screen(marks=text.UNICODE, width=80, cwd=Path("/repo")))]
    assert len(screen) < 70
    assert sum(line.startswith("FAILED ameide/") for line in screen) == 10
    assert "    ✓ installed   280 releases" in screen
    assert "    - skipped     10 releases  because ameide/release-281 failed" in screen


@pytest.mark.parametrize(
    ("seconds", "messages"),
    [(0, "0.0s"), (0.44, "0.4s"), (9.94, "9.9s"), (9.96, "10s"), (59.6, "1m 00s"), (125, "2m 05s"), (3720, "1h 02m")],
)
def test_durations(seconds: float, messages: str) -> None:
    assert text.duration(seconds) == messages


def test_a_tests_line_omits_its_release_on_a_narrow_terminal() -> None:
    out = io.StringIO()
    play(SCENARIOS["green"](), Plain(out, out, cwd=Path("/repo"), width=50))
    heads = [line for line in out.getvalue().splitlines() if "test kafka-topics" in line]
    assert heads[0] == "  ✓ passed      test kafka-topics  2.1s"
