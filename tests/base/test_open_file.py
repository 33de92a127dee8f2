"""What is opened to be read, and which links are followed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.base.atomic_write import own_directory, write_whole
from devtools.base.open_file import check_inside, opened, read_file, read_source


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


STRANGE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a pipe": _link_to_pipe,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a socket": _socket,
    "a directory": Path.mkdir,
    "nothing": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_not_a_regular_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    STRANGE[kind](tmp_path / "x")
    with pytest.raises(OSError, match="x"):
        opened(tmp_path / "x")


def test_a_file_is_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link") == b"content"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository without version control, with something outside of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    root = tmp_path / "repository"
    (root / "layers" / "deep").mkdir(parents=True)
    (root / "file").write_text("ours")
    return root


LINKS = {  # where it is, where it leads, what is read through it
    "a file": ("layers/x", "../../outside/secret", "layers/x"),
    "an absolute one": ("layers/x", "{outside}/secret", "layers/x"),
    "a directory": ("layers/x", "../../outside", "layers/x/secret"),
    "a link to a link": ("layers/x", "deep/y", "layers/x"),
    "the layers' own directory": ("charts", "../outside", "charts/secret"),
}


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("versioned", [False, True])
def test_links_that_lead_out_of_a_repository_are_refused(repository: Path, kind: str, *, versioned: bool) -> None:
    outside = repository.parent / "outside"
    if versioned:
        (repository / ".git").mkdir()
    (repository / "layers/deep/y").symlink_to(outside / "secret")
    link, target, path = LINKS[kind]
    (repository / link).symlink_to(target.format(outside=outside))
    with pytest.raises(OSError, match="points outside the repository"):
        read_source(repository / path)
    with pytest.raises(OSError, match="points outside the repository"):
        write_whole(_through(repository), "x")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def _through(repository: Path) -> Path:
    """A file that would be written through a link."""
    (repository / "through").symlink_to("../outside")
    return repository / "through" / "z"


def test_links_within_a_repository_are_followed(repository: Path) -> None:
    (repository / "layers/x").symlink_to("../file")
    assert read_source(repository / "layers/x") == b"ours"


def test_a_stack_may_link_to_the_rest_of_its_repository(repository: Path) -> None:
    (repository.parent / ".git").write_text("gitdir: elsewhere")
    (repository / "layers/x").symlink_to("../../outside/secret")
    assert read_source(repository / "layers/x") == b"secret"


def test_a_versioned_home_directory_is_not_a_stacks_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(repository.parent))
    (repository.parent / ".git").mkdir()
    (repository / "layers/x").symlink_to("../../outside/secret")
    with pytest.raises(OSError, match="points outside the repository"):
        read_source(repository / "layers/x")


def test_what_is_in_no_repository_may_lead_anywhere(tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to("/tmp")
    check_inside(tmp_path / "state" / "x")


def test_our_directory_is_ours(repository: Path) -> None:
    own_directory(repository)
    assert (repository / ".devtools/.gitignore").read_text() == "*\n"
    (repository / ".devtools/.gitignore").unlink()
    (repository / ".devtools/.gitignore").symlink_to("../../outside/new")
    own_directory(repository)
    assert not (repository.parent / "outside/new").exists()
    (repository / ".devtools/.gitignore").unlink()
    (repository / ".devtools").rmdir()
    (repository / ".devtools").symlink_to("../outside")
    with pytest.raises(OSError, match="points outside the repository"):
        own_directory(repository)
