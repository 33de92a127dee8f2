"""What `invoke drift` prints of what was found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from devtools.diff.difference import ABSENT, Change
from devtools.drift.changes import PlannedField
from devtools.drift.comparison import ObjectDrift, ReleaseDrift
from devtools.model import ObjectRef
from devtools.releases.recovery import Revision
from devtools.report.drift import drift_json, drift_lines, fix_json
from devtools.report.text import plain
from tests.report.test_tables import release

REF = ObjectRef("apps/v1", "Deployment", "ameide", "clickhouse")
MADE = Change(steps=("spec", "replicas"), declared=1, live=3, manager="kubectl-edit", at="2026-01-01T00:00:00Z")
CHANGED = ObjectDrift(ref=REF, state="changed", fields=(PlannedField(change=MADE),))
ONE = ReleaseDrift(
    release=release("clickhouse", "40-data-plane"),
    status="deployed",
    revision=2,
    basis=Revision(number=2, status="deployed"),
    objects=6,
    drifts=(CHANGED,),
)
DRIFT = [ONE]


def lines(*found: ReleaseDrift, width: int = 100) -> list[str]:
    return [plain(line) for line in drift_lines(drift_json("ameide", "local", "kwok", found, 1.26), width)]


def of(**change: Any) -> str:
    """The line of a field."""
    field = PlannedField(change=replace(MADE, **change))
    return lines(replace(ONE, drifts=(replace(CHANGED, fields=(field,)),)), width=400)[2].strip()


def test_a_field() -> None:
    assert lines(ONE) == [
        "ameide/clickhouse  40-data-plane",
        "  Deployment/clickhouse in ameide",
        "    .spec.replicas: 1 → 3",
        "      by kubectl-edit at 2026-01-01T00:00:00Z",
        "1 object of 1 release drifted, of 6 objects of 1 release compared in 1.3s",
    ]


def test_what_is_there_on_one_side_only() -> None:
    assert of(live=ABSENT) == ".spec.replicas: 1 → gone"
    assert of(declared=ABSENT) == ".spec.replicas: not declared → 3"


def test_of_long_values_the_part_that_differs() -> None:
    reported = of(declared="x" * 500 + "a" + "y" * 500, live="x" * 500 + "b" + "y" * 500)
    assert "a" in reported
    assert "b" in reported
    assert len(reported) < 180
    assert of(declared="a\x1b[31m\nb", live="c") == '.spec.replicas: "a\\u001b[31m\\nb" → "c"'


def test_other_states() -> None:
    gone = ObjectDrift(ref=ObjectRef("v1", "Namespace", "", "n"), state="missing")
    refused = ObjectDrift(ref=REF, state="refused", reason="spec: Forbidden")
    hidden = replace(CHANGED, fields=(PlannedField(change=replace(MADE, manager="", at=""), hidden=True),))
    absent = replace(ONE, status="absent", revision=0, basis=None, objects=0, drifts=())
    assert lines(replace(ONE, drifts=(gone, refused, hidden)), absent)[1:-1] == [
        "  Namespace/n  is gone",
        "  Deployment/clickhouse in ameide  cannot be applied: spec: Forbidden",
        "  Deployment/clickhouse in ameide",
        "    .spec.replicas: differs (its values are not shown)",
        "      no field manager owns it now: the cluster does not say who removed it",
        "ameide/clickhouse  nothing to compare with: not on the cluster (invoke layer 40-data-plane)",
    ]
    assert lines(replace(ONE, drifts=())) == ["no drift: 6 objects of 1 release compared in 1.3s"]
    assert lines(replace(ONE, drifts=()), replace(absent, status="uninstalled"))[-2:] == [
        "ameide/clickhouse  nothing to compare with: uninstalled (invoke layer 40-data-plane)",
        "6 objects of 1 release compared in 1.3s, 1 release not compared",
    ]
    unreadable = replace(ONE, basis=None, objects=0, drifts=(), reason="revision 2: its Helm record cannot be read")
    assert lines(unreadable) == [
        "ameide/clickhouse  cannot be compared: revision 2: its Helm record cannot be read",
        "0 objects of 0 releases compared in 1.3s, 1 release not compared",
    ]
    assert not unreadable.settled


def test_what_a_release_that_is_not_deployed_is_compared_with() -> None:
    failed = replace(ONE, status="failed", revision=3)
    gone = ObjectDrift(ref=REF, state="missing")
    assert lines(replace(failed, drifts=(gone,)), width=120)[:3] == [
        "ameide/clickhouse  40-data-plane",
        "  revision 3 is failed: compared with revision 2, the last that is deployed",
        "  Deployment/clickhouse in ameide  is gone",
    ]
    assert lines(replace(failed, drifts=()), width=160) == [
        (
            "ameide/clickhouse  revision 3 is failed: nothing differs from revision 2, the last that is deployed"
            " (invoke layer 40-data-plane)"
        ),
        "6 objects of 1 release compared in 1.3s, 1 release not deployed",
    ]
    first = replace(failed, revision=1, basis=Revision(number=1, status="failed"), drifts=(gone,))
    assert lines(first, width=120)[1:3] == [
        "  revision 1 is failed, and none is deployed: compared with the objects of that revision",
        "  Deployment/clickhouse in ameide  is not there",
    ]
    document = drift_json("ameide", "local", "kwok", [replace(failed, drifts=())], 1.0)
    assert (document["drifted"], document["counts"]["not_deployed"]) == (True, 1)


def test_what_is_left_after_a_fix() -> None:
    assert fix_json(0, ["a/b"], [replace(ONE, drifts=())]) == {"exit_code": 0, "releases": ["a/b"], "left": []}
    assert fix_json(1, [], [ONE])["left"] == ["ameide/clickhouse"]
    assert fix_json(1, [], [replace(ONE, status="failed", drifts=())])["left"] == ["ameide/clickhouse"]
