"""What is evaluated here is what the real Argo CD made of the same ApplicationSets (`preview/recorded`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devtools.gitops.tree.applications import steps_of
from devtools.gitops.verify import read_world
from devtools.gitops.verify.applications import Application, Generated

HERE = Path(__file__).resolve().parents[1] / "preview" / "recorded"
REAL: dict[str, Any] = json.loads((HERE / "argocd.json").read_text("utf-8"))["sets"]
WORLD = read_world(HERE / "tree", HERE / "tree")
SETS: dict[str, Generated] = {made.item.name: made for made in WORLD.sets}
OF_THE_CLUSTER = {"absent-project", "duplicates"}  # the project is not there
NOT_EVALUATED = {"list", "merge"}  # without Go templates; a generator that is not evaluated


def test_every_other_set_is_evaluated() -> None:
    assert {name for name, made in SETS.items() if made.unknown} == NOT_EVALUATED


@pytest.mark.parametrize("name", sorted(set(REAL) - NOT_EVALUATED))
def test_applications_are_those_of_the_controller(name: str) -> None:
    real, made = REAL[name], SETS[name]
    if real["error"]:
        assert made.failures or name in OF_THE_CLUSTER
        return
    ours = {one.name: one for one in made.applications}
    assert sorted(ours) == sorted(one["metadata"]["name"] for one in real["applications"])
    for theirs in real["applications"]:
        application = ours[theirs["metadata"]["name"]]
        theirs["spec"].get("syncPolicy", {}).get("automated", {}).pop("enabled", None)  # RollingSync switches it off
        assert spec_of(application) == theirs["spec"]
        assert dict(application.labels) == theirs["metadata"].get("labels", {})


@pytest.mark.parametrize("name", sorted(set(REAL) - NOT_EVALUATED))
def test_steps_are_those_of_the_controller(name: str) -> None:
    made = SETS[name]
    steps = steps_of(made.item.spec)
    found = {one.name: (one.steps() or [-2])[0] + 1 for one in made.applications} if steps else {}
    assert found == REAL[name]["steps"]


def spec_of(application: Application) -> Any:
    """A spec without what the controller leaves out: empty maps and lists, and false."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: made for key, item in value.items() if (made := clean(item)) not in ({}, [], None, False)}
        return [clean(item) for item in value] if isinstance(value, list) else value

    return clean(dict(application.spec))
