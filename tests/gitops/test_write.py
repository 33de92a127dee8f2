"""The export's directory: only what differs is written, and nothing that people edited."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from devtools.errors import ConfigError
from devtools.gitops.tree.write import MANIFEST, Changes, changes_of, write_changes
from tests.kits.stack import printed

A, B = PurePosixPath("a/b/one.yaml"), PurePosixPath("two.yaml")


def export(out: Path, files: dict[PurePosixPath, bytes], engine: str = "argocd", *, overwrite: bool = False) -> Changes:
    changes = changes_of(out, engine, files, shown=Path("gitops"), overwrite=overwrite)
    write_changes(changes)
    return changes


def test_a_second_export_writes_nothing(tmp_path: Path) -> None:
    assert export(tmp_path, {A: b"1\n", B: b"2\n"}).written == (A, B)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert export(tmp_path, {A: b"1\n", B: b"2\n"}).is_empty
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_stale_file_is_removed_with_its_directories(tmp_path: Path) -> None:
    export(tmp_path, {A: b"1\n", B: b"2\n"})
    assert export(tmp_path, {B: b"2\n"}).removed == (A,)
    assert sorted(path.name for path in tmp_path.iterdir()) == [MANIFEST, "two.yaml"]


def test_files_that_were_edited_are_refused_all_at_once(tmp_path: Path) -> None:
    export(tmp_path, {A: b"1\n2\n3\n", B: b"2\n"})
    (tmp_path / A).write_bytes(b"1\n2\nx\n")
    (tmp_path / B).write_bytes(b"mine\n")
    with pytest.raises(ConfigError) as error:
        export(tmp_path, {A: b"1\n2\n4\n"})
    assert [line.partition(" (")[0] for line in printed(error.value)] == [
        "gitops/a/b/one.yaml:3:1: was edited by hand since the last export",
        "gitops/two.yaml:1:1: was edited by hand since the last export",
    ]
    assert (tmp_path / A).read_bytes() == b"1\n2\nx\n"
    assert export(tmp_path, {A: b"1\n2\n4\n"}, overwrite=True).removed == (B,)


def test_a_file_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / B).write_bytes(b"theirs\n")
    with pytest.raises(ConfigError, match="1 problem") as error:
        export(tmp_path, {B: b"2\n"})
    assert "exists, and was not written by an export" in printed(error.value)[0]


def test_an_edit_that_makes_what_would_be_written_is_none(tmp_path: Path) -> None:
    export(tmp_path, {B: b"1\n"})
    (tmp_path / B).write_bytes(b"2\n")
    assert export(tmp_path, {B: b"2\n"}).is_empty
    assert export(tmp_path, {B: b"3\n"}).written == (B,)


def test_engines_do_not_remove_each_others_files(tmp_path: Path) -> None:
    export(tmp_path, {A: b"1\n"})
    export(tmp_path, {B: b"2\n", A: b"1\n"}, "flux")
    assert export(tmp_path, {}, "flux").removed == (B,)
    assert (tmp_path / A).exists()


def test_a_selection_keeps_the_manifest_of_the_rest(tmp_path: Path) -> None:
    export(tmp_path, {A: b"1\n", B: b"2\n"})
    changes = changes_of(tmp_path, "argocd", {B: b"3\n"}, shown=tmp_path, includes=lambda path: path == B)
    write_changes(changes)
    assert (tmp_path / A).exists()
    assert export(tmp_path, {A: b"4\n", B: b"3\n"}).written == (A,)


@pytest.mark.parametrize("path", ["../up", "/etc/passwd"])
def test_a_manifest_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / MANIFEST).write_text(f"argocd: {{{path}: abc}}\n")
    with pytest.raises(ConfigError, match="which is not a file of an export"):
        export(tmp_path, {})


def test_a_link_out_of_the_repository_is_not_followed(tmp_path: Path) -> None:
    repository, outside = tmp_path / "repository", tmp_path / "outside"
    outside.mkdir()
    (repository / "layers").mkdir(parents=True)
    (repository / "gitops").symlink_to(outside)
    with pytest.raises(ConfigError):
        export(repository / "gitops", {B: b"2\n"})
    assert not list(outside.iterdir())
