"""Whatever bytes a layer file holds, loading gives a stack or a ConfigError that names places."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtools.errors import ConfigError, Problem
from devtools.stack.model import Stack
from tests.stack.kit import load, repository
from tests.stack.test_config import GOOD

GOOD_LAYER = GOOD["layers/20-app.yaml"].encode()
KEYS = [
    "stage",
    "releases",
    "name",
    "chart",
    "namespace",
    "needs",
    "values",
    "contract",
    "installed",
    "timeout",
    "http",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "a/b", "platform/web", "5m", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield repository(Path(directory), {"environments/local/environment.yaml": "a: true\n"})


def stack_or_problems(root: Path, raw: bytes) -> None:
    (root / "layers").mkdir(exist_ok=True)
    (root / "layers/10-a.yaml").write_bytes(raw)
    try:
        outcome: Stack | tuple[Problem, ...] = load(root)
    except ConfigError as error:
        outcome = error.problems
    if isinstance(outcome, tuple):
        assert outcome
        assert all(problem.where.line > 0 for problem in outcome)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes(root: Path, raw: bytes) -> None:
    stack_or_problems(root, raw)


@given(VALUES)
@settings(deadline=None)
def test_any_structure(root: Path, value: object) -> None:
    import json

    stack_or_problems(root, json.dumps(value).encode())


@given(st.integers(0, 2**32))
@settings(deadline=None)
def test_a_good_file_with_a_few_bytes_changed(root: Path, seed: int) -> None:
    dice = random.Random(seed)
    raw = bytearray(GOOD_LAYER)
    for _ in range(dice.randint(1, 4)):
        raw[dice.randrange(len(raw))] = dice.choice(b"ab:-[]{}&*!<>|\n\t '\"#?,0\xff")
    stack_or_problems(root, bytes(raw))
