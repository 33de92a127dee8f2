"""Digests are written where people left a place for them, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.base.yaml_edit import with_scalar
from devtools.images.catalog import load_catalog
from devtools.images.pinning import pin
from tests.kits.stack import write

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
TEXT = f"""\
# ours
images:
  - name: alpine/k8s  # the shell
    tag: 1.34.1
    digest: null # until pulled
    purpose: x
  - {{name: quay.io/a/b, tag: "1", digest: ~, purpose: x}}
  - {{name: quay.io/a/c, tag: "1", purpose: moves}}
  - {{name: quay.io/a/d, tag: "1", digest: "{TWO}", purpose: x}}
"""


def test_only_what_is_null_is_set(tmp_path: Path) -> None:
    write(tmp_path, {"images.yaml": TEXT})
    names = ["docker.io/alpine/k8s:1.34.1", "quay.io/a/b:1", "quay.io/a/c:1", "quay.io/a/d:1", "gone:1"]
    assert pin(tmp_path, dict.fromkeys(names, ONE)) == ("docker.io/alpine/k8s:1.34.1", "quay.io/a/b:1")
    text = TEXT.replace("digest: null #", f"digest: {ONE} #").replace("digest: ~,", f"digest: {ONE},")
    assert (tmp_path / "images.yaml").read_text() == text
    assert [image.digest for image in load_catalog(tmp_path).images.values()] == [ONE, ONE, "", TWO]


def test_nothing_to_pin_touches_nothing(tmp_path: Path) -> None:
    assert pin(tmp_path, {}) == ()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a: {b: null}", "a: {b: new}"),
        ("a:\n  b: 'old' # why\n  c: 1\n", "a:\n  b: new # why\n  c: 1\n"),
        ('a: {"b": "old", c: 1}', 'a: {"b": new, c: 1}'),
        ("a:\n  b:\n  c: 1\n", "a:\n  b: new\n  c: 1\n"),
        ("a: {b: [old]}", None),
        ("a:\n  b: |\n    old\n", None),
        ("a: {c: 1}", None),
        ("a: [", None),
    ],
)
def test_one_value_changes_or_nothing_does(text: str, after: str | None) -> None:
    found = with_scalar(text.encode(), Path("x.yaml"), ("a", "b"), "new")
    assert found == (None if after is None else after.encode())
