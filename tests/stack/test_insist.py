"""What is insisted on for single releases, laid over a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devtools.errors import ConfigError
from devtools.stack.insist import RECREATE, TAKE, chosen, insisted
from devtools.stack.model import Action, Plan, ReleaseId
from devtools.stack.plan import Selection
from tests.stack.test_plan import line, plan_of, stack_of

LAYERS = {
    "10-a": {"releases": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
    "20-b": {"releases": [{"name": "d", "installed": False}]},
}
FACTS = {"ns/a": None, "ns/b": {"digest": "older"}}


def planned(root: Path) -> Plan:
    """a is unchanged, b is to be upgraded, c installed, and d is disabled."""
    case = {"layers": LAYERS, "facts": FACTS}
    return plan_of(stack_of(root, case), case)


def ids(*names: str) -> list[ReleaseId]:
    return [ReleaseId("ns", name) for name in names]


def test_what_is_insisted_on_is_synced_and_says_why(tmp_path: Path) -> None:
    plan = insisted(planned(tmp_path / "repo"), recreate=ids("a", "b", "d"), take=ids("c"))
    assert [line(step) for step in plan.steps[:3]] == [
        f"upgrade ns/a: {RECREATE}",
        f"upgrade ns/b: inputs changed; {RECREATE}",
        f"install ns/c: not on the cluster; {TAKE}",
    ]
    assert [(step.recreate, step.take) for step in plan.steps] == [
        (True, False),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert plan.steps[3].action is Action.DISABLED


def test_a_reason_of_its_own_only_where_the_plan_has_none(tmp_path: Path) -> None:
    reasons = dict.fromkeys(ids("a", "b"), "drifted: ConfigMap/x")
    plan = insisted(planned(tmp_path / "repo"), take=ids("a", "b"), reasons=reasons)
    assert [line(step) for step in plan.steps[:2]] == [
        "upgrade ns/a: drifted: ConfigMap/x",
        "upgrade ns/b: inputs changed",
    ]
    assert all(step.take for step in plan.steps[:2])


def test_nothing_insisted_on_changes_nothing(tmp_path: Path) -> None:
    plan = planned(tmp_path / "repo")
    assert insisted(plan) == plan
    assert insisted(plan, recreate=ids("elsewhere")) == replace(plan)


def test_releases_are_named_as_elsewhere(tmp_path: Path) -> None:
    stack = stack_of(tmp_path / "repo", {"layers": LAYERS, "facts": FACTS})
    selection = Selection(layers=("10-a",))
    assert chosen(stack, selection, ("a", "ns/b"), "--recreate") == frozenset(ids("a", "b"))
    for typed, message in {
        "aa": "unknown release 'aa'",
        "d": "--recreate: release ns/d is disabled by ",
    }.items():
        with pytest.raises(ConfigError, match=message):
            chosen(stack, selection, (typed,), "--recreate")
    with pytest.raises(ConfigError, match="--take-ownership: release ns/a is not among what this is about"):
        chosen(stack, Selection(layers=("20-b",)), ("a",), "--take-ownership")
