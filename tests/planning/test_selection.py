"""Selectors: which releases a run is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from devtools.errors import ConfigError, Location
from devtools.model import ChartRef, Environment, Layer, Need, Release, ReleaseId, Stack
from devtools.planning.plan import Selection
from devtools.planning.selection import Selector, choose, choose_releases, find_release

HERE = Location(file=Path("layers/10-base.yaml"))


def _release(
    layer: str,
    name: str,
    *needs: str,
    namespace: str = "ameide",
    installed: bool = True,
    labels: Mapping[str, str] | None = None,
) -> Release:
    return Release(
        name=name,
        namespace=namespace,
        layer=layer,
        chart=ChartRef(name="platform/x", path=Path("x")),
        where=HERE,
        needs=tuple(Need(release=ReleaseId("ameide", need), where=HERE) for need in needs),
        installed=installed,
        labels={"layer": layer, "team": name[0], **(labels or {})},
    )


LAYERS = {
    "10-base": [_release("10-base", "space"), _release("10-base", "off", installed=False)],
    "20-ops": [_release("20-ops", "operator", "space"), _release("20-ops", "twin")],
    "40-data": [
        _release("40-data", "kafka", "operator", "off"),
        _release("40-data", "twin", namespace="other", labels={"extra": "yes", "chart": "own"}),
    ],
}
STACK = Stack(
    name="s",
    root=Path(),
    environment=Environment(name="local"),
    layers=tuple(
        Layer(name=name, file=Path(f"layers/{name}.yaml"), stage=name[3:], releases=tuple(releases))
        for name, releases in LAYERS.items()
    ),
)


def _chosen(**typed: object) -> list[str]:
    selection = choose_releases(STACK, Selector(**typed))  # type: ignore[arg-type]
    return [str(release.id) for release in STACK.releases() if selection.takes(release)]


def test_without_selectors_everything_is_chosen() -> None:
    assert len(_chosen()) == len(STACK.releases())


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [
        ({"stages": ("ops",)}, ["ameide/operator", "ameide/twin"]),
        ({"stages": ("ops", "data"), "labels": ("team=k",)}, ["ameide/kafka"]),
        ({"releases": ("kafka", "other/twin")}, ["ameide/kafka", "other/twin"]),
        ({"labels": ("layer=20-ops,team=t",)}, ["ameide/twin"]),
        ({"labels": ("team=k", "name=space")}, ["ameide/space", "ameide/kafka"]),
        ({"labels": ("name=twin,namespace!=other", "team == k , name != operator")}, ["ameide/twin", "ameide/kafka"]),
        ({"labels": ("chart=x,layer!=20-ops,extra!=yes",)}, ["ameide/space", "ameide/off", "ameide/kafka"]),
        ({"labels": ("chart=own",)}, ["other/twin"]),
        ({"labels": ("team in (k, o),layer!=20-ops",)}, ["ameide/off", "ameide/kafka"]),
        ({"labels": ("name notin (twin,kafka,off)", "extra")}, ["ameide/space", "ameide/operator", "other/twin"]),
        ({"labels": ("!extra,team in(t)",)}, ["ameide/twin"]),
        ({"labels": ("extra notin (no),team=t",)}, ["ameide/twin", "other/twin"]),
        ({"releases": ("kafka",), "with_needs": True}, ["ameide/space", "ameide/operator", "ameide/kafka"]),
    ],
)
def test_what_selectors_choose(typed: dict[str, object], chosen: list[str]) -> None:
    assert _chosen(**typed) == chosen


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"stages": ("opps",)}, "unknown stage 'opps'"),
        ({"releases": ("kafak",)}, "unknown release 'kafak'"),
        ({"labels": ("",)}, "'' is not a label selector"),
        ({"labels": ("!team=k",)}, "'!team=k' is not a label selector"),
        ({"labels": ("team in (k,)",)}, "'team in (k,)' is not a label selector"),
        ({"labels": ("team in k",)}, "'team in k' is not a label selector"),
        ({"labels": ("team in (k",)}, "'team in (k' is not a label selector"),
        ({"labels": ("team of (k)",)}, "'team of (k)' is not a label selector"),
        ({"labels": ("team in (k,z)",)}, "no release has the label 'team=z'"),
        ({"labels": ("teem",)}, "no release has a label 'teem'"),
        ({"labels": ("!teem",)}, "no release has a label 'teem'"),
        ({"labels": ("team=k,",)}, "'team=k,' is not a label selector"),
        ({"labels": ("team=k", "team=z")}, "no release has the label 'team=z'"),
        ({"labels": ("teem!=k",)}, "no release has a label 'teem'"),
        ({"labels": ("team=k,name=space",)}, "no release matches all"),
        ({"labels": ("team=z",)}, "no release has the label 'team=z'"),
        ({"stages": ("ops",), "releases": ("kafka",)}, "no release matches all"),
    ],
)
def test_what_nothing_answers_to_is_an_error(typed: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        _chosen(**typed)


@pytest.mark.parametrize(
    ("layer", "typed", "chosen"),
    [
        ("40", {}, ["ameide/kafka", "other/twin"]),
        ("40", {"releases": ("kafka",)}, ["ameide/kafka"]),
        ("ops", {"labels": ("team=t",)}, ["ameide/twin"]),
        ("40", {"labels": ("team=k",), "with_needs": True}, ["ameide/space", "ameide/operator", "ameide/kafka"]),
        ("", {"stages": ("ops",)}, ["ameide/operator", "ameide/twin"]),
        ("ops", {"labels": ("name=kafka", "team=t")}, ["ameide/twin"]),
    ],
)
def test_a_layer_and_selectors_must_both_hold(layer: str, typed: dict[str, object], chosen: list[str]) -> None:
    selection = choose(STACK, layer, Selector(**typed))  # type: ignore[arg-type]
    assert [str(release.id) for release in STACK.releases() if selection.takes(release)] == chosen


def test_a_whole_layer_is_more_than_its_releases() -> None:
    """What it no longer declares is among what a run of it is about."""
    assert choose(STACK, "40", Selector()) == Selection(layers=("40-data",))
    with pytest.raises(ConfigError, match="no release matches all"):
        choose(STACK, "40", Selector(releases=("operator",)))


def test_a_name_in_two_namespaces_must_be_qualified() -> None:
    with pytest.raises(ConfigError, match="'twin' is ambiguous: it matches ameide/twin, other/twin"):
        find_release(STACK, "twin")
    assert find_release(STACK, "other/twin").layer == "40-data"
