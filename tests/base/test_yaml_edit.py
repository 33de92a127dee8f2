"""Values are set in YAML that people write, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.base.machine_yaml import yaml_text
from devtools.base.yaml_edit import with_value
from devtools.base.yaml_positions import parse

FILE = Path("values.yaml")
TEXT = """\
# replicas of dev
replicas: 1  # one is enough
image: {name: app, tag: 1.3.2}  # pinned
hosts:
  - a  # first
  - b
web:
  # kept low
  level: "info"

  limits:
    cpu: 1

# the end
"""


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("replicas",), 3, "replicas: 3  # one is enough\n"),
        (("image", "tag"), "1.4.0", 'image: {name: app, tag: "1.4.0"}  # pinned\n'),
        (("image", "digest"), "sha256:0", "image: {name: app, tag: 1.3.2, digest: sha256:0}  # pinned\n"),
        (("web", "level"), "warn", "  level: warn\n\n  limits:\n"),
        (("web", "limits", "memory"), "1Gi", "    cpu: 1\n    memory: 1Gi\n\n# the end\n"),
        (("web", "more", "deep"), True, "    cpu: 1\n  more:\n    deep: true\n\n# the end\n"),
        (("hosts",), ["x"], "hosts:\n  - x\nweb:\n"),
        (("hosts",), None, "hosts: null\nweb:\n"),
        (("new",), {"a": [1, "y"]}, "    cpu: 1\nnew:\n  a:\n"),
    ],
)
def test_only_the_value_changes(path: tuple[str, ...], value: Any, line: str) -> None:
    made = with_value(TEXT.encode(), FILE, path, value)
    assert made is not None
    text = made.decode()
    assert line in text
    for comment in ("# replicas of dev", "# kept low", "# the end"):
        assert comment in text
    if path != ("hosts",):
        assert "  - a  # first\n  - b\n" in text


@pytest.mark.parametrize("text", ["", "{}\n", "# nothing yet\n", "---\n"])
def test_an_empty_file_gets_the_key(text: str) -> None:
    made = with_value(text.encode(), FILE, ("image", "tag"), "1")
    assert made is not None
    assert parse(made, FILE).data == {"image": {"tag": "1"}}
    assert ("# nothing yet" in text) == (b"# nothing yet" in made)


def test_what_cannot_be_edited_is_refused() -> None:
    assert with_value(b"- a\n", FILE, ("a",), 1) is None
    assert with_value(b"a: [\n", FILE, ("a",), 1) is None


KEYS = st.sampled_from(["a", "b", "c", "on", "1"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from(["x", "y", "1", "a, b", "l: m", "{}", "", "#c", "p\nq\n"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.lists(KEYS, min_size=1, max_size=3), VALUES, st.booleans())
def test_the_result_says_the_same_but_for_the_key(
    data: dict[str, Any], path: list[str], value: Any, flow: object
) -> None:
    import json

    raw = (json.dumps(data) + "\n" if flow else yaml_text(data)).encode()
    made = with_value(raw, FILE, tuple(path), value)
    assert made is not None, raw
    expected: Any = json.loads(json.dumps(data))
    at = expected
    for key in path[:-1]:
        if not isinstance(at.get(key), dict):
            at[key] = {}
        at = at[key]
    at[path[-1]] = value
    assert parse(made, FILE).data == expected


ITEMS = """\
charts:
  - name: a # first
    list:
      - {kind: A,
         name: one} # of two lines
      - {kind: B, name: two} # last
    more: 1
"""


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (
            [("A", "one"), ("C", "new")],
            "      - {kind: A,\n         name: one} # of two lines\n      - {kind: C, name: new}\n",
        ),
        (
            [("B", "two"), ("A", "one")],
            "      - {kind: B, name: two} # last\n      - {kind: A,\n         name: one} # of two",
        ),
        ([("B", "two")], "    list:\n      - {kind: B, name: two} # last\n    more: 1\n"),
        ([("A", "x")], "    list:\n      - {kind: A, name: x}\n    more: 1\n"),
    ],
)
def test_items_of_a_list_that_stay_are_left_as_written(items: list[tuple[str, str]], text: str) -> None:
    value = [{"kind": kind, "name": name} for kind, name in items]
    made = with_value(ITEMS.encode(), FILE, ("charts", 0, "list"), value)
    assert made is not None
    assert text in made.decode()
    assert made.decode().endswith("    more: 1\n")
    assert made.decode().startswith("charts:\n  - name: a # first\n")


@pytest.mark.parametrize("value", [["a", {"b": 1}], [{"x": {"k": [1]}}], [[1]], []])
def test_items_of_any_kind(value: list[Any]) -> None:
    for text in ("a:\n- x\n-   k: 1\n    m: 2\n", "a: [1, 2]\nb: 1\n", "a:\n  - |\n    text\n  - 2\nb: 1\n"):
        made = with_value(text.encode(), FILE, ("a",), value)
        assert made is not None, text
        assert parse(made, FILE).data["a"] == value
