"""Which cluster provider `auto` takes on a machine with Docker and k3d, as tasks of a repository see it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.app.environment import App
from devtools.app.providers import say_why_embedded, why_embedded
from devtools.commands.bootstrap.context import build_context, check_machine
from devtools.errors import EnvironmentFault
from devtools.project import Project
from tests.kits.bootstrap import http
from tests.kits.charts import lock_text
from tests.kits.stack import repository

LOCK = "charts/third_party/lock.yaml"
CHARTS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """A Docker engine that answers `/_ping` and `/version`."""
    with http({"/_ping": "OK", "/version": {"ApiVersion": "1.41"}}) as port:
        yield f"tcp://127.0.0.1:{port}"


class Repo:
    """A repository with four pinned charts on a machine with k3d and a Docker engine."""

    def __init__(self, root: Path, engine: str) -> None:
        self.root = repository(
            root / "repo",
            {
                LOCK: "charts:\n" + "".join(lock_text(name, "null") for name in CHARTS),
                "layers/10-a.yaml": "stage: a\nreleases:\n"
                + "".join(f"  - {{name: {name}, namespace: ns, chart: acme/{name}}}\n" for name in CHARTS),
            },
        )
        program = root / "bin" / "k3d"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
        self.environ = {
            "PATH": str(program.parent),
            "HOME": str(root),
            "DOCKER_HOST": engine,
            "DEVTOOLS_STATE": str(root / "state"),
            "DEVTOOLS_CACHE": str(root / "cache"),
        }

    def app(self, **environ: str) -> App:
        return App(environ=self.environ | environ, cwd=self.root, out=io.StringIO(), err=io.StringIO())

    def vendor(self) -> None:
        """Pretend: only the lock and the names of archives decide."""
        lock = self.root / LOCK
        lock.write_text(lock.read_text().replace("null", "a" * 64))

    def state(self, folder: str) -> Path:
        return self.root.parent / "state" / folder / self.app().cluster_name


@pytest.fixture
def repo(tmp_path: Path, engine: str) -> Repo:
    return Repo(tmp_path, engine)


def test_without_charts_the_embedded_cluster_is_chosen_with_why(repo: Repo) -> None:
    app = repo.app()
    assert app.provider_name == "kwok"
    say_why_embedded(app)
    (line,) = app.err.getvalue().splitlines()  # type: ignore[attr-defined]
    assert line.startswith("4 pinned charts are not vendored: the embedded cluster is used, with stand-ins for them")
    assert "invoke charts.vendor" in line
    assert {release.chart.kind for release in Project(app).stack().releases()} == {"stand-in"}
    (finding,) = (item for item in check_machine(build_context(app, push=False)) if item.check == "charts")
    assert (finding.level, finding.message) == ("warning", why_embedded(app))


def test_with_all_charts_k3d(repo: Repo) -> None:
    repo.vendor()
    assert repo.app().provider_name == "k3d"
    assert why_embedded(repo.app()) == ""


def test_a_cluster_that_exists_decides(repo: Repo) -> None:
    """Neither vendoring nor a bumped version may move a user from one cluster to another."""
    repo.state("clusters").mkdir(parents=True)
    repo.vendor()
    app = repo.app()
    assert app.provider_name == "kwok"
    say_why_embedded(app)
    assert app.err.getvalue() == ""  # type: ignore[attr-defined]
    repo.state("k3d").mkdir(parents=True)
    (repo.state("k3d") / "kubeconfig").touch()
    (repo.root / LOCK).write_text((repo.root / LOCK).read_text().replace("a" * 64, "null"))
    assert repo.app().provider_name == "k3d"


@pytest.mark.parametrize("environ", [{"DOCKER_HOST": "tcp://127.0.0.1:1"}, {"PATH": "/nonexistent"}])
def test_without_docker_or_k3d_the_reason_is_another(repo: Repo, environ: dict[str, str]) -> None:
    app = repo.app(**environ)
    assert app.provider_name == "kwok"
    assert why_embedded(app) == ""


def test_a_lock_that_cannot_be_read_leaves_the_choice_alone(repo: Repo) -> None:
    (repo.root / LOCK).write_text("charts: 5\n")
    assert repo.app().provider_name == "k3d"


def test_k3d_by_name_names_two_ways_out_once(repo: Repo) -> None:
    app = repo.app(DEVTOOLS_PROVIDER="k3d")
    (problem,) = app.charts.verify(Project(app).stack().releases())
    assert problem.message.startswith("4 charts are not vendored, and only the embedded cluster takes stand-ins")
    assert problem.hint == "invoke charts.vendor, or use the embedded cluster: DEVTOOLS_PROVIDER=kwok"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PATH": "/nonexistent"}, "k3d is not installed"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:1"}, "no Docker engine answers"),
    ],
)
def test_k3d_by_name_is_refused_where_it_cannot_work(repo: Repo, environ: dict[str, str], message: str) -> None:
    app = repo.app(DEVTOOLS_PROVIDER="k3d", **environ)
    assert app.provider_name == "k3d"
    with pytest.raises(EnvironmentFault, match=message):
        app.find_cluster()


def test_docker_is_not_asked_without_k3d(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.vendor()
    monkeypatch.setattr(App, "docker_answers", lambda _: pytest.fail("asked"))
    assert repo.app(PATH="/nonexistent").provider_name == "kwok"
