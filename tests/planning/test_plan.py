"""Plans as data: what is declared and what is there → one line for each step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.engine.engine import announce
from devtools.errors import ConfigError
from devtools.model import ChartRef, Facts, Need, ObjectRef, Plan, ReleaseFact, ReleaseId, Stack, Step
from devtools.planning.overrides import adopted, find_overrides, with_overrides
from devtools.planning.plan import Selection, behind, digest_behind, down_plan, make_plan
from tests.kits.stack import cases, load, printed, repository

SAME = "same"
BLOCKED = "blocked ns/a: a stand-in must not replace the real release: invoke charts.vendor --name acme/a"


def stack_of(root: Path, case: Any) -> Stack:
    """The case's layers as files: releases are in namespace `ns` and use one chart, where they do not say otherwise."""
    files = {"devtools.yaml": "name: shop\n", "layers/_defaults.yaml": "release: {namespace: ns}\n"}
    for name, layer in case["layers"].items():
        releases = [{"chart": "platform/web", **release} for release in layer["releases"]]
        files[f"layers/{name}.yaml"] = yaml.safe_dump({"stage": "s", **layer, "releases": releases})
    return load(repository(root, files))


def release_id(text: str) -> ReleaseId:
    return ReleaseId(*text.split("/"))


def facts_of(case: Any) -> Facts:
    """What is there: deployed, ready and ours, where the case does not say otherwise."""
    facts = {}
    for name, provided in (case.get("facts") or {}).items():
        fact = {"status": "deployed", "revision": 1, "digest": SAME, "ready": SAME, "stack": "shop", **(provided or {})}
        for key in ("missing", "going"):
            found = [text.split("/") for text in fact.pop(key, [])]
            fact[key] = tuple(ObjectRef("v1", kind, "ns", object_name) for kind, object_name in found)
        facts[release_id(name)] = ReleaseFact(id=release_id(name), **fact)
    return Facts(releases=facts, absent=tuple(case.get("absent", ())))


def line(step: Step) -> str:
    """`upgrade ns/a after ns/b, ns/c: inputs changed`."""
    after = f" after {', '.join(map(str, step.needs))}" if step.needs else ""
    recover = f" (recover {step.recover})" if step.recover else ""
    adopt = " (adopt)" if step.adopt else ""
    return f"{step.action} {step.id}{after}: {step.reason}{recover}{adopt}"


def plan_of(stack: Stack, case: Any) -> Plan:
    names = case.get("releases")
    selection = Selection(
        layers=tuple(case.get("select", [layer.name for layer in stack.layers])),
        releases=frozenset(map(release_id, names)) if names else None,
    )
    if case.get("down"):
        return down_plan(stack, selection, facts_of(case), declared_too=not case.get("undeclared", False))
    digests = dict.fromkeys((release.id for release in stack.releases()), SAME)
    overrides = find_overrides(stack, selection, recreate=(), take=case.get("take", ()))
    adopt = {*map(release_id, case.get("adopt", ())), *adopted(overrides, facts_of(case))}
    made = make_plan(stack, selection, facts_of(case), digests, force=case.get("force", False), adopt=adopt)
    return with_overrides(made, overrides)


@pytest.mark.parametrize("case", cases("plan"))
def test_plan(case: Any, tmp_path: Path) -> None:
    stack = stack_of(tmp_path / "repo", case)
    plan = plan_of(stack, case)
    assert [line(step) for step in plan.steps] == case["steps"]
    assert plan == plan_of(stack, case)
    if "left" in case:
        assert list(map(str, plan.undeclared)) == case["left"]


@pytest.mark.parametrize(
    ("kind", "deployed", "expected"),
    [
        (
            "local",
            {"chart": "stand-in", "digest": "old"},
            "install ns/a: the real chart replaces its stand-in, which is uninstalled first (recover stand-in)",
        ),
        (
            "vendored",
            {"chart": "stand-in", "digest": "old", "status": "failed", "revision": 1},
            "install ns/a: the real chart replaces its stand-in, which is uninstalled first (recover stand-in)",
        ),
        ("stand-in", {"chart": "stand-in", "digest": "old"}, "upgrade ns/a: inputs changed"),
        (
            "stand-in",
            {"chart": "stand-in", "digest": "old", "status": "uninstalled"},
            "install ns/a: not on the cluster",
        ),
        ("stand-in", {"chart": "vendored", "digest": "old"}, BLOCKED),
        ("stand-in", {"chart": "vendored", "digest": "old", "status": "failed", "revision": 1}, BLOCKED),
        ("stand-in", {"digest": ""}, BLOCKED),  # by another tool
    ],
)
def test_stand_ins_and_real_charts(tmp_path: Path, kind: Any, deployed: dict[str, str], expected: str) -> None:
    case = {"layers": {"10-a": {"releases": [{"name": "a"}]}}, "facts": {"ns/a": deployed}}
    stack = stack_of(tmp_path / "repo", case)
    (layer,) = stack.layers
    release = replace(layer.releases[0], chart=ChartRef(name="acme/a", path=Path("a.tgz"), kind=kind))
    plan = plan_of(replace(stack, layers=(replace(layer, releases=(release,)),)), case)
    assert [line(step) for step in plan.steps] == [expected]


def test_a_broken_graph_is_no_plan(tmp_path: Path) -> None:
    stack = stack_of(tmp_path / "repo", {"layers": {"10-a": {"releases": [{"name": "a"}]}}})
    (layer,) = stack.layers
    need = Need(release=ReleaseId("ns", "b"), where=layer.releases[0].where)
    release = replace(layer.releases[0], needs=(need,))
    broken = replace(stack, layers=(replace(layer, releases=(release,)),))
    with pytest.raises(ConfigError) as caught:
        make_plan(broken, Selection(layers=("10-a",)), Facts(), {release.id: ""})
    assert printed(caught.value) == [f"{release.where}: ns/a needs ns/b, which is not declared (did you mean 'ns/a'?)"]


def test_the_step_knows_the_revision(tmp_path: Path) -> None:
    layers = {"10-a": {"releases": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}
    facts = {"ns/a": {"revision": 4}, "ns/b": {"status": "failed", "revision": 3}}
    case = {"layers": layers, "facts": facts}
    plan = plan_of(stack_of(tmp_path / "repo", case), case)
    assert [step.revision for step in plan.steps] == [4, 2, 0]
    assert [step.digest for step in plan.steps] == [SAME] * 3


@pytest.mark.parametrize(
    ("provided", "reported"),
    [
        ({}, ["install True", "install False"]),
        ({"facts": {"ns/op": {}, "ns/app": {}}}, ["unchanged True", "unchanged False"]),
        ({"facts": {"ns/op": {}, "ns/app": {}}, "down": True}, ["uninstall False", "uninstall False"]),
    ],
    ids=["install", "unchanged", "down"],
)
def test_a_stand_in_is_reported_where_it_is_used(provided: dict[str, Any], reported: list[str], tmp_path: Path) -> None:
    """What takes a release away uses no chart."""
    case = {"layers": {"10-a": {"releases": [{"name": "op"}, {"name": "app", "needs": ["ns/op"]}]}}, **provided}
    stack = stack_of(tmp_path / "repo", case)
    (layer,) = stack.layers
    op, app = layer.releases
    op = replace(op, chart=replace(op.chart, kind="stand-in"))
    plan = plan_of(replace(stack, layers=(replace(layer, releases=(op, app)),)), case)
    made = announce(plan, dry_run=True)
    assert [f"{step.action} {step.stand_in}" for step in made.steps] == reported


def test_what_tests_rest_on_reaches_through_the_layers_before(tmp_path: Path) -> None:
    layers = {
        "10-a": {"releases": [{"name": "a"}, {"name": "b", "needs": ["ns/a"]}]},
        "20-b": {"releases": [{"name": "c"}, {"name": "c-smoke", "smoke": True}]},
        "60-qa": {"releases": [{"name": "all-smoke", "smoke": True}]},
    }
    case = {"layers": layers}
    stack = stack_of(tmp_path / "repo", case)
    plan = plan_of(stack, case)
    steps = {step.id.name: step for step in plan.steps}
    assert [step.id.name for step in behind(plan, steps["b"])] == ["a", "b"]
    assert {step.id.name for step in behind(plan, steps["all-smoke"])} == {"a", "b", "c", "all-smoke"}
    before = digest_behind(plan, steps["all-smoke"])
    changed = replace(
        plan, steps=tuple(replace(step, digest="other") if step.id.name == "a" else step for step in plan.steps)
    )
    assert (len(before), digest_behind(changed, steps["all-smoke"]) == before) == (40, False)
    assert digest_behind(changed, steps["all-smoke"]) != digest_behind(changed, steps["c-smoke"])
