"""An API server that goes away in the middle of a run, and comes back: behind a door, killed, and hanging."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import psutil
import pytest

from devtools.clusters.provider import Cluster
from devtools.errors import DevtoolsError
from devtools.kube.client import Kube
from devtools.kube.kubeconfig import read_credentials
from devtools.process.runner import Cancel
from tests.e2e.test_runs import SLOW, _door_context, with_mark
from tests.faults.conftest import NIGHTLY, Own
from tests.kits.repository import CONFIG_MAP, Repo
from tests.kits.waiting import eventually
from tests.kube.test_client import Door

pytestmark = pytest.mark.cluster
nightly = pytest.mark.skipif(not NIGHTLY, reason="nightly: set DEVTOOLS_NIGHTLY=1")
AWAY = 10.0 if NIGHTLY else 3.0  # seconds
LAYER = """\
stage: base
releases:
  - name: bulk
    chart: platform/bulk
    before: [{run: [sh, -c, "until test -e begin; do sleep 0.1; done"], timeout: 10m}]
  - {name: hooked, chart: platform/hooked}
  - name: waiting
    chart: platform/empty
    contract: [{kind: ConfigMap, name: go}]
  - name: after
    chart: platform/empty
    needs: [NS/bulk, NS/hooked]
"""
MAPS = 400  # so many that helm still applies them when the fault comes
BULK = f"""\
{{{{- range until {MAPS} }}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: "bulk-{{{{ . }}}}"}}
{{{{- end }}}}
"""


def _let_go_on(kube: Kube, namespace: str, stop: Callable[[], bool]) -> None:
    """Give everything that waits what it waits for, as long as the run lasts; the server may be away."""
    jobs, maps = f"/apis/batch/v1/namespaces/{namespace}/jobs", f"/api/v1/namespaces/{namespace}/configmaps"
    while not stop():
        with contextlib.suppress(DevtoolsError):
            for job in kube.items(jobs):
                if job["spec"].get("suspend"):
                    kube.merge(f"{jobs}/{job['metadata']['name']}", {"spec": {"suspend": False}})
            kube.apply(f"{maps}/go", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "go"}})
        time.sleep(0.2)


BULK_RECORD = "sh.helm.release.v1.bulk.v1"


def _run_with(repo: Repo, kube: Kube, fault: AbstractContextManager[None]) -> str:
    """What `layer 10` says, with the fault while helm applies, another waits for a hook, and we for a contract."""
    repo.write("layers/10-base.yaml", LAYER.replace("NS", repo.namespace))
    repo.chart("empty", "{{/* nothing */}}")
    repo.chart("hooked", CONFIG_MAP, SLOW)
    repo.chart("bulk", BULK)
    child = repo.start("layer", "10", "--yes")
    namespace = f"/api/v1/namespaces/{repo.namespace}"
    job, record = f"/apis/batch/v1/namespaces/{repo.namespace}/jobs/slow", f"{namespace}/secrets/{BULK_RECORD}"
    eventually(lambda: kube.get(job) or child.poll() is not None)
    repo.write("begin", "")  # so that helm applies when the fault comes
    eventually(lambda: kube.get(record) or child.poll() is not None)
    with fault:
        helper = Thread(target=_let_go_on, args=(kube, repo.namespace, lambda: child.poll() is not None))
        helper.start()
        out, err = child.communicate(timeout=300)
        helper.join()
        records = kube.metadata(f"{namespace}/secrets", labelSelector="owner=helm")
        maps = [item["name"] for item in kube.metadata(f"{namespace}/configmaps")]
    assert child.returncode == 0, out + err
    assert "Traceback" not in err
    states = {(record["labels"]["name"], record["labels"]["status"]) for record in records}
    assert states == {(name, "deployed") for name in ("bulk", "hooked", "waiting", "after")}
    assert len(records) == 4
    assert len([name for name in maps if name.startswith("bulk-")]) == MAPS
    return " ".join(err.split())


def _is_reported(printed: str) -> None:
    for words in (
        "does not answer (",
        "trying again for 30 s",
        "answers again after ",
        "the API server was unreachable for a while: ",
        "it is back: trying again",
    ):
        assert words in printed, printed


@contextlib.contextmanager
def _shut(door: Door) -> Iterator[None]:
    door.shut()
    time.sleep(AWAY)
    door.open = True
    yield


def test_a_run_waits_for_a_server_that_comes_back(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    port = urlsplit(read_credentials(cluster.kubeconfig, cluster.context).server).port
    assert port
    door = Door(port)
    repo.env = _door_context(repo, cluster, door, tmp_path)
    _is_reported(_run_with(repo, Kube(cluster.kubeconfig, cluster.context, Cancel()), _shut(door)))
    door.close()


MANY = 30
PLAIN = "  - {name: many-%d, chart: platform/plain}\n"


def _many(repo: Repo, cluster: Cluster, tmp_path: Path) -> Door:
    """A layer of many releases that need nothing, and a door before the API server."""
    port = urlsplit(read_credentials(cluster.kubeconfig, cluster.context).server).port
    assert port
    door = Door(port)
    repo.env = {**_door_context(repo, cluster, door, tmp_path), "DEVTOOLS_PATIENCE": "3"}
    repo.write("layers/10-base.yaml", "stage: base\nreleases:\n" + "".join(PLAIN % number for number in range(MANY)))
    repo.chart("plain", CONFIG_MAP.replace("{{ .Values.say | quote }}", "hello"))
    return door


def _begun(repo: Repo, kube: Kube) -> int:
    records = kube.metadata(f"/api/v1/namespaces/{repo.namespace}/secrets", labelSelector="owner=helm")
    return len({record["labels"]["name"] for record in records})


@pytest.mark.parametrize("fault", ["is gone", "hangs"])
def test_a_server_that_is_gone_ends_all_that_waits_for_its_turn(
    repo: Repo, cluster: Cluster, tmp_path: Path, fault: str
) -> None:
    door, kube = _many(repo, cluster, tmp_path), Kube(cluster.kubeconfig, cluster.context, Cancel())
    child = repo.start("layer", "10", "--yes", "--output", "json")
    eventually(lambda: _begun(repo, kube) > 2 or child.poll() is not None)
    if fault == "hangs":
        door.hangs = True
    else:
        door.shut()
    gone = time.monotonic()
    out, err = child.communicate(timeout=300)
    print(f"ended after {time.monotonic() - gone:.1f} s")  # noqa: T201 - pytest shows it with -rP
    door.hangs = False
    door.close()
    document = json.loads(out)
    assert child.returncode == 4, out + err
    assert "does not answer" in document["reason"]
    if fault == "is gone":  # nothing is said of a silent one for ten seconds
        assert "does not answer (" in " ".join(err.split())
    failed = [item for item in document["releases"] if item["outcome"] == "failed"]
    assert len(failed) <= (os.cpu_count() or 1) + 1, "who waits for a turn does not find out by itself"
    assert _begun(repo, kube) < MANY
    assert {item["outcome"] for item in document["releases"]} <= {"installed", "failed", "interrupted", "skipped"}


PATIENT = """
from devtools.kube.client import READ_FOR, Kube
Kube.__init__.__defaults__ = tuple(600.0 if value == READ_FOR else value for value in Kube.__init__.__defaults__)
"""


def test_sigterm_ends_a_run_whose_server_hangs(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    door, kube = _many(repo, cluster, tmp_path), Kube(cluster.kubeconfig, cluster.context, Cancel())
    repo.env["DEVTOOLS_PATIENCE"] = "600"
    repo.write("patient/sitecustomize.py", PATIENT)
    repo.env["PYTHONPATH"] = str(repo.path / "patient")
    repo.env["DEVTOOLS_MARK"] = repo.namespace
    child = repo.start("layer", "10", "--yes")
    eventually(lambda: _begun(repo, kube) > 2 or child.poll() is not None)
    door.hangs = True
    time.sleep(1.0)
    child.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    out, err = child.communicate(timeout=300)
    print(f"ended after {time.monotonic() - asked:.1f} s")  # noqa: T201 - pytest shows it with -rP
    door.hangs = False
    door.close()
    assert child.returncode == 130, out + err
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}") == []


def _processes(own: Own) -> dict[str, psutil.Process]:
    """The control plane's processes, of this cluster alone."""
    state = own.repo.environ["DEVTOOLS_STATE"]
    every = psutil.process_iter(["name", "cmdline"])
    mine = [process for process in every if any(state in word for word in process.info["cmdline"] or ())]
    return {str(process.info["name"]): process for process in mine}


@contextlib.contextmanager
def _killed(own: Own, log: Path) -> Iterator[None]:
    """Gone for `AWAY` seconds, then started again; so is whatever does not survive that, as an init system would."""
    known = {name: (item, item.cmdline(), item.environ(), item.cwd()) for name, item in _processes(own).items()}
    known["kube-apiserver"][0].send_signal(signal.SIGKILL)
    time.sleep(AWAY)
    with log.open("wb") as sink, contextlib.ExitStack() as stack:

        def start(argv: list[str], environ: dict[str, str], cwd: str) -> None:  # there is etcd's socket
            child = stack.enter_context(subprocess.Popen(argv, env=environ, cwd=cwd, stdout=sink, stderr=sink))
            stack.callback(child.kill)

        start(*known["kube-apiserver"][1:])
        eventually(lambda: _answers(own))
        time.sleep(1)  # who lost a lease says so now
        for name, (item, argv, environ, cwd) in known.items():
            if name != "kube-apiserver" and (not item.is_running() or item.status() == psutil.STATUS_ZOMBIE):
                start(argv, environ, cwd)
        yield


def _answers(own: Own) -> bool:
    try:
        return bool(Kube(own.cluster.kubeconfig, own.cluster.context, Cancel(), retry_for=0.0).version())
    except DevtoolsError:
        return False


@contextlib.contextmanager
def _stopped(server: psutil.Process) -> Iterator[None]:
    server.suspend()
    time.sleep(AWAY)
    server.resume()
    yield


@nightly
def test_a_server_that_is_killed_and_started_again(own: Own, tmp_path: Path) -> None:
    _is_reported(_run_with(own.repo, own.kube, _killed(own, tmp_path / "log")))


@nightly
def test_a_server_that_hangs_for_a_while(own: Own) -> None:
    _run_with(own.repo, own.kube, _stopped(_processes(own)["kube-apiserver"]))


@nightly
def test_a_server_that_is_gone_ends_helm_waiting_for_a_hook(own: Own) -> None:
    repo = own.repo
    repo.edit("layers/_defaults.yaml", "300s", "600s")
    repo.chart("conf", CONFIG_MAP, SLOW)
    child = repo.start("layer", "10", env={"DEVTOOLS_PATIENCE": "3", "DEVTOOLS_MARK": repo.namespace})
    job = f"/apis/batch/v1/namespaces/{repo.namespace}/jobs/slow"
    eventually(lambda: own.kube.get(job) or child.poll() is not None)
    _processes(own)["kube-apiserver"].kill()
    out, err = child.communicate(timeout=300)  # and not when helm's ten minutes are over
    assert child.returncode == 4, out + err
    assert "does not answer" in " ".join(out.split())
    assert "(helm waited for a hook)" in " ".join(out.split())
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}") == []


@nightly
def test_a_server_without_its_etcd_ends_a_run_and_is_named(own: Own) -> None:
    repo = own.repo
    repo.write("layers/10-base.yaml", "stage: base\nreleases:\n" + "".join(PLAIN % number for number in range(MANY)))
    repo.chart("plain", CONFIG_MAP.replace("{{ .Values.say | quote }}", "hello"))
    child = repo.start("up", "--output", "json", env={"DEVTOOLS_PATIENCE": "20", "DEVTOOLS_MARK": repo.namespace})
    eventually(lambda: _begun(repo, own.kube) > 2 or child.poll() is not None)
    _processes(own)["etcd"].kill()
    gone = time.monotonic()
    out, err = child.communicate(timeout=300)
    print(f"ended after {time.monotonic() - gone:.1f} s")  # noqa: T201 - pytest shows it with -rP
    document = json.loads(out)
    assert child.returncode == 4, out + err
    assert "does not answer" in document["reason"]
    assert "does not answer (" in " ".join(err.split())
    failed = [item for item in document["releases"] if item["outcome"] == "failed"]
    assert len(failed) <= (os.cpu_count() or 1) + 1
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}") == []
