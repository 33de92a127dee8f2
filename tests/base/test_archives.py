"""Archives of others: what is written when they are unpacked, and where."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from devtools.base.archives import unpack


def made(path: Path, *members: tuple[str, bytes]) -> Path:
    """An archive with these members: a type of tarfile's, or a file that holds its own name."""
    with tarfile.open(path, "w:gz") as archive:
        for name, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname = kind, 0o6777, "/etc/passwd"
            info.size = len(name) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(name.encode()) if info.size else None)
    return path


def test_files_alone_are_written_with_modes_of_ours(tmp_path: Path) -> None:
    kinds = ("DIRTYPE", "SYMTYPE", "LNKTYPE", "FIFOTYPE", "CHRTYPE")
    odd = [(f"chart/{kind}", getattr(tarfile, kind)) for kind in kinds]
    archive = made(tmp_path / "a.tgz", ("chart/Chart.yaml", tarfile.REGTYPE), ("chart/t/x", tarfile.REGTYPE), *odd)
    unpack(archive, tmp_path / "out")
    files = {path for path in (tmp_path / "out").rglob("*") if not path.is_dir()}
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} == {"chart/Chart.yaml", "chart/t/x"}
    assert {path.stat().st_mode & 0o7133 for path in files} == {0}
    assert (tmp_path / "out/chart/t/x").read_text() == "chart/t/x"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a/..\\..\\..\\x", "\\x"])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    archive = made(tmp_path / "a.tgz", (name, tarfile.REGTYPE))
    with pytest.raises(tarfile.ReadError, match="points outside the archive"):
        unpack(archive, tmp_path / "some/where")
    assert [path.name for path in tmp_path.rglob("*") if not path.is_dir()] == ["a.tgz"]
