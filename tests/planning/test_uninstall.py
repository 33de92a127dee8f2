"""What an uninstall of a part takes with it."""

from __future__ import annotations

import pytest

from devtools.errors import ConfigError
from devtools.model import Facts, ReleaseFact, ReleaseId
from devtools.planning.plan import down_plan
from devtools.planning.selection import Selector, choose
from devtools.planning.uninstall import find_dependents, refuse_dependents
from tests.planning.test_selection import STACK


def _facts(*names: str) -> Facts:
    ids = [ReleaseId("ameide", name) for name in names]
    return Facts(releases={name: ReleaseFact(id=name, status="deployed", revision=1, stack="s") for name in ids})


@pytest.mark.parametrize(
    ("there", "dependents"),
    [
        (("space", "operator", "kafka"), ["ameide/operator", "ameide/kafka"]),
        (("space", "kafka"), []),
        (("operator", "kafka"), []),
        (("space", "operator"), ["ameide/operator"]),
    ],
)
def test_dependents_are_those_on_the_cluster(there: tuple[str, ...], dependents: list[str]) -> None:
    selection, facts = choose(STACK, "10", Selector()), _facts(*there)
    found = find_dependents(STACK, selection, facts)
    assert [*map(str, found)] == dependents
    steps = down_plan(STACK, selection, facts, dependents=found).steps
    ours = [*dependents, *(["ameide/space"] if "space" in there else [])]
    assert {str(step.id) for step in steps} == set(ours)
    assert not steps or "space" not in there or steps[-1].id.name == "space"


def test_dependents_are_refused_by_name() -> None:
    refuse_dependents((), "down 10")
    with pytest.raises(ConfigError, match="ameide/kafka still needs what would be uninstalled") as caught:
        refuse_dependents((ReleaseId("ameide", "kafka"),), "down 10")
    assert caught.value.hint.endswith("invoke down 10 --with-dependents")
