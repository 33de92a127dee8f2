"""`invoke contracts` as a user types it, once and with --watch, when a contract breaks and is kept again."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.clusters.provider import Cluster
from devtools.commands import contracts as verb
from devtools.commands.contracts import Health, confirm_broken, state_file
from devtools.errors import Interrupted
from devtools.kube.client import Kube
from devtools.model import ReleaseId
from devtools.process.runner import Cancel
from tests.kits.repository import Repo
from tests.kits.waiting import eventually

BROKEN = Health(release=ReleaseId("x", "web"), layer="10-base", state="broken", reason="Deployment/web is\n gone")
READY = Health(release=ReleaseId("x", "db"), layer="10-base", state="ready")


def test_what_is_broken_at_two_looks_is_broken() -> None:
    assert [item.state for item in confirm_broken([BROKEN, READY], frozenset())] == ["waiting", "ready"]
    assert [item.state for item in confirm_broken([BROKEN, READY], frozenset({BROKEN.release}))] == ["broken", "ready"]


def test_the_file_names_what_is_broken_by_release_and_by_layer() -> None:
    assert state_file([BROKEN, READY], 7).splitlines() == [
        "look 7",
        "broken x/web: Deployment/web is gone",
        "broken 10-base x/web: Deployment/web is gone",
        "ready x/db",
    ]


@pytest.mark.cluster
def test_a_contract_that_breaks_later_is_reported(
    repo: Repo, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{repo.namespace}/conf"
    empty = repo.invoke("contracts")
    assert empty.code == 1
    assert f"waiting {name}  not on the cluster" in empty.out
    assert repo.invoke("up", "--no-test").code == 0
    retained = repo.invoke("contracts", "10", "--output", "json")
    assert retained.code == 0, retained.text
    assert retained.document["releases"] == [{"release": name, "layer": "10-base", "state": "ready", "reason": ""}]
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    path = f"/api/v1/namespaces/{repo.namespace}/configmaps/conf"
    monkeypatch.setattr(verb, "PERIOD", 0.2)
    app = App(environ=repo.environ, cwd=repo.path, out=io.StringIO(), err=(err := io.StringIO()))
    ended: list[BaseException] = []
    thread = Thread(target=lambda: ended.append(end_of(lambda: verb.watch(app, "", Options()))))
    thread.start()
    try:
        observed = repo.path / ".devtools/run/contracts"
        eventually(lambda: f"ready {name}" in lines(observed))
        kube.merge(path, {"data": {"say": "goodbye"}})
        broken = f"broken 10-base {name}: ConfigMap/conf {{.data.say}} = hello: {{.data.say}} is goodbye"
        eventually(lambda: broken in lines(observed), reported=lambda: lines(observed))
        kube.merge(path, {"data": {"say": "hello"}})
        eventually(lambda: f"ready {name}" in lines(observed), reported=lambda: lines(observed))
        repo.edit("layers/10-base.yaml", "hello", "world")
        eventually(lambda: f"waiting {name}" in lines(observed), reported=lambda: lines(observed))
        repo.write("layers/20-x.yaml", "stage: [")
        eventually(lambda: "cannot check contracts: " in err.getvalue())
    finally:
        app.cancel.set("terminated")
        thread.join()
    assert [type(error) for error in ended] == [Interrupted]
    printed = err.getvalue()
    assert f"{name} is broken: ConfigMap/conf {{.data.say}} = hello: {{.data.say}} is goodbye\n" in printed
    assert f"{name} is waiting: inputs changed\n" in printed


def end_of(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - handed to the test
        return error
    raise AssertionError("it ended by itself")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
