"""A file that is replaced: whole for whoever reads it, by many at once, and never half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devtools.base.atomic_write import write_whole

SIZE = 200_000


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_replaces_what_was_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    write_whole(path, "früher")
    assert path.read_bytes() == "früher".encode()
    write_whole(path, b"now", lasting=True)
    assert path.read_bytes() == b"now"
    assert (mode(path), mode(path.parent)) == (0o644, 0o755)
    assert list(path.parent.iterdir()) == [path]


def test_a_private_file_is_in_a_private_directory(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    write_whole(path, "s3cret", mode=0o600)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_the_users_umask_is_preserved(tmp_path: Path) -> None:
    os.umask(0o077)
    write_whole(tmp_path / "file", "mine")
    assert mode(tmp_path / "file") == 0o600


def test_where_it_cannot_be_written_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        write_whole(path, "text")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="too long"):
        write_whole(tmp_path / ("n" * 256), "text")
    assert list(tmp_path.iterdir()) == [path]
    write_whole(tmp_path / ("n" * 255), "text")


def test_many_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = {bytes([letter]) * SIZE for letter in b"abcd"}

    def write_and_read(content: bytes) -> set[bytes]:
        observed = set()
        for _ in range(50):
            write_whole(path, content, mode=0o600)
            observed.add(path.read_bytes())
        return observed

    with ThreadPoolExecutor(len(whole)) as pool:
        for observed in pool.map(write_and_read, whole):
            assert observed <= whole
    assert list(tmp_path.iterdir()) == [path]
