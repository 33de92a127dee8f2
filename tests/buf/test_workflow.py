"""The CI workflow: the API first, and its secret where it is needed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.kits.buf import ROOT

WORKFLOW: dict[Any, Any] = yaml.load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"), yaml.CSafeLoader)
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["proto"]["steps"]


def test_the_api_comes_before_the_tests() -> None:
    assert [step["name"] for step in STEPS if "run" in step] == ["build", "lint", "breaking", "push"]
    assert WORKFLOW["jobs"]["test"]["needs"] == "proto"


def test_only_a_push_to_main_sees_the_secret() -> None:
    with_secret = [step for job in WORKFLOW["jobs"].values() for step in job["steps"] if "secrets." in str(step)]
    assert [step["name"] for step in with_secret] == ["push"]
    assert with_secret[0]["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_no_expression_is_part_of_a_command() -> None:
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "give it through env: an expression is pasted into the shell"


def test_the_scripts_are_there() -> None:
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            program = Path(step.get("run", "").partition(" ")[0])
            assert program == Path() or program.parts[0] == ".venv" or (ROOT / program).is_file(), program
