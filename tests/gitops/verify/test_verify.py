"""Every rule finds the mistake that is planted for it, at its place, and nothing in good trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.gitops.verify import RULES, findings_of, notes_of, read_world
from tests.gitops.verify.support import CASES, TREES, Mistake, mistakes, shown


@pytest.mark.parametrize("tree", TREES)
def test_a_good_tree_is_clean(tree: str) -> None:
    world = read_world(CASES / tree)
    assert shown(findings_of(world), CASES / tree) == []
    assert list(notes_of(world)) == []


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda one: one.name)
def test_a_mistake_is_found(mistake: Mistake, tmp_path: Path) -> None:
    tree = mistake.plant(tmp_path)
    assert shown(findings_of(read_world(tree)), tree) == mistake.finds


def test_every_rule_has_a_mistake() -> None:
    planted = {text.split()[0] for one in mistakes() for text in one.finds}
    by_program = {name for name in RULES if name.startswith("schema-")}  # test_schemas
    assert sorted(RULES) == sorted(planted | by_program)
