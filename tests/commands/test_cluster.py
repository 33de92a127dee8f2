"""Verbs that take a cluster away, beside runs that work on it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.clusters.provider import Cluster, ClusterStatus, Progress
from devtools.commands import cluster as verbs
from devtools.commands import runs
from devtools.commands.contracts import contracts
from devtools.commands.review.drift import drift
from devtools.errors import ConfigError, EnvironmentFault, ExitCode
from devtools.kube.client import Kube
from devtools.locks.holder import Holder
from devtools.locks.lease import Lease, find_holder, find_holders
from devtools.locks.run_lock import note_of, run_lock
from devtools.model import Environment, Stack
from devtools.planning.plan import Selection
from devtools.process.runner import Cancel
from devtools.project import Project, Request
from tests.kits.stack import repository
from tests.kits.verbs import call
from tests.kits.waiting import eventually

HOLDER = Holder(what="invoke up", who="anna@laptop", pid=os.getpid(), started="10:00:01 UTC", cluster="kwok c")
VERBS: dict[str, Callable[[App, bool], ExitCode]] = {
    "stopped": lambda app, force: verbs.stop(app, force=force),
    "deleted": lambda app, force: verbs.delete(app, force=force),
    "recreated": lambda app, force: verbs.create(app, "json", recreate=True, force=force),
}


class Guarded:
    """A provider that only remembers what it was asked to take away."""

    def __init__(self, found: Cluster | None = None) -> None:
        self.found, self.done = found, list[str]()

    def ensure(self, _: Progress) -> Cluster:
        self.done.append("ensured")
        return Cluster(name="c", provider="kwok", context="kwok-c", kubeconfig=Path("nowhere"))

    def find(self) -> Cluster:
        if self.found is None:
            raise EnvironmentFault("it does not answer")
        return self.found

    def status(self) -> ClusterStatus:
        return ClusterStatus(name="c", provider="kwok", state="running")

    def stop(self, _: Progress) -> None:
        self.done.append("stopped")

    def delete(self, _: Progress) -> None:
        self.done.append("deleted")


class NoTools:
    def ensure(self, progress: Progress) -> None:
        """It has all."""


@pytest.fixture
def here(tmp_path: Path) -> App:
    environ = {"DEVTOOLS_STATE": str(tmp_path), "DEVTOOLS_CACHE": str(tmp_path), "DEVTOOLS_CLUSTER": "c"}
    made = App(environ={**environ, "DEVTOOLS_PROVIDER": "kwok"}, cwd=tmp_path, out=io.StringIO(), err=io.StringIO())
    (tmp_path / "devtools.yaml").write_text("name: test\n")
    vars(made).update(provider=Guarded(), toolchain=NoTools())
    return made


def _done(here: App) -> list[str]:
    return list(vars(here)["provider"].done)


def test_without_a_cluster_there_is_nothing_to_take_away(tmp_path: Path) -> None:
    root = repository(tmp_path / "own", {"layers/10-a.yaml": "stage: base\nreleases: []\n"})
    state = {"DEVTOOLS_STATE": str(tmp_path / "state"), "DEVTOOLS_CACHE": str(tmp_path / "cache")}
    environ = {**state, "DEVTOOLS_CLUSTER": "gone", "DEVTOOLS_PROVIDER": "kwok"}
    done = call(lambda app: runs.down(app, Options()), "text", environ=environ, cwd=root)
    shown = "error: there is no cluster gone: there is nothing to uninstall\n"
    assert (done.code, done.err) == (ExitCode.ENVIRONMENT, shown), "a hint to make one would help nobody"
    for look in (lambda app: drift(app, "", Options(), fix=False), lambda app: contracts(app, "", Options())):
        done = call(look, "text", environ=environ, cwd=root)
        shown = "error: there is no cluster gone\n  hint: invoke up makes it and installs the releases\n"
        assert (done.code, done.err) == (ExitCode.ENVIRONMENT, shown), "an empty cluster has nothing to look at"
    done = call(verbs.delete, "text", environ=environ, cwd=root)
    assert (done.code, done.err) == (ExitCode.OK, "there is no cluster gone\n")


@pytest.mark.parametrize("verb", VERBS)
def test_a_cluster_is_left_alone_while_a_run_holds_a_lock(here: App, tmp_path: Path, verb: str) -> None:
    expected = rf"under way on cluster c: invoke up by anna@laptop \(pid {os.getpid()}, since 10:00:01 UTC\)"
    with (
        run_lock(tmp_path / "locks", "another stack", HOLDER, wait=False, cancel=Cancel(), say=print),
        pytest.raises(EnvironmentFault, match=expected) as refused,
    ):
        VERBS[verb](here, False)
    assert "--force" in refused.value.hint
    assert _done(here) == []
    VERBS[verb](here, False)
    assert _done(here)[0] == ("deleted" if verb == "recreated" else verb)


@pytest.mark.parametrize("verb", VERBS)
def test_force_names_the_run_and_goes_on(here: App, tmp_path: Path, verb: str) -> None:
    with run_lock(tmp_path / "locks", "s", HOLDER, wait=False, cancel=Cancel(), say=print):
        VERBS[verb](here, True)
    assert "invoke up by anna@laptop" in vars(here)["err"].getvalue()
    assert _done(here)[0] == ("deleted" if verb == "recreated" else verb)


def test_no_run_begins_while_a_cluster_is_deleted(here: App) -> None:
    stack = Stack(name="s", root=here.cwd, environment=Environment(name="local"), layers=())
    request = Request(command="layer 10", stack=stack, selection=Selection(layers=()))

    class Racing(Guarded):
        """A run begins at the worst moment: nothing was under way a moment ago."""

        def find(self) -> Cluster:
            return Cluster(name="c", provider="kwok", context="kwok-c", kubeconfig=Path("nowhere"))

        def delete(self, progress: Progress) -> None:
            expected = rf"cluster c is being stopped or removed: invoke cluster.delete by \S+ \(pid {os.getpid()}, "
            with pytest.raises(EnvironmentFault, match=expected):
                Project(here).run(request)
            super().delete(progress)

    vars(here)["provider"] = Racing()
    assert verbs.delete(here) is ExitCode.OK
    assert _done(here) == ["deleted"]


def test_a_run_on_another_cluster_refuses_nothing(here: App, tmp_path: Path) -> None:
    note = replace(HOLDER, cluster="kwok other")
    with run_lock(tmp_path / "locks", "s", note, wait=False, cancel=Cancel(), say=print):
        verbs.delete(here)
    assert _done(here) == ["deleted"]


@pytest.mark.parametrize("text", ['{"what": "x", "pid": 1, "started": "y", "cluster": "kwok c"}', "[]", "", "{"])
def test_a_note_that_a_killed_run_left_counts_for_nothing(here: App, tmp_path: Path, text: str) -> None:
    note = note_of(tmp_path / "locks", "s")
    note.parent.mkdir()
    note.write_text(text)
    verbs.delete(here)
    assert _done(here) == ["deleted"]


def test_force_without_recreate_is_refused(here: App) -> None:
    with pytest.raises(ConfigError, match="--force requires --recreate"):
        verbs.create(here, "json", force=True)
    assert _done(here) == []


@pytest.mark.cluster
def test_holders_of_leases_are_found(here: App, cluster: Cluster) -> None:
    stack = f"s{uuid4().hex[:8]}"
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    holder = Holder(what="invoke up", who=f"{stack}@host", pid=4711, started="10:00:00 UTC", machine="other")
    dead = Holder(what="invoke up", who=f"{stack}@host", pid=2**22 + 1, started="10:00:00 UTC")
    vars(here)["provider"].found = cluster
    lease = Lease(kube, "default", stack, holder, renewing=kube)
    lease.acquire(wait=False, cancel=Cancel(), say=print)
    try:
        assert find_holder(kube, "default", stack) == holder
        with pytest.raises(EnvironmentFault, match=rf"invoke up by {stack}@host \(pid 4711, since 10:00:00 UTC\)"):
            verbs.delete(here)
        assert _done(here) == []
    finally:
        lease.release()
    late = Lease(kube, "default", stack, holder, renewing=kube, duration=1.0)
    for one in (late, Lease(kube, "default", stack, dead, renewing=kube)):
        one.acquire(wait=True, cancel=Cancel(), say=print)
        eventually(lambda: find_holder(kube, "default", stack) is None)
        assert stack not in " ".join(map(str, find_holders(kube)))
        one.release()
    assert find_holder(kube, "default", stack) is None
