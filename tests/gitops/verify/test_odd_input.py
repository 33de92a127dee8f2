"""No shape of input makes verify or import fail: a value of another type is a finding, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devtools.base.yaml_positions import parse_stream
from devtools.gitops.imports import imported
from devtools.gitops.tree.read import Source, Tree, read_tree
from devtools.gitops.verify import findings_of, notes_of
from devtools.gitops.verify.applications import world_of
from tests.gitops.verify.support import CASES, TREES

ODD: list[Any] = [None, 1, True, "x", "$x/y", "{{ .a", [], {}, [1], [None], ["x"], {"a": 1}]
Path = tuple[Any, ...]
TREE: dict[str, Tree] = {name: read_tree(CASES / name) for name in TREES}


def paths(data: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in pairs:
        yield from paths(item, (*path, key))


PLACES = [
    (name, at, number, path)
    for name, tree in TREE.items()
    for at, source in enumerate(tree.sources)
    for number, document in enumerate(source.documents)
    for path in paths(document.data)
]


def changed(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    if isinstance(data, dict):
        return {**data, path[0]: changed(data[path[0]], path[1:], value)}
    return [changed(item, path[1:], value) if at == path[0] else item for at, item in enumerate(data)]


def with_value(tree: Tree, at: int, number: int, path: Path, value: Any) -> Tree:
    source = tree.sources[at]
    documents = [document.data for document in source.documents]
    documents[number] = changed(documents[number], path, value)
    raw = yaml.safe_dump_all(documents).encode()
    made = Source(path=source.path, raw=raw, documents=parse_stream(raw, tree.root / source.path))
    return replace(tree, sources=(*tree.sources[:at], made, *tree.sources[at + 1 :]), _by_kind={})


def judge(tree: Tree) -> None:
    world = world_of(tree)
    for one in findings_of(world):
        assert one.line > 0
        assert one.message
    list(notes_of(world))
    imported(world, "odd", "")


@given(st.sampled_from(PLACES), st.sampled_from(ODD))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_value_may_be_of_another_type(place: tuple[str, int, int, Path], value: Any) -> None:
    name, at, number, path = place
    judge(with_value(TREE[name], at, number, path, value))


@pytest.mark.parametrize(
    ("keys", "value"),
    [(("spec", "strategy", "rollingSync", "steps", 0, "maxUpdate"), []), (("spec", "generators"), {"git": 1})],
)
def test_values_that_once_failed(keys: Path, value: Any) -> None:
    tree = TREE["argocd"]
    at = next(n for n, source in enumerate(tree.sources) if source.path.name == "production.yaml")
    judge(with_value(tree, at, 0, keys, value))
