"""`invoke charts.dependencies`, and the real helm's opinion of what it makes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.charts.resolve import Charts
from devtools.commands.charts import dependencies
from devtools.commands.runs import layer, plan
from devtools.errors import ExitCode
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.kits.chart_servers import Packer
from tests.kits.shop import make_shop
from tests.kits.stack import load, repository, write
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
    built = runner.run(Command(argv=(str(tool("helm")), "dependency", "build", str(chart)), timeout=300))
    assert built.ok, built.stderr  # it refuses a lock whose digest is not its own
    listed = runner.run(Command(argv=(str(tool("helm")), "dependency", "list", str(chart)), timeout=300))
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


def test_an_unsatisfied_dependency_is_refused_with_no_write(shop: Path) -> None:
    chart = asks(shop, VENDORED.replace("~1.2.0", "^2.0.0") + LOCAL)
    done = run(shop, output="text")
    assert done.code is ExitCode.CONFIG
    expected = "no vendored archive is cache ^2.0.0 (invoke charts.vendor --name platform/app)"
    assert f"charts/platform/app/Chart.yaml:5:5: {expected}" in done.err
    assert not (chart / "charts").exists()
    assert not (chart / "Chart.lock").exists()


def test_a_directory_outside_of_the_repository_is_refused(shop: Path) -> None:
    asks(shop, "  - {name: x, version: 1.0.0, repository: file://../../../../elsewhere}\n")
    done = run(shop, output="text")
    assert done.code is ExitCode.CONFIG
    assert "leads out of the repository" in done.err


def test_all_errors_of_charts_are_reported_at_their_lines(shop: Path) -> None:
    asks(shop, "  - {name: x, version: 1.0.0, repository: file://../nowhere}\n  - {nam: y}\n")
    asks(shop, "  - {name: x, version: 1.0.0, repository: file://../nowhere}\n", "widget")
    broken = shop / "charts/platform/broken/Chart.yaml"
    broken.parent.mkdir()
    broken.write_text("name: [\n")
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    assert [
        f"{item['file']}:{item['line']}:{item['column']} {item['message'][:40]}" for item in done.document["problems"]
    ] == [
        "charts/platform/app/Chart.yaml:6:5 a dependency must be a map with a name",
        "charts/platform/broken/Chart.yaml:2:1 is not YAML: did not find expected node ",
        "charts/platform/widget/Chart.yaml:5:5 file://../nowhere is not a chart",
    ]


OWN = "apiVersion: v2\nname: web\nversion: 0.1.0\n"
DECLARES = "dependencies:\n  - {name: redis, version: 1.x.x}\n  - name: db\n    version: ~2\n"
LAYER = """\
stage: a
releases:
  - {name: a, namespace: ns, chart: platform/web}
  - {name: b, namespace: ns, chart: platform/web}
"""
LACKS = "charts/platform/web/Chart.yaml:{}:5: dependency {} is not in charts/ (invoke charts.dependencies)"
LACKS_REDIS, LACKS_DB = LACKS.format(5, "redis 1.x.x"), LACKS.format(6, "db ~2")
REDIS = "apiVersion: v2\nname: redis\nversion: 1.0.0\n"
HELD: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({}, [LACKS_REDIS, LACKS_DB]),
    "a directory": ({"charts/redis/Chart.yaml": REDIS}, [LACKS_DB]),
    "a directory of another name": ({"charts/cache/Chart.yaml": REDIS}, [LACKS_DB]),
    "another version": ({"charts/redis/Chart.yaml": REDIS.replace("1.0.0", "3.0.0")}, [LACKS_DB]),
    "what helm skips": ({"charts/_redis/Chart.yaml": REDIS}, [LACKS_REDIS, LACKS_DB]),
    "what helm ignores": ({"charts/redis/Chart.yaml": REDIS, ".helmignore": "redis\n"}, [LACKS_REDIS, LACKS_DB]),
    "what is switched off": ({"values.yaml": "redis: {enabled: false}\n"}, [LACKS_REDIS, LACKS_DB]),
}


def verified(root: Path) -> list[str]:
    return [str(problem) for problem in Charts(root / "charts", root).verify(load(root).releases())]


def helm_says(helm: Path, root: Path) -> str:
    done = subprocess.run(
        [helm, "template", root / "charts/platform/web"], capture_output=True, text=True, timeout=300, check=False
    )
    return done.stderr.partition("missing in charts/ directory: ")[2].strip() if done.returncode else ""


@pytest.mark.parametrize("case", HELD)
def test_missing_dependencies_are_found_as_helm_finds_them(
    case: str, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    files, expected = HELD[case]
    chart = {f"charts/platform/web/{name}": content for name, content in files.items()}
    root = repository(tmp_path, {"layers/10-a.yaml": LAYER, **chart, "charts/platform/web/Chart.yaml": OWN + DECLARES})
    assert verified(root) == expected
    names = [word for word in ("redis", "db") if any(f"dependency {word} " in line for line in expected)]
    assert helm_says(tool("helm"), root) == ", ".join(names)


def test_packed_dependencies_are_known_by_file_name_or_content(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    files = {"layers/10-a.yaml": LAYER, "charts/platform/web/Chart.yaml": OWN + DECLARES}
    root = repository(tmp_path / "repo", files)
    packer = Packer(helm=tool("helm"), home=tmp_path / "home")
    packer.home.mkdir()
    redis = packer.pack(packer.chart("redis"), root / "charts/platform/web/charts")
    packer.pack(packer.chart("db-extra"), root / "charts/platform/web/charts")
    assert verified(root) == [LACKS_DB]
    assert helm_says(tool("helm"), root) == "db"
    redis.rename(redis.with_name("cache.tgz"))
    assert verified(root) == [LACKS_DB]
    assert helm_says(tool("helm"), root) == "db"


def test_requirements_of_an_older_chart(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    own = "charts/platform/web/"
    files = {
        "layers/10-a.yaml": LAYER,
        f"{own}Chart.yaml": OWN.replace("v2", "v1"),
        f"{own}requirements.yaml": DECLARES,
    }
    root = repository(tmp_path, dict(files))
    move = "(move the dependencies to Chart.yaml with apiVersion: v2, then: invoke"
    assert verified(root) == [
        line.replace("Chart.yaml:5", "requirements.yaml:2")
        .replace("Chart.yaml:6", "requirements.yaml:3")
        .replace("(invoke", move)
        for line in (LACKS_REDIS, LACKS_DB)
    ]
    assert helm_says(tool("helm"), root) == "redis, db"


def test_a_plan_refuses_missing_dependencies_first(tmp_path: Path) -> None:
    other = OWN.replace("web", "api")
    layers = {
        "layers/10-a.yaml": LAYER,
        "layers/20-b.yaml": "stage: b\nreleases: [{name: c, namespace: ns, chart: platform/api, installed: false}]\n",
    }
    root = repository(tmp_path / "repo", {**layers, "charts/platform/api/Chart.yaml": other + DECLARES})
    write(root, {"charts/platform/web/Chart.yaml": OWN + DECLARES, "devtools.yaml": "cluster: {provider: kwok}\n"})
    environ = {"DEVTOOLS_STATE": str(tmp_path / "state"), "DEVTOOLS_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin"}

    def typed(verb: Callable[[App], ExitCode]) -> Done:
        return call(verb, "text", environ=environ, cwd=root)

    for done in (typed(lambda app: plan(app, "", Options())), typed(lambda app: layer(app, "10-a", Options()))):
        assert done.code is ExitCode.CONFIG
        assert [line.strip() for line in done.err.splitlines()[1:]] == [LACKS_REDIS, LACKS_DB], "c is not installed"
    assert not (tmp_path / "state").exists()
