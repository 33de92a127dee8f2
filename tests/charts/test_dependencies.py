"""`invoke charts.dependencies`, and the real helm's opinion of what it makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.commands.charts import dependencies
from devtools.errors import ExitCode
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

LOCAL = """\
  - name: widget
    version: ">=0.0.1 <9"
    repository: file://../widget
    condition: widget.enabled
    tags: [a, b]
    import-values: [data]
    alias: w
"""
VENDORED = "  - {name: cache, version: ~1.2.0, repository: https://charts.example.com}\n"


@pytest.fixture
def shop(tmp_path: Path, tool: Callable[[str], Path]) -> Path:
    tool("helm")
    return make_shop(tmp_path / "shop")


def asks(shop: Path, text: str, chart: str = "app") -> Path:
    directory = shop / "charts/platform" / chart
    file = directory / "Chart.yaml"
    file.write_text(file.read_text().rstrip("\n") + "\ndependencies:\n" + text)
    return directory


def run(shop: Path, *, check: bool = False, output: str = "json") -> Done:
    environ = {"DEVTOOLS_STATE": str(shop.parent / "state"), "HOME": str(Path.home())}
    return call(lambda app: dependencies(app, check=check, output=output), output, environ=environ, cwd=shop)


def states(done: Done) -> dict[str, str]:
    return {row["dependency"]: row["state"] for row in done.document["charts"]}


def test_charts_are_built_from_archives_and_the_real_helm_agrees(shop: Path, tool: Callable[[str], Path]) -> None:
    chart = asks(shop, LOCAL)
    assert (run(shop, check=True).code, states(run(shop, check=True))) == (ExitCode.FAILED, {"widget": "missing"})
    done = run(shop)
    assert (done.code, states(done)) == (ExitCode.OK, {"widget": "ok"})
    lock = (chart / "Chart.lock").read_bytes()
    assert (run(shop).code, (chart / "Chart.lock").read_bytes()) == (ExitCode.OK, lock)
    runner = SubprocessRunner({"HOME": str(shop.parent)}, Cancel())
    built = runner.run(Command(argv=(str(tool("helm")), "dependency", "build", str(chart)), timeout=60))
    assert built.ok, built.stderr  # it refuses a lock whose digest is not its own
    listed = runner.run(Command(argv=(str(tool("helm")), "dependency", "list", str(chart)), timeout=60))
    assert "ok" in listed.stdout
    assert "missing" not in listed.stdout
    assert (chart / "Chart.lock").read_bytes() == lock


def test_a_vendored_archive_replaces_an_older_one(shop: Path) -> None:
    chart = asks(shop, VENDORED)
    (chart / "charts").mkdir()
    (chart / "charts/cache-1.1.0.tgz").write_bytes(b"old")
    (chart / "charts/cache-extra-1.0.0.tgz").write_bytes(b"another chart")
    done = run(shop)
    assert (done.code, states(done)) == (ExitCode.OK, {"cache": "ok"})
    assert sorted(path.name for path in (chart / "charts").iterdir()) == ["cache-1.2.3.tgz", "cache-extra-1.0.0.tgz"]


def test_a_changed_requirement_is_not_locked(shop: Path) -> None:
    chart = asks(shop, VENDORED)
    run(shop)
    file = chart / "Chart.yaml"
    file.write_text(file.read_text().replace("~1.2.0", "^1.0.0"))
    assert states(run(shop, check=True)) == {"cache": "not locked"}
    assert states(run(shop)) == {"cache": "ok"}


def test_what_no_archive_satisfies_is_refused_and_nothing_is_written(shop: Path) -> None:
    chart = asks(shop, VENDORED.replace("~1.2.0", "^2.0.0") + LOCAL)
    done = run(shop, output="text")
    assert done.code is ExitCode.CONFIG
    assert "charts/platform/app/Chart.yaml:1:1: no vendored archive is cache ^2.0.0" in done.err
    assert not (chart / "charts").exists()
    assert not (chart / "Chart.lock").exists()


def test_a_directory_outside_of_the_repository_is_refused(shop: Path) -> None:
    asks(shop, "  - {name: x, version: 1.0.0, repository: file://../../../../elsewhere}\n")
    done = run(shop, output="text")
    assert done.code is ExitCode.CONFIG
    assert "leads out of the repository" in done.err
