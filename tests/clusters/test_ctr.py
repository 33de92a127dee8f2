"""ctr: exact words, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtools.clusters.ctr import Ctr, OnNode, config_of, parse_images

# From containerd 1.6.20; 2.x prints the same columns.
TABLE = """\
REF                                TYPE                                                 DIGEST      SIZE      PLATFORMS   LABELS
docker.io/acme/x:dev               application/vnd.docker.distribution.manifest.v2+json sha256:aa   1.9 MiB   linux/amd64 io.cri-containerd.image=managed
localhost/devtools/ops:1           application/vnd.docker.distribution.manifest.v2+json sha256:bb   60.0 MiB  linux/amd64 -
"""  # noqa: E501


def test_words() -> None:
    ctr = Ctr()
    start = ("ctr", "--namespace", "k8s.io")
    assert ctr.list() == (*start, "images", "ls")
    assert ctr.pull("r:5000/x:1") == (*start, "images", "pull", "--plain-http", "r:5000/x:1")
    assert ctr.tag("a:1", "b:1") == (*start, "images", "tag", "--force", "a:1", "b:1")
    assert ctr.content("sha256:aa") == (*start, "content", "get", "sha256:aa")
    there = Ctr(program=Path("/usr/bin/ctr"), socket=Path("/run/c.sock"))
    assert there.load(Path("/x.tar")) == (
        *("/usr/bin/ctr", "--address", "/run/c.sock", "--namespace", "k8s.io", "images", "import", "/x.tar"),
    )


def test_the_table() -> None:
    assert parse_images(TABLE) == {
        "docker.io/acme/x:dev": OnNode(digest="sha256:aa", managed=True),
        "localhost/devtools/ops:1": OnNode(digest="sha256:bb", managed=False),
    }
    assert parse_images(TABLE.splitlines()[0]) == {}


@pytest.mark.parametrize("output", ["", "ctr: failed to dial", "IMAGE TAG ID"])
def test_what_is_no_table_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="not a table"):
        parse_images(output)


@pytest.mark.parametrize(
    ("manifest", "digest"),
    [
        (json.dumps({"config": {"digest": "sha256:cc"}}), "sha256:cc"),
        (json.dumps({"manifests": []}), ""),
        ("[]", ""),
        ("not JSON", ""),
    ],
)
def test_the_configuration_of_a_manifest(manifest: str, digest: str) -> None:
    assert config_of(manifest) == digest
