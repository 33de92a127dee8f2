"""The preview of recorded ApplicationSets is what the real controller made of them (`recorded/argocd.json`)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from devtools.gitops.preview.applications import ApplicationGroup
from devtools.gitops.preview.compare import compared
from devtools.gitops.preview.generate import groups
from devtools.gitops.tree.read import read_tree
from devtools.process.runner import Cancel, SubprocessRunner

HERE = Path(__file__).parent / "recorded"
REAL: dict[str, Any] = json.loads((HERE / "argocd.json").read_text("utf-8"))["sets"]


@pytest.fixture(scope="session")
def previewed(preview_program: Path) -> dict[str, ApplicationGroup]:
    """The groups of the recorded tree, by name."""
    runner = SubprocessRunner(os.environ, Cancel())
    tree = read_tree(HERE / "tree", HERE / "tree")
    return {group.name: group for group in groups(tree, lambda: preview_program, runner)}


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_applications_are_those_of_the_controller(previewed: dict[str, ApplicationGroup], name: str) -> None:
    real, group = REAL[name], previewed[name]
    if real["error"]:
        assert group.errors
    else:
        assert not group.errors
        ours = [compared(app) for app in group.applications]
        for app in real["applications"]:
            app["metadata"].pop("namespace")
        assert ours == real["applications"]


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_steps_are_those_of_the_controller(previewed: dict[str, ApplicationGroup], name: str) -> None:
    group = previewed[name]
    steps = {app.name: group.step_of(app.name) or -1 for app in group.applications} if group.steps else {}
    assert steps == REAL[name]["steps"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing-key", "map has no entry for key"),
        ("absent-project", "error getting project absent"),
        ("duplicates", "application references project absent which does not exist"),
    ],
)
def test_the_errors_are_those_of_the_controller(
    previewed: dict[str, ApplicationGroup], name: str, message: str
) -> None:
    assert message in REAL[name]["error"]
    assert any(message in problem.message for problem in previewed[name].errors)


def test_what_argo_cd_drops_is_named(previewed: dict[str, ApplicationGroup]) -> None:
    assert sorted(problem.message for problem in previewed["rolling"].dropped) == [
        "spec.project: a patch cannot change the project",
        'unknown field "spec.sources[0].helm.unknown"',
        'unknown field "spec.syncPolicy.nonsense"',
    ]
