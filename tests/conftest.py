"""One embedded cluster per test run, shared by its workers; tests keep to namespaces of their own.

With DEVTOOLS_TEST_KEEP=NAME the cluster is called so and stays, so that the next run need not make one.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from devtools.app.environment import App
from devtools.clusters.provider import Cluster
from devtools.errors import DevtoolsError
from tests.kits.dockerd import engine
from tests.kits.repository import Repo
from tests.kits.run import Bench, clear

ROOT = Path(__file__).parent.parent
RUN = "DEVTOOLS_TEST_RUN"  # names this test run's cluster; workers inherit it
KEEP = "DEVTOOLS_TEST_KEEP"
STAYS = bool(os.environ.get(KEEP))  # a cluster that stays must not fill with the namespaces of many runs
# A loaded machine generates data slowly: that is no fault of the code under test.
SLOW = [HealthCheck.too_slow]
settings.register_profile("usual", deadline=None, suppress_health_check=SLOW)
settings.register_profile("nightly", deadline=None, suppress_health_check=SLOW, max_examples=10_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))  # before tests are imported: theirs rest on it
# What such tests use takes seconds to start, or answers as slowly as the real thing.
SERVERS = {"cluster", "docker_host", "kinds_server", "machine", "own", "slice_of_local"}

TOGETHER = {
    "tests/platform/test_predictions.py": "tests/platform/test_resources.py",
    "tests/platform/test_smoke_services.py": "tests/platform/test_smoke_data.py",
    "tests/platform/test_stages.py": "tests/platform/test_smoke_data.py",
}


def pytest_configure(config: pytest.Config) -> None:
    """Name the run before workers start, so that all share one cluster; hear signals, also under nohup."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    if not hasattr(config, "workerinput"):
        os.environ[RUN] = os.environ.get(KEEP) or f"t{uuid4().hex[:8]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with most tests on servers begin first: a run of several workers lasts as long as its last file."""
    weights = Counter(item.path for item in items if SERVERS.intersection(getattr(item, "fixturenames", ())))
    items.sort(key=lambda item: -weights[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to workers as a whole, those that share a server of their own to the same one."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return TOGETHER.get(file, file)

    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and not in what was collected, which stays: it was a tenth of the work of pure tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The controller removes the clusters when every worker is done, those of interrupted ones too."""
    if hasattr(session.config, "workerinput") or os.environ.get(KEEP):
        return
    for state in sorted(_state().parent.glob(f"{_state().name}*")):
        app = _app({"DEVTOOLS_CLUSTER": state.name.removeprefix("devtools-"), "DEVTOOLS_STATE": str(state)})
        app.provider.delete(print)
        shutil.rmtree(state, ignore_errors=True)


def _state() -> Path:
    return Path("/tmp") / f"devtools-{os.environ[RUN]}"


def _app(more: Mapping[str, str] | None = None) -> App:
    """The app as this repository's user has it, with a cluster and state of its own."""
    import sys

    environ = {
        **os.environ,
        "DEVTOOLS_CLUSTER": os.environ[RUN],
        "DEVTOOLS_PROVIDER": "kwok",
        "DEVTOOLS_STATE": str(_state()),
        **(more or {}),
    }
    return App(environ=environ, cwd=ROOT, out=sys.stdout, err=sys.stderr)


@pytest.fixture(scope="session")
def app() -> App:
    """This repository's app on the run's own cluster."""
    return _app()


@pytest.fixture(scope="session")
def tool(app: App) -> Callable[[str], Path]:
    """Finds a pinned tool; they must be there: scripts/test gets them."""
    return app.toolchain.path


@pytest.fixture(scope="session")
def cluster(app: App) -> Cluster:
    """The embedded cluster of this test run."""
    try:
        return app.provider.ensure(print)
    except DevtoolsError as error:
        pytest.fail(f"{error.message} ({error.hint})")


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """DOCKER_HOST of a Docker engine of this session's own; its tests are skipped, and counted, where none can run."""
    with TemporaryDirectory(prefix="dt-engine-") as home, engine(Path(home)) as host:
        yield host


@pytest.fixture(autouse=True)
def _real_node(request: pytest.FixtureRequest) -> None:
    """Tests of the real node are skipped, and counted, only where it cannot be had."""
    if request.node.get_closest_marker("real"):
        found: Cluster = request.getfixturevalue("cluster")
        if not found.real_node:
            if os.environ.get("CI") and os.geteuid() == 0:
                why = request.getfixturevalue("app").provider.status().notes[-1]
                pytest.fail(f"there is no real node, though root could have one: {why}")
            pytest.skip("no real node: needs root on Linux with containerd")


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """A name nobody else uses."""
    start = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:24].strip("-")
    return f"{start}-{uuid4().hex[:6]}"


@pytest.fixture
def bench(cluster: Cluster, tool: Callable[[str], Path], namespace: str, tmp_path: Path) -> Iterator[Bench]:
    """A namespace on the cluster, cleared afterwards."""
    made = Bench(cluster=cluster, helm=tool("helm"), namespace=namespace, root=tmp_path)
    yield made
    clear(made.kube, namespace, whole=STAYS)


@pytest.fixture
def offline(tmp_path: Path, app: App, namespace: str) -> Repo:
    """A user's repository; whether there is a cluster does not matter."""
    return Repo(path=tmp_path / "repo", namespace=namespace, app=app).make()


@pytest.fixture
def repo(offline: Repo, cluster: Cluster, tool: Callable[[str], Path]) -> Iterator[Repo]:
    """The same and the test run's cluster; all that it makes is in one namespace, cleared afterwards."""
    yield offline
    made = Bench(cluster=cluster, helm=tool("helm"), namespace=offline.namespace, root=offline.path)
    clear(made.kube, offline.namespace, whole=STAYS)
