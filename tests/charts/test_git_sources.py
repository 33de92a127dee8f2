"""Charts from real Git repositories: pinned to a commit, packed the same each time, and nothing else happens."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from devtools.app.exit_codes import run
from devtools.base.open_file import sha256_of
from devtools.commands import charts as verbs
from devtools.errors import ExitCode
from devtools.process.runner import Command, SubprocessRunner
from tests.charts.test_vendor import WEB, Repo, packer, repo
from tests.kits.chart_servers import Packer, certify
from tests.kits.git import commit, git
from tests.kits.git_servers import git_server
from tests.kits.stack import write

__all__ = ["packer", "repo"]
SECRET = "s3cr3t"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"


def chart(root: Path, version: str = "1.0.0", below: str = "charts/web", more: str = "") -> None:
    meta = f"apiVersion: v2\nname: web\nversion: {version}\n{more}"
    write(root, {f"{below}/Chart.yaml": meta, f"{below}/templates/a.yaml": CONFIG})


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with the tag `web-1.0.0` of its only commit."""
    root = tmp_path / "served" / "charts"
    chart(root)
    commit(root)
    git(root, "tag", "--annotate", "--message", "release", "web-1.0.0")
    return root


def pin(repo: Repo, url: str, ref: str = "web-1.0.0", more: str = "", version: str = "1.0.0") -> None:
    keys = f"git: '{url}', ref: {ref}, commit: null, path: charts/web{more}"
    repo.pin(f"name: web, version: {version}, sha256: null, {keys}")


def vendor(repo: Repo, **environ: str) -> tuple[ExitCode, str]:
    app = repo.app()
    app.environ = {**app.environ, **environ}
    code = run(app, lambda app: verbs.vendor(app, (), "", "", "text"))
    text = " ".join((repo.out.getvalue() + repo.err.getvalue()).split())
    assert SECRET not in text
    return code, text


def test_a_chart_is_pinned_to_a_commit(repo: Repo, packer: Packer, upstream: Path) -> None:
    head = git(upstream, "rev-parse", "HEAD")
    pin(repo, f"file://{upstream}")
    before = repo.lock
    code, text = vendor(repo)
    assert code is ExitCode.OK, text
    sha256 = sha256_of(repo.root / WEB)
    assert repo.lock == before.replace("sha256: null", f"sha256: {sha256}").replace("commit: null", f"commit: {head}")
    assert repo.verify() is ExitCode.OK
    assert "name: web" in packer.run(packer.helm, "template", repo.root / WEB).stdout
    (repo.root / WEB).unlink()
    chart(upstream, "1.1.0")
    commit(upstream)  # the branch goes on
    code, text = vendor(repo)
    assert (code, sha256_of(repo.root / WEB)) == (ExitCode.OK, sha256), text
    assert run(repo.app(), lambda app: verbs.show(app, "json")) is ExitCode.OK
    assert json.loads(repo.out.getvalue())["charts"][0]["source"] == f"file://{upstream}"


@pytest.mark.parametrize("attributes", ["* text eol=crlf", "* ident filter=evil export-subst", "*.yaml export-ignore"])
def test_files_are_packed_as_they_are_committed(repo: Repo, upstream: Path, tmp_path: Path, attributes: str) -> None:
    """Neither attributes of the repository nor the user's configuration change a byte."""
    values = b"a: $Id$\r\nb: $Format:%H$\n"
    write(upstream, {"charts/web/values.yaml": values})
    commit(upstream)
    write(upstream, {".gitattributes": f"{attributes}\n"})
    git(upstream, "add", ".gitattributes")
    git(upstream, "commit", "--quiet", "--message", "attributes")
    marker = tmp_path / "ran"
    evil = f'[core]\n\tautocrlf = true\n\thooksPath = {tmp_path}\n[filter "evil"]\n\tsmudge = touch {marker}; cat\n'
    write(tmp_path / "home", {".gitconfig": evil})
    pin(repo, f"file://{upstream}", "main")
    code, printed = vendor(repo)
    assert code is ExitCode.OK, printed
    with tarfile.open(repo.root / WEB) as archive:
        packed = archive.extractfile("web/values.yaml")
        assert packed
        assert packed.read() == values
    assert not marker.exists()


def test_a_server_that_gives_no_single_commits(repo: Repo, upstream: Path, tmp_path: Path) -> None:
    """As in version 0 of Git's protocol, unless the server allows it."""
    pin(repo, f"file://{upstream}", "main")
    vendor(repo)
    sha256 = sha256_of(repo.root / WEB)
    (repo.root / WEB).unlink()
    chart(upstream, "1.1.0")
    commit(upstream)
    git(upstream, "tag", "--delete", "web-1.0.0")
    write(tmp_path / "home", {".gitconfig": "[protocol]\n\tversion = 0\n"})
    code, text = vendor(repo)
    assert (code, sha256_of(repo.root / WEB)) == (ExitCode.OK, sha256), text
    pinned = git(upstream, "rev-parse", "HEAD^")
    (repo.root / "charts/third_party/lock.yaml").write_text(repo.lock.replace(pinned, "a" * 40))
    (repo.root / WEB).unlink()
    code, text = vendor(repo)
    assert (code, "commit aaaaaaaaaaaa is not in main of" in text) == (ExitCode.CONFIG, True), text


def test_a_tag_that_moved_is_refused(repo: Repo, upstream: Path) -> None:
    pin(repo, f"file://{upstream}")
    vendor(repo)
    write(upstream, {"charts/web/values.yaml": "evil: true\n"})
    commit(upstream)
    git(upstream, "tag", "--force", "web-1.0.0")
    (repo.root / WEB).unlink()
    code, text = vendor(repo)
    assert code is ExitCode.CONFIG
    assert "tag web-1.0.0 of" in text
    assert "if that is right, set commit and sha256 to null at charts/third_party/lock.yaml:3:5" in text
    assert repo.tree() == []


def test_another_version_is_found_anew(repo: Repo, upstream: Path) -> None:
    pin(repo, f"file://{upstream}")
    vendor(repo)
    chart(upstream, "1.1.0")
    head = commit(upstream)
    git(upstream, "tag", "web-1.1.0")
    (repo.root / "charts/third_party/lock.yaml").write_text(repo.lock.replace("1.0.0", "1.1.0"))
    code, text = vendor(repo)
    assert code is ExitCode.OK, text
    assert f"commit: {head}" in repo.lock
    assert repo.tree() == ["acme/web/web-1.1.0.tgz"]


def test_over_tls_with_a_password_and_nothing_to_another_host(
    repo: Repo, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    really = SubprocessRunner.run

    def spy(runner: SubprocessRunner, command: Command, *more: Any) -> Any:
        ran.append(" ".join((*command.argv, *(command.env or {}).values())))
        home = Path((command.env or {}).get("GIT_DIR", "/nonexistent/x")).parent
        if (home / "credentials").exists():
            ran.append("with a file of credentials")
            assert ((home / "credentials").stat().st_mode | home.parent.stat().st_mode) & 0o077 == 0
        return really(runner, command, *more)

    monkeypatch.setattr(SubprocessRunner, "run", spy)
    certificate = certify(repo.root / "certs")
    login = {"DEVTOOLS_CHART_USER_ACME": "ci", "DEVTOOLS_CHART_PASSWORD_ACME": SECRET}
    with git_server(tmp_path / "served", certificate, SECRET) as url:
        host = url.removeprefix("https://")
        pin(repo, f"{url}/charts/.git")
        code, text = vendor(repo, **login)
        assert code is ExitCode.CONFIG
        assert "certificate" in text
        settings = f"cluster: {{provider: kwok}}\nchart_ca: {{'{host}': certs/tls.pem}}\n"
        write(repo.root, {"devtools.yaml": settings})
        code, text = vendor(repo)
        assert code is ExitCode.CONFIG
        assert "terminal prompts disabled" in text
        code, text = vendor(repo, DEVTOOLS_CHART_USER_ACME="ci", DEVTOOLS_CHART_PASSWORD_ACME="wr0ng")
        assert code is ExitCode.CONFIG
        assert "Authentication failed" in text
        code, text = vendor(repo, **login)
        assert code is ExitCode.OK, text
        assert run(repo.app(), lambda app: verbs.outdated(app, "", "json")) is not ExitCode.BUG
    assert not [words for words in ran if SECRET in words or " ci" in words]
    assert "with a file of credentials" in ran
    received: list[str] = []
    with (
        git_server(tmp_path / "served", certificate, received=received) as other,
        git_server(tmp_path / "served", certificate, elsewhere=other) as url,
    ):
        pin(repo, f"{url}/charts/.git")
        host = url.removeprefix("https://")
        write(repo.root, {"devtools.yaml": f"cluster: {{provider: kwok}}\nchart_ca: {{'{host}': certs/tls.pem}}\n"})
        code, text = vendor(repo, **login)
    assert (code, received) == (ExitCode.CONFIG, []), "no redirect is followed"


def test_a_path_may_be_written_otherwise(repo: Repo, upstream: Path) -> None:
    pin(repo, f"file://{upstream}", "main")
    write(repo.root, {"charts/third_party/lock.yaml": repo.lock.replace("path: charts/web", "path: ./charts/web/")})
    code, text = vendor(repo)
    assert code is ExitCode.OK, text
    (upstream / "charts/web/link.yaml").symlink_to("Chart.yaml")
    commit(upstream)
    pin(repo, f"file://{upstream}", "main")
    write(repo.root, {"charts/third_party/lock.yaml": repo.lock.replace("path: charts/web", "path: ./charts/web/")})
    (repo.root / WEB).unlink()
    assert vendor(repo)[0] is ExitCode.CONFIG, "the link is found"


def test_a_chart_at_the_root_of_a_repository(repo: Repo, tmp_path: Path) -> None:
    root = tmp_path / "root"
    chart(root, below=".")
    commit(root)
    repo.pin(f"name: web, version: 1.0.0, sha256: null, git: 'file://{root}', ref: main, commit: null")
    code, text = vendor(repo)
    assert code is ExitCode.OK, text
    with tarfile.open(repo.root / WEB) as archive:
        assert sorted(archive.getnames()) == ["web/Chart.yaml", "web/templates/a.yaml"]


def test_dependencies_that_lie_beside_it_are_packed(repo: Repo, packer: Packer, upstream: Path) -> None:
    write(upstream, {"charts/common/Chart.yaml": "apiVersion: v2\nname: common\nversion: 0.1.0\n"})
    chart(upstream, more="dependencies: [{name: common, version: 0.1.0, repository: 'file://../common'}]\n")
    commit(upstream)
    pin(repo, f"file://{upstream}", "main")
    code, text = vendor(repo)
    assert code is ExitCode.OK, text
    sha256 = sha256_of(repo.root / WEB)
    with tarfile.open(repo.root / WEB) as archive:
        assert "web/charts/common/Chart.yaml" in archive.getnames()
    (repo.root / WEB).unlink()
    assert vendor(repo)[0] is ExitCode.OK
    assert sha256_of(repo.root / WEB) == sha256


def test_newer_tags_of_the_same_name_are_outdated(repo: Repo, upstream: Path) -> None:
    pin(repo, f"file://{upstream}")
    for tag in ("web-1.2.0", "web-1.10.0", "web-2.0.0-rc.1", "api-3.0.0", "v9.0.0"):
        git(upstream, "tag", tag)

    def row() -> tuple[str, str, str]:
        assert run(repo.app(), lambda app: verbs.outdated(app, "", "json")) is ExitCode.OK, repo.err.getvalue()
        (found,) = json.loads(repo.out.getvalue())["charts"]
        return found["latest"], found["state"], found["problem"]

    assert row() == ("web-1.10.0", "outdated", "")
    pin(repo, f"file://{upstream}", "web-1.10.0")
    assert row() == ("web-1.10.0", "current", "")
    pin(repo, f"file://{upstream}", "main")
    assert run(repo.app(), lambda app: verbs.outdated(app, "", "json")) is ExitCode.ENVIRONMENT
    assert "ref 'main' does not end with a version" in repo.out.getvalue() + repo.err.getvalue()


def test_what_is_wrong_with_a_git_source_is_named(repo: Repo, upstream: Path) -> None:
    url = f"file://{upstream}"
    for ref, more, wrong in (
        ("nowhere", "", f"{url} has no tag or branch 'nowhere'"),
        ("web-1.0.0", "/../api", "'path' must be a path inside the Git repository"),
        ("web-1.0.0", "/templates", f"{url} has no charts/web/templates/Chart.yaml at web-1.0.0"),
        ("'--upload-pack=touch'", "", "must be the name of a branch or a tag, or a whole commit"),
    ):
        pin(repo, url, ref, more)
        code, text = vendor(repo)
        assert (code, wrong in text) == (ExitCode.CONFIG, True), text
    for source, wrong in (
        ("git: 'http://example.com/x', ref: a, commit: null", "must be a Git repository's URL"),
        ("git: 'ext::sh -c touch', ref: a, commit: null", "must be a Git repository's URL"),
        ("git: 'https://ci:x@example.com/x', ref: a, commit: null", "'git' must not contain credentials"),
        ("git: 'https://example.com/x', ref: a", "comes from Git and has no 'commit'"),
        ("oci: 'oci://example.com/x', ref: a", "'ref' is for charts from 'git'"),
        ("git: 'https://example.com/x', ref: \"a\\0b\", commit: null", "must be the name of a branch or a tag"),
        ('git: "https://example.com/\\0", ref: a, commit: null', "must be a Git repository's URL"),
        ('oci: "oci://example.com/\\0"', "must begin with oci://, and hold no spaces"),
        ('repository: "https://example.com/\\0"', "must begin with https:// or http://, and hold no spaces"),
        ("license: MIT", "needs exactly one of 'repository', 'oci' and 'git'"),
    ):
        repo.pin(f"name: web, version: 1.0.0, sha256: null, {source}")
        code, text = vendor(repo)
        assert (code, wrong in text) == (ExitCode.CONFIG, True), text
    (upstream / "charts/web/link.yaml").symlink_to("/etc/passwd")
    commit(upstream)
    pin(repo, url, "main")
    code, text = vendor(repo)
    assert (code, "charts/web/link.yaml of" in text) == (ExitCode.CONFIG, True), text
    (upstream / "charts/web/link.yaml").unlink()
    chart(upstream, more="dependencies: [{name: common, version: 0.1.0, repository: 'file://../common'}]\n")
    write(upstream, {"charts/common/Chart.yaml": "apiVersion: v2\nname: common\nversion: 0.1.0\n"})
    (upstream / "charts/common/link.yaml").symlink_to("Chart.yaml")
    commit(upstream)
    code, text = vendor(repo)
    assert (code, "charts/common/link.yaml of" in text) == (ExitCode.CONFIG, True), text
    pin(repo, "https://127.0.0.1:1/x")
    assert vendor(repo)[0] is ExitCode.ENVIRONMENT
    assert repo.tree() == []


def test_variables_of_another_repository_do_not_count(repo: Repo, upstream: Path, tmp_path: Path) -> None:
    """As in a hook of Git."""
    other = tmp_path / "other"
    write(other, {"a": "b"})
    commit(other)
    before = sorted((other / ".git").iterdir())
    pin(repo, f"file://{upstream}")
    code, text = vendor(repo, GIT_DIR=str(other / ".git"), GIT_INDEX_FILE=str(other / ".git/index"))
    assert code is ExitCode.OK, text
    assert sorted((other / ".git").iterdir()) == before
