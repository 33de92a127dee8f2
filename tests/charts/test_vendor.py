"""Vendoring from a real chart repository, a real registry and directories: what goes in, and what is refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.app.exit_codes import run
from devtools.base.open_file import sha256_of
from devtools.charts.resolve import WORK
from devtools.commands import charts as verbs
from devtools.errors import ExitCode
from devtools.process.runner import Command, SubprocessRunner
from devtools.project import Project
from tests.kits.chart_servers import Packer, http_repository, oci_registry
from tests.kits.charts import CHART, archive, link
from tests.kits.stack import write

LOCK = "charts/third_party/lock.yaml"
TWO = """\
stage: a
releases:
  - {name: old, namespace: ns, chart: acme/web@1.0.0}
  - {name: new, namespace: ns, chart: acme/web@1.1.0}
"""
WEB = "charts/third_party/acme/web/web-1.0.0.tgz"


@pytest.fixture
def packer(tool: Callable[[str], Path], tmp_path: Path) -> Packer:
    (tmp_path / "home").mkdir()
    return Packer(helm=tool("helm"), home=tmp_path / "home")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory, and the URL it is served at."""
    with http_repository(tmp_path / "served") as url:
        yield tmp_path / "served", url


class Repo:
    """A repository of a user, and its tasks."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root, self._home = root, home
        self.out, self.err = io.StringIO(), io.StringIO()

    def pin(self, *entries: str) -> Repo:
        """Each entry is the inside of a flow map, its sha256 included."""
        lines = "".join(f"  - {{publisher: acme, {entry}}} # kept\n" for entry in entries)
        write(self.root, {"devtools.yaml": "cluster: {provider: kwok}\n", LOCK: f"# ours\ncharts:\n{lines}"})
        return self

    def app(self) -> App:
        self.out, self.err = io.StringIO(), io.StringIO()
        environ = {"PATH": os.environ["PATH"], "HOME": str(self._home), "DEVTOOLS_STATE": str(self._home / "state")}
        environ["DEVTOOLS_CACHE"] = os.environ.get("DEVTOOLS_CACHE", "") or str(Path.home() / ".cache/ameide-devtools")
        return App(environ=environ, cwd=self.root, out=self.out, err=self.err)

    def vendor(self, *names: str, source: str = "", keyring: str = "", output: str = "text") -> ExitCode:
        return run(self.app(), lambda app: verbs.vendor(app, names, source, keyring, output), output)

    def verify(self) -> ExitCode:
        return run(self.app(), lambda app: verbs.verify(app, "text"))

    def states(self) -> dict[str, str]:
        """What `charts.list` shows."""
        assert run(self.app(), lambda app: verbs.show(app, "json")) is ExitCode.OK
        return {row["chart"]: row["state"] for row in json.loads(self.out.getvalue())["charts"]}

    @property
    def lock(self) -> str:
        return (self.root / LOCK).read_text()

    def tree(self) -> list[str]:
        """Everything in the tree of vendored charts but the lock."""
        below = self.root / "charts/third_party"
        return sorted(
            p.relative_to(below).as_posix() for p in below.rglob("*") if p.is_file() and p.name != "lock.yaml"
        )


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo", tmp_path / "home")


def test_from_a_chart_repository(repo: Repo, packer: Packer, source: tuple[Path, str]) -> None:
    """The digest goes into the lock, and nothing else in it changes."""
    directory, url = source
    packer.pack(packer.chart("web"), directory)
    packer.index(directory)
    repo.pin(f"name: web, version: 1.0.0, sha256: null, repository: '{url}'")
    before = repo.lock
    assert repo.vendor() is ExitCode.OK, repo.err.getvalue()
    sha256 = sha256_of(repo.root / WEB)
    assert repo.lock == before.replace("sha256: null", f"sha256: {sha256}")
    assert sha256 == sha256_of(directory / "web-1.0.0.tgz")
    assert repo.tree() == ["acme/web/web-1.0.0.tgz"]
    assert repo.out.getvalue() == "acme/web  1.0.0  vendored  provenance: none\n"
    assert repo.verify() is ExitCode.OK
    assert "acme/web  1.0.0  vendored" in repo.out.getvalue()
    assert repo.vendor(output="json") is ExitCode.OK, "nothing is left to do"
    assert json.loads(repo.out.getvalue()) == {"version": 1, "kind": "charts-vendor", "charts": []}
    assert repo.vendor("web") is ExitCode.OK
    assert "unchanged" in repo.out.getvalue()


def test_from_a_registry(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    """The same bytes as were pushed, by an `oci` entry and by `--from`."""
    with oci_registry(tmp_path / "home") as reference:
        packed = packer.pack(packer.chart("web", "1.0.0+build.1"), tmp_path / "packed")
        packer.run(packer.helm, "push", packed, f"{reference}/charts", "--plain-http")
        repo.pin(f"name: web, version: 1.0.0+build.1, sha256: null, oci: '{reference}/charts/web'")
        assert repo.vendor() is ExitCode.OK, repo.err.getvalue()
        sha256 = sha256_of(packed)
        assert f"sha256: {sha256}," in repo.lock
        assert sha256_of(repo.root / "charts/third_party/acme/web/web-1.0.0+build.1.tgz") == sha256
        repo.pin("name: web, version: 1.0.0+build.1, sha256: null, oci: 'oci://nowhere.invalid/web'")
        shutil.rmtree(repo.root / "charts/third_party/acme")
        assert repo.vendor("acme/web", source=f"{reference}/charts", output="json") is ExitCode.OK, repo.err.getvalue()
        (row,) = json.loads(repo.out.getvalue())["charts"]
        assert (row["sha256"], row["source"]) == (sha256, f"{reference}/charts/web")
        repo.pin("name: web, version: 9.9.9, sha256: null, oci: 'oci://nowhere.invalid/web'")
        assert repo.vendor(source=f"{reference}/charts") is ExitCode.CONFIG
        assert f"'acme/web' cannot be pulled from {reference}/charts/web" in repo.err.getvalue()


@pytest.mark.parametrize("place", ["", "acme", "acme/web"])
def test_from_a_directory_of_archives(repo: Repo, packer: Packer, tmp_path: Path, place: str) -> None:
    packed = packer.pack(packer.chart("web"), tmp_path / "archives" / place)
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    assert repo.vendor(source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert sha256_of(repo.root / WEB) == sha256_of(packed)


def test_from_a_directory_of_charts_the_same_bytes_each_time(repo: Repo, packer: Packer) -> None:
    chart = packer.chart("web")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    assert repo.vendor(source=str(chart.parent)) is ExitCode.OK, repo.err.getvalue()
    for path in chart.rglob("*"):
        os.utime(path, (1, 1))
    assert repo.vendor("web", source=str(chart.parent)) is ExitCode.OK, repo.err.getvalue()
    assert "unchanged" in repo.out.getvalue()
    os.mkfifo(chart / ".helmignore")  # helm would wait for whoever writes into it
    assert repo.vendor("web", source=str(chart.parent)) is ExitCode.CONFIG
    assert f"{chart / '.helmignore'} is a pipe (helm takes files and directories only" in repo.err.getvalue()


def test_dependencies_that_are_not_in_the_archive_are_packed(
    repo: Repo, packer: Packer, source: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data_filter", "tar_filter", "fully_trusted_filter"):  # as in Python 3.11.2, which Debian 12 has
        monkeypatch.delattr(tarfile, name, raising=False)
    monkeypatch.delattr(tarfile.TarFile, "extractall")
    directory, url = source
    packer.pack(packer.chart("redis", "2.1.0"), directory)
    packer.index(directory)
    wanted = [{"name": "redis", "version": "2.x.x", "repository": url, "condition": "redis.enabled"}]
    chart = packer.chart("web", dependencies=wanted)
    bare = {f"web/{path.relative_to(chart)}": path.read_bytes() for path in chart.rglob("*") if path.is_file()}
    archive(directory, bare)
    packer.index(directory)
    repo.pin(f"name: web, version: 1.0.0, sha256: null, repository: '{url}'")
    assert repo.vendor(output="json") is ExitCode.OK, repo.err.getvalue()
    (row,) = json.loads(repo.out.getvalue())["charts"]
    assert row["packed"] == ["redis"]
    with tarfile.open(repo.root / WEB) as file:
        assert "web/charts/redis/Chart.yaml" in file.getnames()
    assert repo.verify() is ExitCode.OK
    rendered = packer.run(packer.helm, "template", "x", repo.root / WEB).stdout
    assert "name: redis" in rendered
    assert repo.vendor("web") is ExitCode.OK, repo.err.getvalue()
    assert "unchanged" in repo.out.getvalue(), "packed again, it has the same bytes"


def test_dependencies_in_the_archive_are_left_alone(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    redis = packer.pack(packer.chart("redis"), tmp_path / "r")
    wanted = [{"name": "redis", "version": "1.0.0", "repository": "https://nowhere.invalid"}]
    chart = packer.chart("web", dependencies=wanted)
    write(chart, {"charts/redis-1.0.0.tgz": redis.read_bytes()})
    packed = packer.pack(chart, tmp_path / "archives")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    assert repo.vendor(source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert sha256_of(repo.root / WEB) == sha256_of(packed)


BIG = b"\0" * (100 * 2**20 + 1)
UNSAFE: dict[str, tuple[dict[str, bytes], list[tarfile.TarInfo], str]] = {
    "path traversal": ({"web/Chart.yaml": CHART, "web/../../x": b""}, [], "holds a path that points out of it"),
    "a symlink out": ({"web/Chart.yaml": CHART}, [link("web/l", "../../x")], "holds a link that points out of it"),
    "a zip bomb": ({"web/Chart.yaml": CHART, "web/big": BIG}, [], "is larger than 100 MiB or 10000 files"),
    "a path that helm misreads": ({"./web/Chart.yaml": CHART}, [], "helm takes the first part of each path for the"),
    "another name": ({"web/Chart.yaml": CHART.replace(b"web", b"other")}, [], "has name 'other', but the lock has"),
    "another version": (
        {"web/Chart.yaml": CHART.replace(b"1.0.0", b"2.0.0")},
        [],
        "has version '2.0.0', but the lock has '1.0.0'",
    ),
}


@pytest.mark.parametrize(("members", "links", "why"), UNSAFE.values(), ids=UNSAFE)
def test_what_is_unsafe_is_refused_named_and_leaves_nothing(
    repo: Repo, tmp_path: Path, members: dict[str, bytes], links: list[tarfile.TarInfo], why: str
) -> None:
    archive(tmp_path / "archives", members, *links)
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    before = repo.lock
    assert repo.vendor(source="../archives") is ExitCode.CONFIG
    assert "chart archive web-1.0.0.tgz of 'acme/web'" in repo.err.getvalue()
    assert why in " ".join(repo.err.getvalue().split())
    assert (repo.lock, repo.tree()) == (before, [])


def test_unreadable_crds_are_found_when_vendoring_and_verifying(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    chart = packer.chart("web")
    write(chart, {"crds/a.yaml": "a: &a {x: 1}\nb: {!!merge <<: *a}\n"})
    packer.pack(chart, tmp_path / "archives")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    assert repo.vendor(source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert repo.verify() is ExitCode.OK
    write(chart, {"crds/a.yaml": "kind: {{ .Values.kind }}\n"})
    sha256 = sha256_of(packer.pack(chart, repo.root / "charts/third_party/acme/web"))
    repo.pin(f"name: web, version: 1.0.0, sha256: {sha256}, repository: 'https://nowhere.invalid'")
    message = "chart archive web-1.0.0.tgz of 'acme/web': crds/a.yaml of the chart is not YAML that helm can read"
    assert repo.verify() is ExitCode.CONFIG
    assert message in " ".join(repo.err.getvalue().split())
    assert repo.vendor("web", source="charts/third_party/acme/web") is ExitCode.CONFIG
    assert message in " ".join(repo.err.getvalue().split())


def test_another_digest_than_the_locked_one_is_refused(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    packer.pack(packer.chart("web"), tmp_path / "archives")
    repo.pin(f"name: web, version: 1.0.0, sha256: {'a' * 64}, repository: 'https://nowhere.invalid'")
    before = repo.lock
    assert repo.vendor(source="../archives") is ExitCode.CONFIG
    printed = " ".join(repo.err.getvalue().split())
    assert "gives another 'acme/web' 1.0.0 than the one that is locked" in printed
    assert "set sha256 to null" in printed
    assert (repo.lock, repo.tree()) == (before, [])


def test_one_that_fails_does_not_keep_the_others_out(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    packer.pack(packer.chart("web"), tmp_path / "archives")
    nowhere = "repository: 'https://nowhere.invalid'"
    repo.pin(
        f"name: api, version: 1.0.0, sha256: null, {nowhere}", f"name: web, version: 1.0.0, sha256: null, {nowhere}"
    )
    assert repo.vendor(source="../archives") is ExitCode.CONFIG
    assert repo.tree() == ["acme/web/web-1.0.0.tgz"]
    assert "vendored" in repo.out.getvalue()
    assert "does not contain api-1.0.0.tgz" in repo.err.getvalue()
    assert repo.vendor(source="../archives", output="json") is ExitCode.CONFIG
    assert json.loads(repo.out.getvalue())["kind"] == "error"


def test_a_source_that_does_not_answer_is_the_environments_fault(repo: Repo) -> None:
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'http://127.0.0.1:1'")
    assert repo.vendor() is ExitCode.ENVIRONMENT
    assert "'acme/web' cannot be pulled from http://127.0.0.1:1" in repo.err.getvalue()


def test_an_unknown_name_is_refused_with_the_nearest(repo: Repo) -> None:
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    assert repo.vendor("acme/wab") is ExitCode.CONFIG
    assert "did you mean 'acme/web'?" in repo.err.getvalue()


def test_the_archive_of_the_version_before_goes(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        packer.pack(packer.chart("web", version), tmp_path / "archives")
        repo.pin(f"name: web, version: {version}, sha256: null, repository: 'https://nowhere.invalid'")
        assert repo.vendor(source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert repo.tree() == ["acme/web/web-1.1.0.tgz"]


def test_two_versions_of_one_chart(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    """Each has its archive, its digest and its state; one alone is vendored by its name with the version."""
    nowhere = "repository: 'https://nowhere.invalid'"
    archives = [packer.pack(packer.chart("web", version), tmp_path / "archives") for version in ("1.0.0", "1.1.0")]
    repo.pin(*(f"name: web, version: {version}, sha256: null, {nowhere}" for version in ("1.0.0", "1.1.0")))
    write(repo.root, {"layers/10-a.yaml": TWO})
    stack = Project(repo.app()).stack()
    assert [release.chart.version for release in stack.releases()] == ["1.0.0+standin", "1.1.0+standin"]
    assert len({release.chart.path for release in stack.releases()}) == 2
    assert repo.vendor("acme/web@1.1.0", source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert repo.tree() == ["acme/web/web-1.1.0.tgz"]
    assert repo.vendor("web", source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert repo.tree() == ["acme/web/web-1.0.0.tgz", "acme/web/web-1.1.0.tgz"]
    assert [sha256_of(path) in line for path, line in zip(archives, repo.lock.splitlines()[2:], strict=True)] == [
        True
    ] * 2
    assert repo.verify() is ExitCode.OK, repo.err.getvalue()
    charts = [release.chart for release in Project(repo.app()).stack().releases()]
    assert [(chart.name, chart.version, chart.kind) for chart in charts] == [
        ("acme/web", "1.0.0", "vendored"),
        ("acme/web", "1.1.0", "vendored"),
    ]
    assert len({repo.app().charts.digest(chart) for chart in charts}) == 2
    assert repo.vendor("acme/web@1.2.0") is ExitCode.CONFIG
    assert "no chart 'acme/web@1.2.0'" in repo.err.getvalue()
    assert "did you mean 'acme/web@1.1.0'?" in " ".join(repo.err.getvalue().split())
    assert run(repo.app(), lambda app: verbs.outdated(app, "", "json")) is ExitCode.ENVIRONMENT
    (tmp_path / "index.yaml").write_text("entries: {web: [{version: 1.1.0}]}")
    assert run(repo.app(), lambda app: verbs.outdated(app, "../index.yaml", "json")) is ExitCode.OK
    rows = json.loads(repo.out.getvalue())["charts"]
    assert [(row["version"], row["state"]) for row in rows] == [("1.0.0", "outdated"), ("1.1.0", "current")]


def test_another_version_in_the_lock_is_vendored(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    packer.pack(packer.chart("web"), tmp_path / "archives")
    packer.pack(packer.chart("web", "1.1.0"), tmp_path / "archives")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    repo.vendor(source="../archives")
    (repo.root / LOCK).write_text(repo.lock.replace("1.0.0", "1.1.0"))
    assert repo.verify() is ExitCode.CONFIG
    printed = " ".join(repo.err.getvalue().split())
    assert "web-1.1.0.tgz of 'acme/web' is not vendored: the lock's sha256 is of web-1.0.0.tgz" in printed
    assert "invoke charts.vendor --name acme/web" in printed
    assert "is not in the lock" not in printed
    assert repo.states() == {"acme/web": "not vendored"}
    assert repo.vendor(source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert repo.tree() == ["acme/web/web-1.1.0.tgz"]
    assert repo.verify() is ExitCode.OK


@pytest.mark.parametrize("place", ["../nowhere", "../empty"])
def test_a_wrong_source_is_one_problem(repo: Repo, tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    nowhere = "sha256: null, repository: 'https://nowhere.invalid'"
    repo.pin(*(f"name: {name}, version: 1.0.0, {nowhere}" for name in ("a", "b", "c", "d")))
    assert repo.vendor(source=place) is ExitCode.CONFIG
    printed = " ".join(repo.err.getvalue().split())
    wrong = (
        "is not a directory"
        if place.endswith("nowhere")
        else "none of the 4 charts could be fetched from there; the first error: "
    )
    assert wrong in printed
    assert printed.count("a-1.0.0.tgz") <= 2
    assert "b-1.0.0.tgz" not in printed
    assert "lock.yaml" not in printed


def test_a_mirror_with_a_directory_for_each_publisher(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    """It is configured once; `helm repo index` makes an empty index of the directory above them."""
    packer.pack(packer.chart("web"), tmp_path / "served" / "acme")
    packer.index(tmp_path / "served" / "acme")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    with http_repository(tmp_path / "served") as url:
        write(repo.root, {"devtools.yaml": f"cluster: {{provider: kwok}}\nchart_mirror: '{url}/{{publisher}}'\n"})
        assert repo.vendor() is ExitCode.OK, repo.err.getvalue()
        assert run(repo.app(), lambda app: verbs.outdated(app, "", "json")) is ExitCode.OK, repo.err.getvalue()
    (row,) = json.loads(repo.out.getvalue())["charts"]
    assert (row["latest"], row["state"]) == ("1.0.0", "current")


def test_a_mirror_may_not_hold_credentials(repo: Repo) -> None:
    write(repo.root, {"devtools.yaml": "chart_mirror: https://ci:s3cr3t@mirror.example.com\n"})
    assert repo.vendor() is ExitCode.CONFIG
    assert "without credentials" in repo.err.getvalue()
    assert "s3cr3t" not in repo.err.getvalue()


@pytest.mark.parametrize("password", ["s3cr3t", "wr0ng-one"])
def test_a_password_is_in_no_output_and_no_argument(
    repo: Repo, packer: Packer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    packer.pack(packer.chart("web"), tmp_path / "served")
    packer.index(tmp_path / "served")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    ran: list[str] = []
    really = SubprocessRunner.run

    def spy(runner: SubprocessRunner, command: Command, *more: Any) -> Any:
        ran.append(" ".join((*command.argv, *(command.env or {}).values())))
        return really(runner, command, *more)

    monkeypatch.setattr(SubprocessRunner, "run", spy)
    with http_repository(tmp_path / "served", "s3cr3t") as url:
        code = repo.vendor(source=url.replace("://", f"://ci:{password}@"), output="json")
    assert code is (ExitCode.OK if password == "s3cr3t" else ExitCode.CONFIG), repo.err.getvalue()
    assert any("repo update" in words for words in ran)
    assert " ci" not in " ".join(ran)
    assert password not in repo.out.getvalue() + repo.err.getvalue() + " ".join(ran)


def test_a_directory_whose_dependencies_are_not_built(repo: Repo, packer: Packer, source: tuple[Path, str]) -> None:
    directory, url = source
    packer.pack(packer.chart("redis"), directory)
    packer.index(directory)
    dependency = {"name": "redis", "version": "1.0.0", "repository": url}
    chart = packer.chart("web", dependencies=[dependency])
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    assert repo.vendor(source=str(chart.parent)) is ExitCode.OK, repo.err.getvalue()
    with tarfile.open(repo.root / WEB) as archive:
        assert "web/charts/redis/Chart.yaml" in archive.getnames()


def test_a_corrupted_archive_is_listed_and_vendored_again(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    packer.pack(packer.chart("web"), tmp_path / "archives")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    repo.vendor(source="../archives")
    write(repo.root, {WEB: (repo.root / WEB).read_bytes()[:-1]})
    assert repo.states() == {"acme/web": "corrupted"}
    assert repo.vendor(source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert repo.states() == {"acme/web": "vendored"}


def test_remains_of_a_killed_vendoring_are_reported_and_removed(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    """The archive is renamed into place first: killed right then, the lock knows nothing of it yet."""
    packed = packer.pack(packer.chart("web"), tmp_path / "archives")
    repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
    below = {"acme/web/web-1.0.0.tgz": packed.read_bytes(), f"{WORK}x/pulled/web-1.0.0.tgz": b"half"}
    write(repo.root / "charts/third_party", below)
    assert repo.verify() is ExitCode.CONFIG
    printed = " ".join(repo.err.getvalue().split())
    assert "exists, but the lock has no sha256 for it" in printed
    assert "invoke charts.vendor --name acme/web" in printed
    assert repo.vendor(source="../archives") is ExitCode.OK, repo.err.getvalue()
    assert repo.verify() is ExitCode.OK
    assert repo.tree() == ["acme/web/web-1.0.0.tgz"]


def test_a_lock_that_cannot_be_written_leaves_the_tree_alone(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    """An alias is no place to write a value to: it would change another chart's, too."""
    packer.pack(packer.chart("web"), tmp_path / "archives")
    repo.pin(
        "name: api, version: 1.0.0, sha256: &none null, repository: 'https://nowhere.invalid'",
        "name: web, version: 1.0.0, sha256: *none, repository: 'https://nowhere.invalid'",
    )
    before = repo.lock
    assert repo.vendor("web", source="../archives") is ExitCode.CONFIG
    assert "the sha256 of 'acme/web@1.0.0' cannot be written" in " ".join(repo.err.getvalue().split())
    assert (repo.lock, repo.tree()) == (before, [])


def test_verify_names_whatever_does_not_belong(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    packer.pack(packer.chart("web"), tmp_path / "archives")
    nowhere = "repository: 'https://nowhere.invalid'"
    repo.pin(f"name: web, version: 1.0.0, sha256: null, {nowhere}")
    repo.vendor(source="../archives")
    raw = (repo.root / WEB).read_bytes()
    write(repo.root, {"charts/third_party/acme/web/web-0.9.0.tgz": raw, WEB: raw[:-1]})
    assert repo.verify() is ExitCode.CONFIG
    printed = " ".join(repo.err.getvalue().split())
    assert "acme/web/web-0.9.0.tgz is not in the lock" in printed
    assert "web-1.0.0.tgz of 'acme/web' is corrupted" in printed


def test_a_missing_lock_is_reported_once(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    for name in ("web", "api", "job"):
        packer.pack(packer.chart(name), tmp_path / "archives")
    repo.pin(*(f"name: {n}, version: 1.0.0, sha256: null, repository: 'https://no.invalid'" for n in ("web", "api")))
    repo.vendor(source="../archives")
    (repo.root / LOCK).unlink()
    assert repo.verify() is ExitCode.CONFIG
    assert repo.err.getvalue() == (
        f"error: 1 problem in {LOCK}\n  {LOCK}:1:1: is missing; needed by acme/api/api-1.0.0.tgz,"
        " acme/web/web-1.0.0.tgz (restore it from version control)\n"
    )
    shutil.rmtree(repo.root / "charts")
    assert repo.verify() is ExitCode.OK, "a repository without charts of others needs no lock"
    assert repo.vendor() is ExitCode.OK
    assert repo.err.getvalue() == f"no chart is pinned: there is no {LOCK}\n"


@pytest.fixture
def keyring(packer: Packer, tmp_path: Path) -> dict[str, str]:
    """A signing key, and the public keys to trust: its own, and somebody else's."""
    if shutil.which("gpg") is None:
        pytest.skip("no gpg to sign charts with")
    rings = {}
    for name in ("ours", "theirs"):
        home = tmp_path / f"gpg-{name}"
        home.mkdir(mode=0o700)
        gpg = ("gpg", "--homedir", home, "--batch", "--quiet")
        who = f"{name}@example.com"
        packer.run(*gpg, "--passphrase", "", "--quick-generate-key", who, "rsa2048", "sign", "never")
        packer.run(*gpg, "--output", home / "public.gpg", "--export", who)
        packer.run(*gpg, "--output", home / "secret.gpg", "--export-secret-keys", who)
        packer.run("gpgconf", "--homedir", home, "--kill", "gpg-agent")
        rings[name] = str(home)
    return rings


def test_provenance(
    repo: Repo, packer: Packer, tmp_path: Path, source: tuple[Path, str], keyring: dict[str, str]
) -> None:
    directory, url = source
    sign = ("--sign", "--key", "ours@example.com", "--keyring", f"{keyring['ours']}/secret.gpg")
    packed = packer.pack(packer.chart("web"), directory, *sign)
    packer.index(directory)

    def vendor(**more: Any) -> tuple[ExitCode, str]:
        shutil.rmtree(repo.root, ignore_errors=True)
        repo.pin(f"name: web, version: 1.0.0, sha256: null, repository: '{url}'")
        code = repo.vendor(**more)
        return code, " ".join((repo.out.getvalue() + repo.err.getvalue()).split())

    code, printed = vendor(keyring=f"{keyring['ours']}/public.gpg")
    assert (code, "provenance: verified" in printed) == (ExitCode.OK, True), printed
    code, printed = vendor()
    assert (code, "provenance: not verified: no keyring" in printed) == (ExitCode.OK, True), printed
    code, printed = vendor(keyring=f"{keyring['theirs']}/public.gpg")
    assert (code, "the signature of chart archive web-1.0.0.tgz of 'acme/web' is not trusted" in printed) == (
        ExitCode.CONFIG,
        True,
    ), printed
    assert repo.tree() == []
    code, printed = vendor(keyring="missing.gpg")
    assert (code, "missing.gpg does not exist" in printed) == (ExitCode.CONFIG, True), printed
    proof = packed.with_name(f"{packed.name}.prov")
    proof.write_text(proof.read_text().replace(sha256_of(packed), "b" * 64))
    code, printed = vendor()
    assert (code, "does not match its provenance file" in printed) == (ExitCode.CONFIG, True), printed
    assert repo.tree() == []


def test_what_is_outdated(repo: Repo, packer: Packer, source: tuple[Path, str]) -> None:
    directory, url = source
    for version in ("1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"):
        packer.pack(packer.chart("web", version), directory)
    packer.index(directory)
    nowhere = "http://127.0.0.1:1"
    repo.pin(
        f"name: web, version: 1.9.0, sha256: null, repository: '{url}'",
        f"name: api, version: 1.0.0, sha256: null, repository: '{nowhere}'",
    )

    def rows(source: str = "") -> list[dict[str, str]]:
        assert run(repo.app(), lambda app: verbs.outdated(app, source, "json")) is ExitCode.OK, repo.err.getvalue()
        return [dict(row) for row in json.loads(repo.out.getvalue())["charts"]]

    web, api = rows()
    assert (web["latest"], web["state"], web["problem"]) == ("1.10.0", "outdated", "")
    assert (api["latest"], api["state"]) == ("", "unknown")
    assert api["problem"]
    for place in (str(directory), str(directory / "index.yaml"), "../served"):
        assert [(row["latest"], row["state"]) for row in rows(place)] == [("1.10.0", "outdated"), ("", "unknown")]
    assert rows(f"{url}/index.yaml")[0]["latest"] == "1.10.0"
    assert run(repo.app(), lambda app: verbs.outdated(app, nowhere, "text")) is ExitCode.ENVIRONMENT

    def failing() -> ExitCode:
        return run(repo.app(), lambda app: verbs.outdated(app, "", "text", fail=True))

    assert failing() is ExitCode.FAILED
    assert "outdated" in repo.out.getvalue(), "the table is shown all the same"
    current = f"name: web, version: 1.10.0, sha256: null, repository: '{url}'"
    repo.pin(current, f"name: api, version: 1.0.0, sha256: null, repository: '{nowhere}'")
    assert failing() is ExitCode.ENVIRONMENT, "nothing is known of one"
    repo.pin(current)
    assert failing() is ExitCode.OK
    write(repo.root, {"bad.yaml": "entries: 3\n"})
    assert run(repo.app(), lambda app: verbs.outdated(app, "bad.yaml", "text")) is ExitCode.CONFIG
    assert "is not the index of a chart repository" in repo.err.getvalue()
    (directory / "index.yaml").unlink()
    repo.pin(
        f"name: web, version: 1.9.0, sha256: null, repository: '{url}'",
        f"name: api, version: 1.0.0, sha256: null, repository: '{nowhere}'",
    )
    assert [(row["latest"], row["state"]) for row in rows("../served")] == [("1.10.0", "outdated"), ("", "unknown")]
    assert run(repo.app(), lambda app: verbs.outdated(app, ".", "text")) is ExitCode.CONFIG, "none of the charts"
    assert "index.yaml cannot be read" in " ".join(repo.err.getvalue().split())


def test_the_list_says_stand_in(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    packer.pack(packer.chart("web"), tmp_path / "archives")
    nowhere = "repository: 'https://nowhere.invalid'"
    repo.pin(
        f"name: api, version: 1.0.0, sha256: null, license: MIT, {nowhere}",
        f"name: web, version: 1.0.0, sha256: null, {nowhere}",
        f"name: gone, version: 1.0.0, sha256: {'a' * 64}, {nowhere}",
    )
    repo.vendor("web", source="../archives")
    assert run(repo.app(), lambda app: verbs.show(app, "json")) is ExitCode.OK
    states = {row["chart"]: row["state"] for row in json.loads(repo.out.getvalue())["charts"]}
    assert states == {"acme/api": "stand-in", "acme/web": "vendored", "acme/gone": "missing"}
    write(repo.root, {"devtools.yaml": "cluster: {provider: k3d}\n"})
    assert run(repo.app(), lambda app: verbs.show(app, "text")) is ExitCode.OK
    assert "acme/api   1.0.0  not vendored  MIT" in repo.out.getvalue()
