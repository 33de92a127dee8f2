"""Steps of a rolling sync, by the rules of Argo CD's `buildAppDependencyList`."""

from __future__ import annotations

from typing import Any

import pytest

from devtools.gitops.preview.applications import ApplicationGroup, rolling_steps, waves_of
from devtools.gitops.tree.applications import Application


def _app(name: str, **labels: str) -> Application:
    return Application(data={"metadata": {"name": name, "labels": labels}, "spec": {}})


def _spec(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"strategy": {"type": "RollingSync", "rollingSync": {"steps": list(steps)}}}


def _step(operator: str, *values: str, key: str = "wave", **more: Any) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}], **more}


APPS = (_app("a", wave="0"), _app("b", wave="1"), _app("c"))


@pytest.mark.parametrize(
    ("step", "chosen"),
    [
        (_step("In", "0"), ("a",)),
        (_step("In", "0", "1"), ("a", "b")),
        (_step("NotIn", "0"), ("b", "c")),  # without the label, too
        (_step("Exists"), ("c",)),  # an unknown operator matches nothing that has the label
        ({}, ("a", "b", "c")),
        (
            {"matchExpressions": [*_step("NotIn", "0")["matchExpressions"], *_step("In", "1")["matchExpressions"]]},
            ("b",),
        ),
    ],
)
def test_a_step_selects_as_argo_cd_does(step: dict[str, Any], chosen: tuple[str, ...]) -> None:
    assert rolling_steps(_spec(step), APPS) == ((chosen,), False)


def test_another_strategy_has_no_steps() -> None:
    assert rolling_steps({}, APPS) == (None, False)
    assert rolling_steps({"strategy": {"type": "AllAtOnce"}}, APPS) == (None, False)


@pytest.mark.parametrize("odd", [1, "text", {"a": 1}, True])
def test_steps_of_another_type_select_as_if_they_were_not_there(odd: Any) -> None:
    spec = {"strategy": {"type": "RollingSync", "rollingSync": {"steps": odd}}}
    assert rolling_steps(spec, APPS) == ((), False)
    assert rolling_steps(_spec({"matchExpressions": odd}), APPS) == ((("a", "b", "c"),), False)
    expression = {"key": "wave", "operator": "In", "values": odd}
    assert rolling_steps(_spec({"matchExpressions": [expression]}), APPS) == (((),), False)


@pytest.mark.parametrize(("limits", "manual"), [((0, 0), True), (("0%", 0), True), ((0, None), False), ((0, 1), False)])
def test_manual_means_that_no_step_syncs_anything(limits: tuple[Any, Any], manual: bool) -> None:  # noqa: FBT001
    steps = [_step("In", str(at), **({} if limit is None else {"maxUpdate": limit})) for at, limit in enumerate(limits)]
    assert rolling_steps(_spec(*steps), APPS)[1] is manual


def test_what_waits_for_an_application() -> None:
    steps, _ = rolling_steps(_spec(_step("In", "0"), _step("In", "1"), _step("In", "0", "2")), APPS)
    group = ApplicationGroup(name="dev", file="dev.yaml", kind="ApplicationSet", applications=APPS, steps=steps)
    assert (group.outside, group.repeated, group.order) == (("c",), ("a",), "rolling")
    assert (group.step_of("b"), group.step_of("c")) == (2, None)
    assert (group.frozen_by("a"), group.frozen_by("b"), group.frozen_by("c")) == (("b",), (), ())


def test_sync_waves_order_an_app_of_apps() -> None:
    def app(name: str, wave: str) -> Application:
        return Application(data={"metadata": {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": wave}}})

    assert waves_of([app("b", "10"), app("a", "2"), app("c", "2"), app("d", "x")]) == (("d",), ("a", "c"), ("b",))
