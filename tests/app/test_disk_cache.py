"""What was read is kept as long as nothing differs, and never believed beyond that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from devtools.app import disk_cache
from devtools.app.disk_cache import _decode, _encode, _sealed, cached
from devtools.app.environment import App
from devtools.charts.lock import Lock
from devtools.config.settings import Settings
from devtools.model import Stack
from devtools.project import Project
from tests.kits.repository import ROOT


@dataclass(kw_only=True)
class Reader:
    """Reads all files of a directory, and counts how often."""

    root: Path
    retained: Path
    made: int = 0
    good: Callable[[str], bool] = field(default=lambda _: True)

    def make(self) -> str:
        self.made += 1
        return "".join(path.read_text() for path in sorted(self.root.rglob("*")) if path.is_file())

    def read(self) -> str:
        return cached(self.retained, "all", (self.root,), self.make, kind=str, good=self.good)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    found = Reader(root=tmp_path / "files", retained=tmp_path / "kept")
    (found.root / "below").mkdir(parents=True)
    (found.root / "a").write_text("one")
    (found.root / "below" / "b").write_text("two")
    settle()
    return found


def settle() -> None:
    """Until what was written counts as written a while ago."""
    time.sleep(0.12)


def test_what_is_the_same_is_read_once(reader: Reader) -> None:
    assert [reader.read() for _ in range(3)] == ["onetwo"] * 3
    assert reader.made == 1
    (file,) = reader.retained.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert reader.retained.stat().st_mode & 0o777 == 0o700


def change(reader: Reader) -> None:
    (reader.root / "a").write_text("six")


def change_with_the_old_time(reader: Reader) -> None:
    before = (reader.root / "a").stat()
    (reader.root / "a").write_text("six")
    os.utime(reader.root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))


def add(reader: Reader) -> None:
    (reader.root / "below" / "c").write_text("three")


def remove(reader: Reader) -> None:
    (reader.root / "below" / "b").unlink()


def rename(reader: Reader) -> None:
    (reader.root / "a").rename(reader.root / "z")


@pytest.mark.parametrize("edit", [change, change_with_the_old_time, add, remove, rename])
def test_what_differs_is_read_again(reader: Reader, edit: Callable[[Reader], None]) -> None:
    reader.read()
    edit(reader)
    assert reader.read() == reader.make()
    settle()
    count = reader.made
    assert reader.read() == reader.read()
    assert reader.made <= count + 1


def test_a_file_that_was_just_written_is_not_cached(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "_RACY", 10**15)  # however long this takes
    change(reader)
    reader.read()
    assert not reader.retained.exists()


def test_what_is_no_good_any_more_is_made_anew(reader: Reader) -> None:
    reader.read()
    reader.good = lambda _: False
    assert reader.read() == "onetwo"
    assert reader.made == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no msgpack",
        msgspec.msgpack.encode(()),
        *map(_sealed, (b"", b"no msgpack", msgspec.msgpack.encode(("another stamp", "x")), msgspec.msgpack.encode(()))),
    ],
    ids=["nothing", "no msgpack", "msgpack", "nothing sealed", "no msgpack sealed", "another stamp", "no stamp"],
)
def test_a_damaged_cached_file_is_rebuilt(reader: Reader, content: bytes) -> None:
    reader.read()
    (file,) = reader.retained.iterdir()
    file.write_bytes(content)
    assert reader.read() == "onetwo"
    assert reader.made == 2


@pytest.mark.parametrize("at", [0, 40, -3])
def test_a_cached_file_with_a_changed_byte_is_rebuilt(reader: Reader, at: int) -> None:
    """Otherwise a damaged file could be read as another value."""
    reader.read()
    (file,) = reader.retained.iterdir()
    damaged = bytearray(file.read_bytes())
    damaged[at] ^= 4
    file.write_bytes(damaged)
    assert [reader.read() for _ in range(2)] == ["onetwo"] * 2
    assert reader.made == 2


def test_a_file_that_others_can_write_is_not_read(reader: Reader) -> None:
    reader.read()
    (file,) = reader.retained.iterdir()
    file.chmod(0o622)
    reader.read()
    assert reader.made == 2


def test_links_are_not_trusted(reader: Reader) -> None:
    (reader.root / "link").symlink_to(reader.root / "a")
    settle()
    assert [reader.read() for _ in range(2)] == ["onetwoone"] * 2
    assert reader.made == 2


def test_a_cached_value_of_another_type_is_ignored(reader: Reader) -> None:
    reader.read()
    assert cached(reader.retained, "all", (reader.root,), lambda: 7, kind=int) == 7


def test_a_directory_that_cannot_be_written_to_is_no_failure(reader: Reader) -> None:
    reader.retained.write_text("in the way")
    assert reader.read() == "onetwo"


def test_an_error_is_not_cached(reader: Reader) -> None:
    def fail() -> str:
        raise ValueError("broken")

    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            cached(reader.retained, "all", (reader.root,), fail, kind=str)


def test_the_number_of_cached_files_is_limited(reader: Reader) -> None:
    for number in range(70):
        cached(reader.retained, str(number), (reader.root,), reader.make, kind=str)
    assert len(list(reader.retained.iterdir())) == 64


def test_the_cached_stack_of_this_repository_is_the_same(tmp_path: Path) -> None:
    import sys

    from devtools.app.environment import App
    from devtools.project import Project

    environ = {**os.environ, "DEVTOOLS_STATE": str(tmp_path / "state"), "DEVTOOLS_CACHE": str(tmp_path / "cache")}

    def app(environment: str = "") -> App:
        surroundings = {**environ, "DEVTOOLS_PROVIDER": "kwok"}
        return App(environ=surroundings, cwd=ROOT, out=sys.stdout, err=sys.stderr, environment=environment)

    read = Project(app()).stack()
    retained = Project(app()).stack()
    assert retained == read
    assert [str(release.where) for release in retained.releases()] == [
        str(release.where) for release in read.releases()
    ]
    other = Project(app(environment="dev")).stack()
    assert other.environment.name == "dev"


def test_a_pipe_in_place_of_a_cached_file_is_not_waited_for(reader: Reader) -> None:
    reader.read()
    (file,) = reader.retained.iterdir()
    file.unlink()
    os.mkfifo(file)
    assert reader.read() == "onetwo"
    assert reader.made == 2


def test_a_whole_stack_is_cached(app: App) -> None:
    """Every class in it is one that may be read back: else it would be read anew each time."""
    whole = (Project(app).stack(), app.settings, app.charts.lock)
    settle()
    fresh = App(environ=app.environ, cwd=app.cwd, out=app.out, err=app.err)
    assert Project(fresh).stack() == whole[0]
    for value, kind in zip(whole, (Stack, Settings, Lock), strict=True):
        content = msgspec.msgpack.encode(value, enc_hook=_encode)
        assert msgspec.msgpack.decode(content, type=kind, dec_hook=_decode) == value
