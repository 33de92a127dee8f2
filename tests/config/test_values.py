"""Merged values, where each key comes from, and digests that change when and only when an input does."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.config.merging import lay_over
from devtools.config.values import inputs_digest, merge, overlaid
from devtools.errors import ConfigError, Location
from devtools.model import ChartRef, Environment, Hook, Release
from tests.kits.stack import write

LOCAL = Environment(name="local")
WHERE = Location(file=Path("layers/10-a.yaml"), line=3, column=5)


def release(root: Path, *overlays: str) -> Release:
    return Release(
        name="a",
        namespace="ns",
        layer="10-a",
        chart=ChartRef(name="platform/web", path=root / "chart"),
        where=WHERE,
        values={"image": {"tag": "a", "name": "img"}, "args": ["x", "y"], "gone": 1},
        values_files=tuple(root / name for name in overlays),
    )


def test_maps_merge_lists_replace_nulls_stay(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"one.yaml": "image:\n  tag: b\nargs: [z]\n", "two.yaml": "gone: null\nimage: {tag: c}\nnew: {deep: true}\n"},
    )
    merged = merge(release(tmp_path, "one.yaml", "two.yaml"), LOCAL, root=tmp_path)
    assert merged.data == {"image": {"tag": "c", "name": "img"}, "args": ["z"], "gone": None, "new": {"deep": True}}
    origins = {".".join(map(str, path)): str(where) for path, where in merged.origins.items()}
    assert origins == {
        "image": "layers/10-a.yaml:3:5",
        "image.name": "layers/10-a.yaml:3:5",
        "image.tag": "two.yaml:2:9",
        "args": "one.yaml:3:1",
        "gone": "two.yaml:1:1",
        "new": "two.yaml:3:1",
        "new.deep": "two.yaml:3:7",
    }


def test_the_charts_defaults_lie_underneath(tmp_path: Path) -> None:
    defaults = "replicas: 1\ngone: 2\nimage: {pull: Always, tag: z}\nkept: null\n"
    write(tmp_path, {"chart/values.yaml": defaults, "one.yaml": "gone: null\nunknown: null\n"})
    merged = merge(release(tmp_path, "one.yaml"), LOCAL, charts_default=True)
    assert merged.data == {
        "replicas": 1,
        "image": {"pull": "Always", "tag": "a", "name": "img"},
        "kept": None,
        "args": ["x", "y"],
        "unknown": None,
    }
    assert merged.origins["replicas",] == Location(file=tmp_path / "chart/values.yaml")
    assert ("gone",) not in merged.origins


def test_defaults_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "web-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (("web/charts/sub/values.yaml", b"no: 1\n"), ("web/values.yaml", b"replicas: 7\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    subject = replace(release(tmp_path), chart=ChartRef(name="x/web", path=path, kind="vendored"))
    assert merge(subject, LOCAL, charts_default=True).data["replicas"] == 7


def test_an_overlay_that_broke_since_it_was_loaded(tmp_path: Path) -> None:
    write(tmp_path, {"one.yaml": "a: [\n"})
    with pytest.raises(ConfigError) as caught:
        merge(release(tmp_path, "one.yaml"), LOCAL, root=tmp_path)
    assert caught.value.message == "1 problem in one.yaml"


def test_the_digest_changes_with_each_input(tmp_path: Path) -> None:
    subject = release(tmp_path)
    values = {"a": 1, "b": {"c": [1, 2]}}
    base = inputs_digest(subject, values, "chart")
    assert len(base) == 40
    assert base == inputs_digest(replace(subject, needs=(), optional=True), {"b": {"c": [1, 2]}, "a": 1}, "chart")
    others = [
        inputs_digest(subject, {**values, "a": "1"}, "chart"),
        inputs_digest(subject, {**values, "a": True}, "chart"),
        inputs_digest(subject, {**values, "b": {"c": [2, 1]}}, "chart"),
        inputs_digest(subject, values, "another"),
        inputs_digest(subject, values, "chart", {"image": "x"}),
        inputs_digest(replace(subject, timeout=1.0), values, "chart"),
        inputs_digest(replace(subject, wait=False), values, "chart"),
        inputs_digest(replace(subject, history=1), values, "chart"),
        inputs_digest(replace(subject, labels={"a": "b"}), values, "chart"),
        inputs_digest(replace(subject, before=(Hook(argv=("x",), where=WHERE),)), values, "chart"),
        inputs_digest(replace(subject, after=(Hook(argv=("x",), where=WHERE),)), values, "chart"),
    ]
    assert len({base, *others}) == len(others) + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(MAPS, MAPS)
def test_merging_twice_is_merging_once(a: dict[str, object], b: dict[str, object]) -> None:
    assert overlaid(overlaid(a, b), b) == overlaid(a, b)
    assert overlaid(a, {}) == a
    assert overlaid({}, a) == a


@given(MAPS, MAPS)
def test_every_key_has_an_origin(a: dict[str, object], b: dict[str, object]) -> None:
    origins: dict[tuple[str | int, ...], Location] = {}
    merged = lay_over({}, a, origins, lambda _path: WHERE)
    merged = lay_over(merged, b, origins, lambda _path: WHERE)

    def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
        if not isinstance(value, dict):
            return set()
        return {(*path, key) for key in value}.union(*(paths(item, (*path, key)) for key, item in value.items()))

    assert paths(merged) == set(origins)
