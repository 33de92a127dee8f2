"""Values: what environments share, `--set`, references to secrets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.base.machine_yaml import merged
from devtools.errors import ConfigError
from devtools.imports.layer_files import environment_files, numbers
from devtools.imports.values import shared, steps, with_set, without_references

_LEAVES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"])
_TREES = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), _LEAVES | st.lists(_LEAVES, max_size=2), max_size=3),
    lambda below: st.dictionaries(st.sampled_from("abcd"), _LEAVES | below, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["dev", "staging", "production"]), _TREES, min_size=1))
def test_shared_values_and_overlays_give_what_each_one_had(values: dict[str, Any]) -> None:
    common, rest = shared(values)
    for name, tree in values.items():
        assert repr(_sorted(merged(common, rest[name]))) == repr(_sorted(tree))


def _sorted(tree: Any) -> Any:
    return {key: _sorted(tree[key]) for key in sorted(tree)} if isinstance(tree, dict) else tree


def test_true_is_not_one() -> None:
    assert shared({"a": {"x": True}, "b": {"x": 1}}) == ({}, {"a": {"x": True}, "b": {"x": 1}})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        (r"a\.b/c.d", ("a.b/c", "d")),
        ("a[0].b[2]", ("a", 0, "b", 2)),
    ],
)
def test_the_steps_of_a_name(name: str, expected: tuple[str | int, ...]) -> None:
    assert steps(name) == expected


def test_set_lies_over_values_with_the_types_of_helm() -> None:
    entries: list[dict[str, Any]] = [
        {"name": "image.tag", "value": "7"},
        {"name": "on", "value": "true"},
        {"name": "float", "value": "1.5"},
        {"name": "octal", "value": "0644"},
        {"name": "hosts", "values": ["a", "b,c"]},
        {"name": "list[1].x", "value": "y"},
        {"name": "text", "file": "x.txt"},
        {"name": "empty", "value": ""},
    ]
    found = with_set({"image": {"name": "web"}}, entries, {"x.txt": "hello\n"})
    assert found == {
        "image": {"name": "web", "tag": 7},
        "on": True,
        "float": "1.5",
        "octal": "0644",
        "hosts": ["a", "b,c"],
        "list": [None, {"x": "y"}],
        "text": "hello\n",
    }
    assert with_set({}, [{"name": "port", "value": "80"}], {}, typed=False) == {"port": "80"}
    with pytest.raises(ConfigError, match="leads into"):
        with_set({"a": [1]}, [{"name": "a.b", "value": "1"}], {})


def test_references_and_encrypted_values_are_left_out() -> None:
    tree = {
        "password": "ref+vault://secret/shop#/password",
        "db": {"user": "shop", "password": "ENC[AES256_GCM,data:x,type:str]"},
        "only": {"secret": "secretref+vault://x"},
        "list": ["a", "ref+file://x"],
        "plain": "refer to x",
    }
    rest, found = without_references(tree)
    assert rest == {"db": {"user": "shop"}, "plain": "refer to x"}
    assert found == [("password",), ("db", "password"), ("only", "secret"), ("list",)]


def test_layers_keep_their_numbers() -> None:
    assert numbers(["infra", "main"], []) == {"infra": "10-infra", "main": "20-main"}
    assert numbers(["infra", "main"], ["30-infra.yaml", "40-main.yaml"]) == {"infra": "30-infra", "main": "40-main"}
    assert numbers(["infra", "main"], ["10-other.yaml"]) == {"infra": "11-infra", "main": "21-main"}
    many = [f"l{number}" for number in range(90)]
    assert list(numbers(many, []).values())[-1] == "99-l89"
    with pytest.raises(ConfigError, match="91 layers are too many"):
        numbers([*many, "more"], [])


def test_switches_that_are_everywhere_the_same_are_shared() -> None:
    files = environment_files({"dev": {"a.on": True, "b": False}, "prod": {"a.on": True, "b": True}})
    assert {str(path): text.decode() for path, text in files.items()} == {
        "environments/_shared/environment.yaml": 'a:\n  "on": true\n',
        "environments/dev/environment.yaml": "b: false\n",
        "environments/prod/environment.yaml": "b: true\n",
    }
