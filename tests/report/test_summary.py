"""The state over events and the document made of it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from devtools import events as ev
from devtools.report import advice
from devtools.report.jsonl import JsonLines, JsonSummary
from devtools.report.summary import Summary
from tests.report.scenarios import SCENARIOS, Script, begin, check, done, planned, play, started


def document(script: Script) -> dict[str, Any]:
    summary = Summary()
    play(script, summary)
    return summary.to_json()


@pytest.mark.parametrize(
    ("name", "result", "exit_code"),
    [
        ("green", "passed", 0),
        ("failed-smoke", "failed", 1),
        ("failed-release", "failed", 1),
        ("failed-contract", "failed", 1),
        ("unchanged", "unchanged", 0),
        ("interrupted", "interrupted", 130),
        ("simulated", "simulated", 0),
        ("blocked", "failed", 1),
        ("dry-run", "planned", 0),
    ],
)
def test_result(name: str, result: str, exit_code: int) -> None:
    made = document(SCENARIOS[name]())
    assert (made["result"], made["exit_code"]) == (result, exit_code)


def test_a_skipped_release_names_its_cause_even_through_others() -> None:
    made = document(SCENARIOS["failed-release"]())
    causes = {item["release"]: (item["reason"], item["cause"]) for item in made["releases"] if item["cause"]}
    assert causes == {
        "ameide/clickhouse-schema": ("because ameide/clickhouse failed", ["ameide/clickhouse"]),
        "ameide/data-plane-smoke": ("because ameide/clickhouse failed", ["ameide/clickhouse"]),
    }


def test_needs_in_a_circle_do_not_hang() -> None:
    steps = tuple(
        ev.PlannedStep(
            release=name, layer="10-x", action="install", reason="", needs=(need,), chart="c", stand_in=False
        )
        for name, need in (("a/a", "a/b"), ("a/b", "a/a"))
    )
    summary = Summary()
    summary.emit(ev.PlanMade(layers=("10-x",), steps=steps, dry_run=False), 0)
    assert summary.cause("a/a") == ()


def test_a_simulated_contract_keeps_a_run_from_having_passed() -> None:
    script = SCENARIOS["green"]()
    script.insert(-1, (check("ameide/kafka", "Kafka/kafka Ready", ev.Verdict.SIMULATED, "True"), 12.0))
    assert document(script)["result"] == "simulated"


def test_a_failure_is_never_hidden_by_an_exit_code_of_zero() -> None:
    script: Script = [(planned(), 0), (done("ameide/redis", 1, ev.Outcome.FAILED), 1)]
    assert document([*script, (ev.RunFinished(exit_code=0, seconds=1), 1)])["result"] == "failed"


def test_a_run_without_an_end_was_interrupted() -> None:
    made = document([(started(), 0), (planned(), 0), (begin("ameide/redis"), 3)])
    assert (made["result"], made["exit_code"], made["seconds"]) == ("interrupted", None, 3.0)
    assert made["counts"]["releases"]["not_reached"] == 6


def test_events_of_unplanned_releases_are_included() -> None:
    made = document([(begin("x/y"), 0), (done("x/y", 1), 1), (ev.RunFinished(exit_code=0, seconds=1), 1)])
    assert [item["release"] for item in made["releases"]] == ["x/y"]


def test_counts() -> None:
    counts = document(SCENARIOS["simulated"]())["counts"]
    assert counts["tests"] == {"passed": 0, "failed": 0, "simulated": 2, "skipped": 0, "interrupted": 0}
    assert counts["contracts"]["simulated"] == 1
    assert counts["stand_in"] == {"releases": 1}


@pytest.mark.parametrize(
    ("what", "failed", "commands"),
    [
        ("layer 40-data-plane", "test", ["invoke layer 40-data-plane"]),
        ("up", "test", ["invoke layer 40-data-plane", "invoke up"]),
        ("up", "release", ["invoke layer 40-data-plane", "invoke up"]),
        ("up --env dev", "release", ["invoke layer 40-data-plane --env dev", "invoke up --env dev"]),
        (
            "up --env dev --set 'a.b=it'\"'\"'s x' --set c=1",
            "release",
            [
                "invoke layer 40-data-plane --env dev --set 'a.b=it'\"'\"'s x' --set c=1",
                "invoke up --env dev --set 'a.b=it'\"'\"'s x' --set c=1",
            ],
        ),
        ("up --env=dev", "release", ["invoke layer 40-data-plane --env=dev", "invoke up --env=dev"]),
    ],
)
def test_what_to_type_after_a_failure(what: str, failed: str, commands: list[str]) -> None:
    script = SCENARIOS["failed-smoke" if failed == "test" else "failed-release"]()
    first, *rest = script
    assert isinstance(first[0], ev.RunStarted)
    run = ev.RunStarted(
        run="r", what=what, stack="s", environment="dev", provider="kwok", context="c", directory="/repo/r"
    )
    assert document([(run, 0.0), *rest])["next"] == commands


@pytest.mark.parametrize(
    ("provider", "reason", "first"),
    [
        ("k3d", "Job/m container job: ImagePullBackOff: Back-off pulling image", "invoke images.preload"),
        ("k3d", "Job/m container job: CrashLoopBackOff: back-off", "invoke layer 40-data-plane"),
        ("kwok", "Job/m container job: ErrImagePull: no such host", "invoke layer 40-data-plane"),
    ],
)
def test_an_image_that_a_node_cannot_pull_is_brought_there(provider: str, reason: str, first: str) -> None:
    run = ev.RunStarted(run="r", what="up", stack="s", environment="l", provider=provider, context="c", directory="/r")
    release = (done("ameide/redis", 1, ev.Outcome.FAILED, reason), 1.0)
    found = document([(run, 0.0), (planned(), 0.0), release, (ev.RunFinished(exit_code=1, seconds=1), 1.0)])["next"]
    assert (found[0], found[-1]) == (first, "invoke up")


@pytest.mark.parametrize(
    ("what", "reason", "commands"),
    [
        (
            "layer 40-data-plane --env dev",
            "needs ameide/vault of layer 30-secrets, which is not on the cluster: invoke layer 30-secrets",
            ["invoke layer 30-secrets --env dev", "invoke layer 40-data-plane --env dev", "invoke up --env dev"],
        ),
        (
            "up",
            "a stand-in must not replace the real release: invoke charts.vendor --name acme/redis",
            ["invoke charts.vendor --name acme/redis", "invoke layer 40-data-plane", "invoke up"],
        ),
        (
            "layer 40-data-plane",
            "namespace a does not exist, and create_namespace is false: kubectl create namespace a",
            ["invoke layer 40-data-plane"],
        ),
    ],
)
def test_what_repairs_a_blocked_layer_comes_first(what: str, reason: str, commands: list[str]) -> None:
    run = replace(started(), what=what)
    steps = {"ameide/redis": ("blocked", reason), "ameide/kafka": ("blocked", "needs ameide/redis, which is blocked")}
    script: Script = [(run, 0.0), (planned(steps), 0.0)]
    script += [(done(name, 0.0, ev.Outcome.SKIPPED, reason), 0.1) for name, (_, reason) in steps.items()]
    assert document([*script, (ev.RunFinished(exit_code=1, seconds=1), 1)])["next"] == commands
    plan: Script = [(run, 0.0), (planned(steps, dry_run=True), 0.0), (ev.RunFinished(exit_code=0, seconds=1), 1)]
    assert document(plan)["next"][0] == commands[0]


def test_the_next_command_after_everything_was_uninstalled() -> None:
    script: Script = [(started(), 0), (done("ameide/redis", 1, ev.Outcome.UNINSTALLED), 1)]
    assert document([*script, (ev.RunFinished(exit_code=0, seconds=1), 1)])["next"] == ["invoke up"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("layer 40-data-plane", "layer-40-data-plane"), ("../../etc/passwd", "etc-passwd"), ("ü", "unnamed")],
)
def test_names_of_files_are_safe(text: str, name: str) -> None:
    assert advice.file_name(text) == name


def test_json_prints_one_document_and_nothing_else() -> None:
    out = io.StringIO()
    play(SCENARIOS["green"](), JsonSummary(out))
    assert json.loads(out.getvalue())["kind"] == "run-summary"


def test_json_prints_nothing_where_no_run_began() -> None:
    out = io.StringIO()
    play([], JsonSummary(out))
    assert out.getvalue() == ""


def test_jsonl_prints_every_event_on_a_line() -> None:
    out, script = io.StringIO(), SCENARIOS["failed-release"]()
    play(script, JsonLines(out))
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == [
        ev.name_of(type(event)) for event, _ in script
    ]


class _Closed(io.StringIO):
    """A pipe whose reader has gone."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise BrokenPipeError


def test_a_reader_that_goes_away_is_no_error() -> None:
    out = _Closed()
    play(SCENARIOS["green"](), JsonLines(out))
    assert out.writes == 1
