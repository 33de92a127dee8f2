"""Sources as Flux names them."""

from __future__ import annotations

import pytest

from devtools.gitops.flux.sources import git_reference, git_repository, git_url


@pytest.mark.parametrize(
    ("revision", "reference"),
    [
        ("main", {"branch": "main"}),
        ("release/1.2", {"branch": "release/1.2"}),
        ("v1.2.3", {"tag": "v1.2.3"}),
        ("1.2.3-rc.1", {"tag": "1.2.3-rc.1"}),
        ("refs/pull/7/head", {"name": "refs/pull/7/head"}),
        ("0" * 40, {"commit": "0" * 40}),
    ],
)
def test_a_revision_is_a_branch_a_tag_a_commit_or_a_name(revision: str, reference: dict[str, str]) -> None:
    assert git_reference(revision) == reference


def test_ssh_needs_a_url_and_a_key() -> None:
    assert git_url("git@git.example.com:team/shop.git") == "ssh://git@git.example.com/team/shop.git"
    assert git_url("https://git.example.com/shop.git") == "https://git.example.com/shop.git"
    spec = git_repository("shop", "git@git.example.com:shop.git", "main", suspended=False)["spec"]
    assert spec["secretRef"] == {"name": "shop"}
