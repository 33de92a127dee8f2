"""`invoke gitops.verify` as typed: exit codes, the document, and what people read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from devtools.app.environment import App
from devtools.app.exit_codes import run
from devtools.commands.gitops.verify import Arguments, verify
from tests.gitops.verify.support import CASES, Mistake, mistakes

MISTAKES = {one.name: one for one in mistakes()}


def typed(cwd: Path, directory: str, output: str = "text") -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    app = App(environ={"HOME": str(cwd)}, cwd=cwd, out=out, err=err)
    code = run(app, lambda app: verify(app, Arguments(directory=directory, schemas="none"), output), output)
    return int(code), out.getvalue(), err.getvalue()


def planted(name: str, directory: Path) -> Mistake:
    MISTAKES[name].plant(directory)
    return MISTAKES[name]


@pytest.mark.parametrize(("tree", "summary"), [("argocd", "21 files, 6 Applications"), ("flux", "15 files, 0 Appl")])
def test_a_good_tree_ends_with_0(tree: str, summary: str) -> None:
    code, out, _ = typed(CASES, tree)
    assert code == 0
    assert f"\n{tree}: nothing found in {summary}" in out


def test_findings_end_with_1_and_name_place_and_rule(tmp_path: Path) -> None:
    planted("flux: a range of versions", tmp_path)
    code, out, _ = typed(tmp_path, "tree")
    assert code == 1
    assert out.splitlines() == [
        "tree/shop/dev/database.yaml:13:7: chart postgresql is not pinned: >=16.0.0 [unpinned-version]",
        "    pin an exact version; an update is a commit then",
        "schemas: not checked: switched off",
        "tree: 1 finding in 15 files, 0 Applications",
    ]


def test_an_unreadable_file_ends_with_2_and_hides_nothing_else(tmp_path: Path) -> None:
    planted("flux: a range of versions", tmp_path)
    (tmp_path / "tree" / "broken.yaml").write_text("a: [\n")
    code, out, _ = typed(tmp_path, "tree", "json")
    assert code == 2
    assert [item["rule"] for item in json.loads(out)["findings"]] == ["unreadable-file", "unpinned-version"]


def test_the_document(tmp_path: Path) -> None:
    planted("flux: a cycle of releases", tmp_path)
    _, out, _ = typed(tmp_path, "tree", "json")
    document = json.loads(out)
    assert (document["version"], document["kind"], document["directory"]) == (1, "gitops-verify", "tree")
    assert document["findings"] == [
        {
            "rule": "depends-on-cycle",
            "file": "tree/shop/dev/database.yaml",
            "line": 18,
            "column": 7,
            "message": "HelmReleases depend on each other: cache → database → cache",
            "hint": "remove one of these dependencies",
        }
    ]


def test_the_same_finding_of_many_files_is_shown_in_three(tmp_path: Path) -> None:
    planted("argocd: absent keys are allowed", tmp_path)
    for name in "abcde":
        (tmp_path / "tree" / f"{name}.yaml").write_text("a: [\n")
    _, out, _ = typed(tmp_path, "tree")
    assert out.count("[unreadable-file]") == 3
    assert "    and 2 more places\n" in out


def test_a_directory_that_does_not_exist_ends_with_2(tmp_path: Path) -> None:
    code, out, err = typed(tmp_path, "nowhere")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path}/nowhere is not a directory")


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    planted("flux: a secret in plain text", tmp_path)
    for output in ("text", "json"):
        assert "correct-horse" not in "".join(map(str, typed(tmp_path, "tree", output)))


def test_an_unknown_way_to_check_schemas_ends_with_2(tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    app = App(environ={"HOME": str(tmp_path)}, cwd=CASES, out=out, err=err)
    assert run(app, lambda app: verify(app, Arguments(directory="flux", schemas="xsd"), "text")) == 2
    assert err.getvalue().startswith("error: --schemas is 'xsd'\n  hint: choose one of auto, server")


def test_a_stack_without_an_export_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    code, _, err = typed(tmp_path, "")
    assert code == 2
    assert err == f"error: {tmp_path}/gitops does not exist\n  hint: run invoke gitops.export, or name a directory\n"
