"""A cluster of a test's own, removed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.clusters import Machine, Tool


@pytest.fixture
def machine(tool: Tool, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tool=tool, root=tmp_path)
    yield made
    made.cancel = type(made.cancel)()
    made.provider().delete(made.say)
    assert made.traces() == {}
