"""The documents of formats and the code say the same."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from devtools import events as ev
from devtools.bootstrap.dry_run_script import Line
from devtools.bootstrap.report import StageStatus, plan_document
from devtools.bootstrap.report import document as bootstrap_document
from devtools.checks.findings import Finding
from devtools.commands.contracts import Health, contracts_json
from devtools.commands.review.render import render_json
from devtools.commands.values import values_json
from devtools.config.values import Merged
from devtools.diff.difference import Change
from devtools.drift.changes import ObjectChange, PlannedField, ReleaseChange
from devtools.errors import ConfigError, ExitCode, Location
from devtools.gitops.tree.write import Changes
from devtools.model import Action, ObjectRef, Plan, ReleaseId, Step
from devtools.process.runner import Command
from devtools.report.changes.document import changes_json
from devtools.report.checks import checks_json
from devtools.report.drift import drift_json
from devtools.report.problems import error_json
from devtools.report.summary import Summary
from devtools.report.tables import cluster_json, layers_json
from tests.report.scenarios import SCENARIOS, play
from tests.report.test_drift import DRIFT
from tests.report.test_tables import FACTS, STACK, STATUS, problem

DOCS = Path(__file__).parents[2] / "docs"


def sections(name: str) -> dict[str, str]:
    """Heading → text under it, of every level."""
    parts = re.split(r"^#+ (.+)$", (DOCS / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def documented(text: str) -> list[str]:
    """The first column of the section's table."""
    return re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)


def examples(text: str) -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)]


def test_every_event_is_documented_and_no_other() -> None:
    assert set(sections("events.md")) - {"Events"} == {ev.name_of(kind) for kind in ev.EVENTS}


@pytest.mark.parametrize("kind", ev.EVENTS, ids=ev.name_of)
def test_every_field_of_an_event_is_documented(kind: type[Any]) -> None:
    section = sections("events.md")[ev.name_of(kind)]
    names = [field.name for field in fields(kind)]
    assert documented(section) == names
    (example,) = examples(section)
    assert list(example) == ["v", "at", "event", *names]
    assert (example["v"], example["event"]) == (ev.VERSION, ev.name_of(kind))


def test_planned_steps_are_documented() -> None:
    section = sections("events.md")["plan-made"]
    assert all(f"`{field.name}`" in section for field in fields(ev.PlannedStep))


PLANNED = Line(stage="specs", command=Command(argv=("invoke", "specs"), env={"DEVTOOLS_PROVIDER": "kwok"}))


def test_every_field_of_a_bootstraps_parts_is_documented() -> None:
    found = sections("output.md")
    assert documented(found["stages[]"]) == list(document("bootstrap")["stages"][0])
    assert documented(found["commands[]"]) == list(document("bootstrap-plan")["commands"][0])


HEALTH = Health(release=ReleaseId("ameide", "redis"), layer="40-data-plane", state="ready")


def summary() -> dict[str, Any]:
    state = Summary()
    play(SCENARIOS["simulated"](), state)
    return state.to_json()


FINDING = Finding(where=Location(file=Path("layers/40-data-plane.yaml")), check="objects", message="x")


CHANGES = Changes(out=Path("rendered"), engine="render", files={}, digests={})


def plan_diff() -> dict[str, Any]:
    release = STACK.releases()[0]
    step = Step(release=release, action=Action.UPGRADE, reason="inputs changed")
    ref = ObjectRef("apps/v1", "Deployment", "ameide", "pgadmin")
    fields = (PlannedField(change=Change(steps=("spec", "replicas"), live=1, declared=2)),)
    change = ReleaseChange(step=step, objects=(ObjectChange(ref=ref, does="change", fields=fields),))
    return changes_json(Plan(stack=STACK, layers=(), steps=(step,)), "kwok-ameide", [change], (), 0.9)


def document(kind: str) -> dict[str, Any]:
    return {
        "plan-diff": plan_diff(),
        "render": render_json(STACK, Path("rendered"), 1, 1, CHANGES, 0.1),
        "check": checks_json([FINDING], environments=["dev"], releases=1, objects=1, server=False, seconds=0.1),
        "run-summary": summary(),
        "layers": layers_json(STACK, FACTS),
        "contracts": contracts_json("kwok-ameide", [HEALTH]),
        "drift": drift_json("ameide", "local", "kwok-ameide", DRIFT, 1.4),
        "cluster-status": cluster_json(STATUS),
        "bootstrap": bootstrap_document(
            "status",
            provider="k3d",
            context="k3d-ameide",
            kubeconfig="x",
            stages=(StageStatus(stage="tilt", state="missing"),),
        ),
        "bootstrap-plan": plan_document(provider="kwok", context="kwok-ameide", findings=(), lines=(PLANNED,)),
        "error": error_json(ConfigError("x", problems=(problem(1, "y"),))),
        "values": values_json(
            "ameide/clickhouse",
            "local",
            Merged(
                data={"storage": {"size": "2Gi"}},
                origins={("storage", "size"): Location(file=Path("environments/local/x.yaml"))},
            ),
            explain=True,
        ),
    }[kind]


def shape(value: Any) -> Any:
    """Keys at every level; of lists that of their first element."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return None


@pytest.mark.parametrize(
    "kind",
    [
        *("run-summary", "layers", "contracts", "plan-diff", "render", "check", "drift", "cluster-status"),
        *("bootstrap", "bootstrap-plan", "error", "values"),
    ],
)
def test_every_field_of_a_document_is_documented(kind: str) -> None:
    made = document(kind)
    assert made["kind"] == kind
    assert documented(sections("output.md")[kind]) == list(made)


@pytest.mark.parametrize("part", ["releases", "tests", "contracts"])
def test_every_field_of_a_summarys_parts_is_documented(part: str) -> None:
    assert documented(sections("output.md")[f"{part}[]"]) == list(summary()[part][0])


def test_every_field_of_a_releases_health_is_documented() -> None:
    (release,) = document("contracts")["releases"]
    assert documented(sections("output.md")["contracts.releases[]"]) == list(release)


def test_every_field_of_a_layer_is_documented() -> None:
    layer = layers_json(STACK, FACTS)["layers"][0]
    assert documented(sections("output.md")["layers[]"]) == list(layer)
    assert documented(sections("output.md")["layers[].releases[]"]) == list(layer["releases"][0])


def test_every_field_of_a_drift_is_documented() -> None:
    (release,) = document("drift")["releases"]
    assert documented(sections("output.md")["drift.releases[]"]) == list(release)
    (drift,) = release["drifts"]
    assert all(f"`{key}`" in sections("output.md")["drift.releases[]"] for key in drift)
    (field,) = drift["fields"]
    assert documented(sections("output.md")["drift.releases[].drifts[].fields[]"]) == list(field)


def test_every_example_has_the_shape_of_the_real_document() -> None:
    found = examples((DOCS / "output.md").read_text(encoding="utf-8"))
    assert [item["kind"] for item in found] == [
        "run-summary",
        "layers",
        "contracts",
        "plan-diff",
        "render",
        "check",
        "drift",
        "cluster-status",
        "error",
        "bootstrap",
        "bootstrap-plan",
        "values",
    ]
    for item in found:
        assert shape(item) == shape(document(item["kind"]))


def test_every_word_is_explained() -> None:
    words = set(re.findall(r"^\| ([a-z -]+) \|", sections("output.md")["Words"], flags=re.MULTILINE))
    done = {"installed", "upgraded", "uninstalled"}  # these say what they mean
    assert {*map(str, ev.Verdict), *map(str, ev.Outcome)} - done <= words


def test_exit_codes_are_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(str(int(code)), code.name.lower()) for code in ExitCode]
