"""docs/reliability.md: every row is whole, and the tests that it names exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTIONS = ("Processes and surroundings", "Workloads", "Releases", "Secrets")
HEAD = ["fault", "what a user sees", "what is guaranteed", "test"]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows(text: str) -> list[list[str]]:
    """The cells of a section's table, below its head."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]
    assert cells, "a section is a table"
    assert cells[0] == HEAD
    return cells[2:]


@cache
def defined_in(name: str) -> frozenset[str]:
    """The tests that a file defines; none where there is no such file."""
    path = ROOT / name
    tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.Module(body=[], type_ignores=[])
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def complaints(row: list[str]) -> list[str]:
    """What is wrong with a row."""
    if len(row) != len(HEAD) or not all(row):
        return [f"not four filled cells: {row}"]
    named = NAMED.findall(row[-1])
    rest = NAMED.sub("", row[-1]).strip(" ,")
    missing = [f"{file}::{test} does not exist" for file, test in named if test not in defined_in(file)]
    return missing + ([] if named else ["names no test"]) + ([f"is no test: {rest}"] if rest else [])


def sections() -> dict[str, str]:
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_sections_are_these() -> None:
    assert tuple(sections()) == SECTIONS


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_names_tests_that_exist(section: str) -> None:
    found = rows(sections()[section])
    assert found
    assert not [f"{row[0]}: {printed}" for row in found for printed in complaints(row)]


def test_no_fault_is_reported_twice() -> None:
    reported = [row[0] for text in sections().values() for row in rows(text)]
    assert sorted(set(reported)) == sorted(reported)


@pytest.mark.parametrize(
    "row",
    [
        ["a", "b", "c", "`tests/faults/test_table.py::test_that_is_not_there`"],
        ["a", "b", "c", "`tests/nowhere/test_table.py::test_no_fault_is_reported_twice`"],
        ["a", "b", "c", "by hand"],
        ["a", "b", "c", "`tests/faults/test_table.py::test_no_fault_is_reported_twice` and by hand"],
        ["a", "", "c", "`tests/faults/test_table.py::test_no_fault_is_reported_twice`"],
        ["a", "b", "`tests/faults/test_table.py::test_no_fault_is_reported_twice`"],
    ],
    ids=["no such test", "no such file", "no test", "more than tests", "empty cell", "cell missing"],
)
def test_a_row_that_is_not_backed_is_noticed(row: list[str]) -> None:
    assert complaints(row)
    assert not complaints(["a", "b", "c", "`tests/faults/test_table.py::test_no_fault_is_reported_twice`"])
