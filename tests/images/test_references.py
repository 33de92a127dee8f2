"""Names of images: read as runtimes read them, and refused where they would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.base.image_names import Reference, parse

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "full", "retained"),
    [
        ("busybox", "docker.io/library/busybox:latest", "r:5/docker.io/library/busybox:latest"),
        ("alpine/k8s:1.34.1", "docker.io/alpine/k8s:1.34.1", "r:5/docker.io/alpine/k8s:1.34.1"),
        ("index.docker.io/library/a:1", "docker.io/library/a:1", "r:5/docker.io/library/a:1"),
        ("quay.io/a/b/c:v1_2.3", "quay.io/a/b/c:v1_2.3", "r:5/quay.io/a/b/c:v1_2.3"),
        ("localhost/devtools/ops:1", "localhost/devtools/ops:1", "r:5/localhost/devtools/ops:1"),
        ("localhost:5000/x", "localhost:5000/x:latest", "r:5/localhost-5000/x:latest"),
        ("Registry:5000/x:y", "Registry:5000/x:y", "r:5/registry-5000/x:y"),
        (f"ghcr.io/a/b@{DIGEST}", f"ghcr.io/a/b@{DIGEST}", f"r:5/ghcr.io/a/b:{'0a' * 32}"),
        (f"ghcr.io/a/b:1@{DIGEST}", f"ghcr.io/a/b:1@{DIGEST}", "r:5/ghcr.io/a/b:1"),
    ],
)
def test_names_in_full(text: str, full: str, retained: str) -> None:
    found = parse(text)
    assert str(found) == full
    assert found.name_in_registry("r:5") == retained
    assert parse(full) == found


@pytest.mark.parametrize("text", ["", "A/b", "x:", "x:a b", "x@sha256:1", "x@", "/x", "x/", "a//b", "-x", "x" * 256])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an image's name"):
        parse(text)


_PART = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?", fullmatch=True)


@given(
    registry=st.sampled_from(["docker.io", "quay.io", "localhost:5550", "k3d-registry:5000"]),
    parts=st.lists(_PART, min_size=2, max_size=4),
    tag=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
)
def test_a_full_name_is_itself(registry: str, parts: list[str], tag: str) -> None:
    found = parse(f"{registry}/{'/'.join(parts)}:{tag}")
    assert found == Reference(registry=registry, repository="/".join(parts), tag=tag)
    assert parse(found.name_in_registry("localhost:5550")).tag == tag
