"""Commands that tests run in forks, against the same commands as processes that import everything themselves."""

from __future__ import annotations

import pytest

from tests.kits.repository import Repo


@pytest.mark.parametrize(
    "line", ["values conf", "layers --output json", "plan nope", "graph --output dot", "no.such.task"]
)
def test_a_forked_command_prints_and_ends_as_one_that_is_started(offline: Repo, line: str) -> None:
    words = line.split()
    with offline.start(*words) as child:
        out, err = child.communicate(timeout=120)
    forked = offline.invoke(*words)
    assert (forked.code, forked.out, forked.err) == (child.returncode, out, err)
