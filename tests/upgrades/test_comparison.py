"""Two versions of a chart, compared without helm: values, CRDs, images, contracts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.charts.contract import ChartContract, Service, ServicePort, Workload
from devtools.charts.crds import objects_in_crds
from devtools.errors import Location
from devtools.model import ReleaseId
from devtools.upgrades.contract import SHORT, containing, derive_contract, is_same
from devtools.upgrades.crds import compare_crds
from devtools.upgrades.values import Setting, compare_values
from devtools.upgrades.versions import Change, compare_images
from tests.kits.real_charts import PINNED, VENDORED, each_vendored, rendered, switches_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(MAPS, MAPS)
def test_the_changes_lead_from_one_version_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = compare_values(before, after, ())
    result = copied(before)
    for change in found:
        place = result
        for key in change.path[:-1]:
            place = place[key]
        if change.does == "remove":
            del place[change.path[-1]]
        else:
            place[change.path[-1]] = change.after
    assert result == after
    assert not compare_values(after, after, ())


def copied(value: Any) -> Any:
    return {key: copied(item) for key, item in value.items()} if isinstance(value, Mapping) else value


@pytest.mark.parametrize(
    ("set_at", "counts"),
    [(("a",), True), (("a", "b"), True), (("a", "b", "c"), True), (("a", "c"), False), (("b",), False)],
)
def test_a_setting_of_the_value_a_part_of_it_or_around_it(set_at: tuple[str, ...], *, counts: bool) -> None:
    where = Location(file=Path("layers/10-a.yaml"))
    setting = Setting(path=set_at, where=where, release=ReleaseId("ns", "web"), environment="dev")
    (change,) = compare_values({"a": {"b": 1, "x": 1}}, {"a": {"b": 2, "x": 1}}, [setting])
    assert change.path == ("a", "b")
    assert bool(change.settings) is counts


def crd(*versions: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "webs.x"},
        "spec": {"versions": [{"served": True, "storage": False, **version} for version in versions]},
    }


@pytest.mark.parametrize(
    ("before", "after", "notes"),
    [
        (crd({"name": "v1", "storage": True}), crd({"name": "v1", "storage": True}), None),
        (
            crd({"name": "v1", "storage": True}, {"name": "v0"}),
            crd({"name": "v1", "storage": True}, {"name": "v0", "served": False}),
            ["v0 is no longer served"],
        ),
        (
            crd({"name": "v1", "storage": True}),
            crd({"name": "v2", "storage": True}),
            [
                "stores v2 instead of v1",
                "v2 is new",
                "v1 is gone: the upgrade fails as long as objects are stored in it",
            ],
        ),
        (
            crd({"name": "v1", "storage": True, "schema": {"a": 1}}),
            crd({"name": "v1", "storage": True, "schema": {"a": 2}}),
            ["the schema of v1 differs"],
        ),
    ],
)
def test_versions_of_a_crd(before: Any, after: Any, notes: list[str] | None) -> None:
    assert [list(one.notes) for one in compare_crds([before], [after], ())] == ([] if notes is None else [notes])


@pytest.mark.parametrize(
    ("staying", "note"),
    [({"webs.x"}, "it stays on the cluster"), (set(), "Helm deletes it, and every object of its kind")],
)
def test_a_crd_that_goes(staying: set[str], note: str) -> None:
    (one,) = compare_crds([crd({"name": "v1", "storage": True})], [], staying)
    assert (one.does, one.notes) == ("remove", (note,))


def test_images_are_paired_by_their_repositories() -> None:
    before = ["nginx:1", "quay.io/a/b:1", "quay.io/a/b:2", "same:1"]
    after = ["docker.io/library/nginx:2", "quay.io/a/b:2", "ghcr.io/c:1", "same:1"]
    assert compare_images(before, after) == [
        Change(name="docker.io/library/nginx", before="1", after="2"),
        Change(name="ghcr.io/c", after="1"),
        Change(name="quay.io/a/b", before="1, 2", after="2"),
    ]


def named(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": spec}


def test_names_of_a_contract() -> None:
    """The full name is the release's if that contains the chart's; `{release}-web` is another name."""
    long = containing("web")
    ports = [{"name": "http", "port": 80}]
    forms = [(f"{SHORT}-web", long), (f"{SHORT}-web-api", f"{long}-web-api"), ("fixed", "fixed")]
    short_side, long_side = ([named("Deployment", pair[at]) for pair in forms] for at in (0, 1))
    short_side.append(named("Service", f"{SHORT}-web-headless", clusterIP="None", ports=ports))
    long_side.append(named("Service", f"{long}-headless", clusterIP="None", ports=ports))
    names = ("{fullname}", "{release}-web-api", "fixed")
    expected = ChartContract(
        workloads=tuple(Workload(kind="Deployment", name=name) for name in names),
        services=(Service(name="{fullname}-headless", headless=True, ports=(ServicePort(port=80, name="http"),)),),
    )
    assert derive_contract(ChartContract(), "web", [], short_side, long_side) == expected
    unclear = [named("Deployment", f"x-{SHORT}")]
    assert derive_contract(ChartContract(), "web", [], unclear, [named("Deployment", f"x-{long}")]) is None


@pytest.mark.parametrize("name", each_vendored())
def test_the_contract_of_a_real_chart_is_the_locked_one(name: str, tool: Callable[[str], Path]) -> None:
    """Where the chart renders with its default values; what needs more of them has no contract to derive."""
    entry, archive = PINNED[name], VENDORED[name]
    try:
        sides = [
            [
                item
                for item in rendered(tool("helm"), archive, release, switches=switches_of(entry))
                if "helm.sh/hook" not in (item["metadata"].get("annotations") or {})
            ]
            for release in (SHORT, containing(entry.name))
        ]
    except AssertionError:
        return
    crds = [item.data for item in objects_in_crds(archive, {}) if item.is_crd]
    if crds:
        sides = [[item for item in side if item["kind"] != "CustomResourceDefinition"] for side in sides]
    derived = derive_contract(entry.contract, entry.name, crds, *sides)
    assert derived is not None
    assert is_same(derived, entry.contract)
