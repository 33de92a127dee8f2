"""What differs between an object and what an apply would make of it: as data, and for whatever comes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools.diff.difference import ABSENT, Change, changes, is_hidden
from devtools.redaction import Redactor
from tests.kits.fuzzing import cases

CASES = yaml.load((Path(__file__).parents[1] / "cases" / "drift.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def line(change: Change) -> str:
    by = f" by {change.manager}" if change.manager else ""
    when = f" at {change.at}" if change.at else ""
    return f"{change.path}: {change.declared!r} → {change.live!r}{by}{when}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_differences(case: Any) -> None:
    assert [line(change) for change in changes(case["live"], case["wanted"], "helm")] == case["changes"]


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab.", max_size=2)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "name"]), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from(["spec", "data"]), JSON, max_size=2)


def place(at: Any, step: Any) -> Any:
    """The key or index that a step means."""
    if not isinstance(step, tuple):
        return step
    return next(index for index, item in enumerate(at) if all(item[key] == value for key, value in step))


def mended(live: Any, found: tuple[Change, ...]) -> Any:
    """The live object with every difference undone."""
    whole = {"": copy.deepcopy(live)}
    for change in found:
        at: Any = whole
        for step in ("", *change.steps)[:-1]:
            at = at[place(at, step)]
        last = place(at, ("", *change.steps)[-1])
        if change.declared is ABSENT:
            del at[last]
        else:
            at[last] = change.declared
    return whole[""]


@cases(300)
@given(OBJECTS, OBJECTS)
def test_undoing_the_differences_gives_what_is_wanted(live: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = changes(live, wanted, "helm")
    assert mended(live, found) == wanted
    assert bool(found) or live == wanted
    assert len({change.path for change in found}) == len(found)


FIELDS: st.SearchStrategy[Any] = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(
        st.sampled_from(["f:spec", "f:data", "f:a", "f:b", 'k:{"name":"a"}', 'v:"a"', "."]), inner, max_size=3
    ),
    max_leaves=10,
)


@cases(200)
@given(OBJECTS, OBJECTS, FIELDS)
def test_an_object_does_not_differ_from_itself(
    item: dict[str, Any], other: dict[str, Any], fields: dict[str, Any]
) -> None:
    entry = {"manager": "m", "fieldsV1": fields}
    changes({**item, "metadata": {"managedFields": [entry]}}, other, "helm")
    assert changes({**item, "metadata": {"managedFields": [entry]}}, copy.deepcopy(item), "helm") == ()


def value(items: dict[str, Any], name: str) -> str:
    return repr(items[name]["v"]) if name in items else "absent"


ITEMS = st.lists(st.fixed_dictionaries({"name": st.sampled_from("abc"), "v": SCALARS}), max_size=3)


@cases(200)
@given(ITEMS, ITEMS)
def test_lists_with_keys_differ_by_key(live: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    managed = [{"manager": "m", "fieldsV1": {"f:l": {'k:{"name":"a"}': {}}}}]
    found = changes({"l": live, "metadata": {"managedFields": managed}}, {"l": wanted}, "helm")
    names = [[item["name"] for item in items] for items in (live, wanted)]
    if all(len(set(each)) == len(each) for each in names):
        ours, theirs = ({item["name"]: item for item in items} for items in (live, wanted))
        differing = {name for name in {*ours, *theirs} if value(ours, name) != value(theirs, name)}
        assert {change.path.partition('"')[2].partition('"')[0] for change in found} == differing


@pytest.mark.parametrize(
    ("kind", "steps", "hidden"),
    [
        ("Secret", ("data", "a"), True),
        ("Secret", ("stringData", "a"), True),
        ("Secret", ("data",), True),
        ("Secret", ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"), True),
        ("Secret", ("metadata", "labels", "a"), False),
        ("Secret", ("type",), False),
        ("ConfigMap", ("data", "a"), False),
        ("ConfigMap", ("data", "password"), True),
        ("ConfigMap", ("data", "DB_PWD"), True),
        ("Keycloak", ("spec", "db", "passwordSecret", "name"), False),
        ("Deployment", ("spec", (("name", "DB_PASSWORD"),), "value"), True),
        ("Deployment", ("spec", (("name", "DB_PASSWORD"),), "valueFrom", "secretKeyRef", "name"), False),
        ("Deployment", ("spec", (("name", "LEVEL"),), "value"), False),
        ("Deployment", ("spec", (("name", "vault-token"),), "image"), False),
        ("Deployment", ("spec", 0, "image"), False),
    ],
    ids=str,
)
def test_what_is_not_shown(kind: str, steps: Any, hidden: object) -> None:
    assert is_hidden(kind, Change(steps=steps, declared="hunter22", live=ABSENT)) is hidden


def test_what_is_shown_without_the_secrets_in_it() -> None:
    redactor = Redactor(["known-one"])
    assert redactor.hide({"name": "DB_PASSWORD", "value": "x1"}) == {"name": "DB_PASSWORD", "value": "***"}
    assert redactor.hide([{"name": "LEVEL", "value": "debug"}, {"password": "y"}]) == [
        {"name": "LEVEL", "value": "debug"},
        {"password": "***"},
    ]
    assert redactor.hide("a known-one") == "a ***"
    assert redactor.hide(ABSENT) is ABSENT
