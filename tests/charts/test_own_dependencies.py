"""`invoke charts.vendor` fetches the dependencies of charts of the repository, as their Chart.lock says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from devtools.app.exit_codes import run
from devtools.base.open_file import sha256_of
from devtools.commands import charts as verbs
from devtools.errors import ExitCode
from tests.charts.test_vendor import Repo, packer, repo
from tests.kits.chart_servers import Packer, http_repository, oci_registry
from tests.kits.stack import write

__all__ = ["packer", "repo"]
APP = "charts/platform/app"
OWN = "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n"


def own(repo: Repo, *dependencies: str) -> Path:
    """A chart of the repository with these dependencies, inside of flow maps."""
    text = OWN + "".join(f"  - {{{item}}}\n" for item in dependencies)
    write(repo.root, {"devtools.yaml": "cluster: {provider: kwok}\n", f"{APP}/Chart.yaml": text})
    return repo.root / APP


def typed(repo: Repo, *names: str, source: str = "", **environ: str) -> tuple[ExitCode, list[dict[str, Any]], str]:
    app = repo.app()
    app.environ = {**app.environ, **environ}
    code = run(app, lambda app: verbs.vendor(app, names, source, "", "json"), "json")
    document = json.loads(repo.out.getvalue())
    return code, document.get("charts", []), " ".join((json.dumps(document) + repo.err.getvalue()).split())


def states(repo: Repo) -> tuple[ExitCode, dict[str, str]]:
    code = run(repo.app(), lambda app: verbs.dependencies(app, check=True, output="json"), "json")
    return code, {row["dependency"]: row["state"] for row in json.loads(repo.out.getvalue())["charts"]}


def charts_of(chart: Path) -> list[str]:
    return sorted(path.name for path in (chart / "charts").glob("*"))


@pytest.fixture
def served(packer: Packer, tmp_path: Path) -> Path:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        packer.pack(packer.chart("redis", version), tmp_path / "served")
    packer.index(tmp_path / "served")
    return tmp_path / "served"


def test_the_newest_that_fits_is_fetched_and_locked(repo: Repo, packer: Packer, served: Path) -> None:
    with http_repository(served) as url:
        chart = own(repo, f"name: redis, version: 1.x.x, repository: '{url}'")
        assert states(repo) == (ExitCode.FAILED, {"redis": "missing"})
        code, rows, text = typed(repo)
        assert code is ExitCode.OK, text
        sha256 = sha256_of(served / "redis-1.1.0.tgz")
        (row,) = rows
        assert (row["chart"], row["version"], row["state"]) == ("platform/app/redis", "1.1.0", "vendored")
        assert (row["sha256"], row["source"]) == (sha256, url)
        assert (charts_of(chart), sha256_of(chart / "charts/redis-1.1.0.tgz")) == (["redis-1.1.0.tgz"], sha256)
        assert states(repo) == (ExitCode.OK, {"redis": "ok"})
        assert not (repo.root / "charts/third_party").exists()
        assert typed(repo)[:2] == (ExitCode.OK, []), "nothing is left to do"
        assert [row["state"] for row in typed(repo, "platform/app")[1]] == ["unchanged"]
        lock = (chart / "Chart.lock").read_bytes()
        packer.run(packer.helm, "repo", "add", "x", url)
        packer.run(packer.helm, "dependency", "build", chart)
        assert (chart / "Chart.lock").read_bytes() == lock
        assert "name: redis" in packer.run(packer.helm, "template", chart).stdout


def test_the_version_of_chart_lock_is_fetched_again(repo: Repo, packer: Packer, served: Path) -> None:
    with http_repository(served) as url:
        chart = own(repo, f"name: redis, version: 1.0.0, repository: '{url}'")
        typed(repo)
        for text in ("version: 1.x.x", "version: '*'"):  # the lock is out of date, and what it has still fits
            own(repo, f"name: redis, {text}, repository: '{url}'")
            shutil.rmtree(chart / "charts")
            assert typed(repo)[0] is ExitCode.OK
            assert charts_of(chart) == ["redis-1.0.0.tgz"]
        own(repo, f"name: redis, version: ^2.0.0, repository: '{url}'")
        assert typed(repo)[0] is ExitCode.OK
        assert charts_of(chart) == ["redis-2.0.0.tgz"]
        assert states(repo) == (ExitCode.OK, {"redis": "ok"})


def test_from_a_registry_a_directory_and_a_vendored_chart(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    for name in ("redis", "cache", "web"):
        packer.pack(packer.chart(name), tmp_path / "packed")
    with oci_registry(tmp_path / "home") as reference:
        packer.run(packer.helm, "push", tmp_path / "packed/redis-1.0.0.tgz", f"{reference}/charts", "--plain-http")
        repo.pin("name: web, version: 1.0.0, sha256: null, repository: 'https://nowhere.invalid'")
        assert repo.vendor(source="../packed") is ExitCode.OK
        other = "apiVersion: v2\nname: other\nversion: 0.2.0\ndependencies:\n"
        other += f"  - {{name: redis, version: 1.0.0, repository: '{reference}/charts'}}\n"
        write(repo.root, {"charts/platform/other/Chart.yaml": other})
        chart = own(
            repo,
            "name: web, version: ~1, repository: 'https://nowhere.invalid'",
            "name: other, version: 0.2.0, repository: 'file://../other'",
        )
        code, rows, text = typed(repo, "platform/app")
        assert code is ExitCode.OK, text
        assert [row["chart"] for row in rows] == ["platform/other/redis"], "what it depends on is built first"
        assert charts_of(chart) == ["other-0.2.0.tgz", "web-1.0.0.tgz"]
        chart = own(repo, "name: cache, version: '>=0.5', repository: 'https://nowhere.invalid'")
        code, rows, text = typed(repo, source="../packed")
        assert (code, [row["version"] for row in rows]) == (ExitCode.OK, ["1.0.0"]), text
        assert "cache-1.0.0.tgz" in charts_of(chart)


def test_what_cannot_be_fetched_is_named_at_its_line(repo: Repo, served: Path) -> None:
    with http_repository(served) as url:
        chart = own(
            repo,
            f"name: redis, version: 1.x.x, repository: '{url}'",
            f"name: redis-cluster, version: 1.x.x, repository: '{url}'",
            "name: alias, version: 1.0.0, repository: '@stable'",
            "name: gone, version: 1.0.0, repository: 'file://../gone'",
        )
        code, _, text = typed(repo)
        assert code is ExitCode.CONFIG
        for line, wrong in (
            (6, "has no redis-cluster 1.x.x: chart"),
            (7, "dependency alias has the repository '@stable', which cannot be fetched from"),
            (8, "file://../gone is not a chart"),
        ):
            assert f"{APP}/Chart.yaml:{line}:5" in text.replace('", "line": ', ":").replace(', "column": ', ":"), text
            assert wrong in text
        assert not (chart / "charts").exists()
        assert not (chart / "Chart.lock").exists()
    run(repo.app(), lambda app: verbs.vendor(app, (), "", "", "text"))
    assert repo.out.getvalue() == "", "nothing is said to be vendored"
    own(repo, "name: redis, version: 1.x.x, repository: 'http://127.0.0.1:1'")
    assert typed(repo)[0] is ExitCode.ENVIRONMENT
    code, _, text = typed(repo, "platform/ap")
    assert (code, "did you mean 'platform/app'?" in text) == (ExitCode.CONFIG, True)


def test_a_dependency_that_belongs_to_the_chart_stays(repo: Repo, served: Path) -> None:
    with http_repository(served) as url:
        chart = own(repo, "name: db, version: 1.0.0", f"name: redis, version: 1.0.0, repository: '{url}'")
        write(chart, {"charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\n"})
        assert typed(repo)[0] is ExitCode.OK
    assert charts_of(chart) == ["db", "redis-1.0.0.tgz"]
    assert states(repo) == (ExitCode.OK, {"db": "ok", "redis": "ok"})
    (chart / "Chart.lock").unlink()
    assert typed(repo)[:2] == (ExitCode.OK, []), "all is there: nothing is fetched"


def test_charts_that_depend_on_each_other_are_refused(repo: Repo) -> None:
    own(repo, "name: other, version: 0.2.0, repository: 'file://../other'")
    text = "apiVersion: v2\nname: other\nversion: 0.2.0\ndependencies:\n"
    write(repo.root, {"charts/platform/other/Chart.yaml": text + "  - {name: app, repository: 'file://../app'}\n"})
    code, _, printed = typed(repo)
    assert code is ExitCode.CONFIG
    assert "lead back to it" in printed


def test_dependencies_come_from_private_sources(repo: Repo, served: Path) -> None:
    with http_repository(served, "s3cr3t") as url:
        chart = own(repo, f"name: redis, version: 1.0.0, repository: '{url}'")
        assert typed(repo)[0] is ExitCode.CONFIG
        login = {"DEVTOOLS_CHART_USER_127_0_0_1": "ci", "DEVTOOLS_CHART_PASSWORD_127_0_0_1": "s3cr3t"}
        assert typed(repo, **login)[0] is ExitCode.OK
    assert charts_of(chart) == ["redis-1.0.0.tgz"]
