"""Whatever a layer file holds, loading gives a stack or a ConfigError that names places."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import event, given
from hypothesis import strategies as st

from devtools.config.settings import load_settings
from devtools.config.stack import load_stack
from devtools.errors import ConfigError, Problem
from devtools.model import ChartRef
from tests.kits.fuzzing import LAX_JSON, ODD_JSON, ODD_YAML, near_documents, near_texts, scratch
from tests.kits.stack import repository

ROOT = Path(__file__).parents[2]
KEYS = (
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
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "a/b", "platform/web", "5m", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)
ODD = (*ODD_JSON, *LAX_JSON, *ODD_YAML)


class AnyChart:
    """Every chart is there."""

    def find(self, name: str, environment: str = "") -> ChartRef:
        """A chart that nobody looks into."""
        return ChartRef(name=name, path=Path("chart"))


def alone(path: Path) -> Any:
    """A layer of this repository that needs no other."""
    layer = yaml.load(path.read_text(), yaml.CSafeLoader)
    own = {f"{release.get('namespace', 'ameide')}/{release['name']}" for release in layer["releases"]}
    for release in layer["releases"]:
        needs = [need["release"] if isinstance(need, dict) else need for need in release.get("needs", ())]
        release["needs"] = [need for need in needs if need in own]
    return layer


OURS = [alone(path) for path in sorted((ROOT / "layers").glob("[0-9]*.yaml"))]


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    switches = [ROOT / "environments/local/environment.yaml", *(ROOT / "environments/local/platform").glob("*.yaml")]
    files = {path.relative_to(ROOT).as_posix(): path.read_text() for path in switches}
    with scratch() as directory:
        yield repository(
            Path(directory), {"layers/_defaults.yaml": (ROOT / "layers/_defaults.yaml").read_text(), **files}
        )


def stack_or_problems(root: Path, raw: bytes) -> str:
    (root / "layers/10-a.yaml").write_bytes(raw)
    problems: tuple[Problem, ...] | None = None
    try:
        load_stack(load_settings(root), "", AnyChart())
    except ConfigError as error:
        problems = error.problems
    if problems is None:
        return "read"
    assert problems
    assert all(problem.where.line > 0 for problem in problems)
    return "not YAML" if any("YAML" in problem.message for problem in problems) else "refused"


@pytest.mark.parametrize("layer", OURS, ids=lambda layer: str(layer["stage"]))
def test_our_layers_are_read(root: Path, layer: Any) -> None:
    assert stack_or_problems(root, yaml.safe_dump(layer).encode()) == "read"


@given(st.binary(max_size=200))
def test_any_bytes(root: Path, raw: bytes) -> None:
    stack_or_problems(root, raw)


@given(VALUES)
def test_any_structure(root: Path, value: object) -> None:
    stack_or_problems(root, json.dumps(value).encode())


@given(near_documents(OURS, ODD))
def test_a_layer_of_ours_with_a_few_values_and_keys_changed(root: Path, raw: bytes) -> None:
    event(stack_or_problems(root, raw))


@given(near_texts([yaml.safe_dump(layer, sort_keys=False) for layer in OURS], ODD))
def test_a_layer_of_ours_with_a_few_lines_changed(root: Path, raw: bytes) -> None:
    event(stack_or_problems(root, raw))
