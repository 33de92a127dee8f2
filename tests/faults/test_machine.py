"""What the machine and the cluster may do to a run: disks, clocks, floods, terminals, contexts, namespaces."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.app.environment import App
from devtools.app.exit_codes import run
from devtools.app.options import Options
from devtools.clusters.provider import Cluster
from devtools.commands import layers, runs
from devtools.commands.review import drift
from devtools.errors import ExitCode
from devtools.events import Bus, Event, StepFinished, StepWaiting
from devtools.kube.client import Kube
from devtools.kube.wire import _distrust
from devtools.model import Hook
from devtools.process.runner import GRACE, Cancel
from devtools.testing import RecordingSink
from tests.e2e.test_runs import SLOW, with_mark
from tests.e2e.test_surroundings import _begun, _stubborn
from tests.kits.repository import CONFIG_MAP, Repo
from tests.kits.run import HERE, Bench, config_map, plan, step
from tests.kits.waiting import eventually

INVOKE = str(Path(sys.executable).parent / "invoke")
cluster_ = pytest.mark.cluster


# --- disks


def _can_mount() -> bool:
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@cluster_
def test_a_disk_that_fills_during_a_run_costs_only_logs(repo: Repo) -> None:
    if not _can_mount():
        pytest.skip("no small disk: needs root and mount namespaces")
    (repo.path / ".devtools").mkdir()
    hook = "    before:\n      - {run: [seq, '100000', '120000']}\n    values:"
    repo.edit("layers/10-base.yaml", "    values:", hook)
    line = (
        f"mount -t tmpfs -o size=64k none .devtools && {INVOKE} layer 10 --output json && df --output=avail .devtools"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", line],
        cwd=repo.path,
        env=repo.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document, end = json.JSONDecoder().raw_decode(done.stdout)
    assert [item["outcome"] for item in document["releases"]] == ["installed"]
    assert done.stdout[end:].split() == ["Avail", "0"]
    assert done.stderr.count("are incomplete: No space left on device; the run continues") == 1
    assert "Traceback" not in done.stderr


# --- floods

FLOOD = """\
import sys
block = b"".join(b"%06d caf\\xe9 \\xff\\xfe %s\\n" % (number, b"x" * 1000) for number in range(1_000))
for _ in range(100_000_000 // len(block) + 1):
    sys.stdout.buffer.write(block)
print("the end", file=sys.stderr)
"""


@cluster_
def test_a_hundred_megabytes_of_binary_need_little_memory(repo: Repo) -> None:
    repo.write("flood.py", FLOOD)
    hook = f"    before:\n      - {{run: [{sys.executable}, flood.py], timeout: 15m}}\n    values:"
    repo.edit("layers/10-base.yaml", "    values:", hook)
    child = repo.start("layer", "10", "--output", "json")
    peak = 0
    watcher = threading.Thread(target=child.wait)
    watcher.start()
    while watcher.is_alive():
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"/proc/{child.pid}/status").read_text()
            peak = max(peak, int(status.partition("VmHWM:")[2].split()[0]))
        watcher.join(0.05)
    out, err = child.communicate()
    assert child.returncode == 0, out + err
    assert "Traceback" not in err
    assert peak < 150 * 1024, f"{peak // 1024} MiB"
    document = json.loads(out)
    log = Path(document["directory"]) / document["releases"][0]["log"]
    assert log.stat().st_size < 12_000_000
    assert "caf\\xe9 \\xff\\xfe" in log.read_text("utf-8")
    assert "lines is omitted" in log.read_text("utf-8")


@cluster_
def test_the_last_lines_of_a_flood_are_those_shown(bench: Bench) -> None:
    hook = Hook(argv=("sh", "-c", "seq 30000; seq 20000 >&2; echo the end >&2; exit 3"), timeout=300.0, where=HERE)
    ran = bench.run(plan(step(bench.release(bench.chart("conf", config_map("conf")), before=(hook,)))))
    end = ran.one(StepFinished)
    assert (end.reason, end.details[-1]) == ("hook sh ended with 3", "the end")


# --- signals


@cluster_
def test_a_terminal_that_is_closed_ends_the_run_in_order(repo: Repo, cluster: Cluster) -> None:
    repo.chart("conf", CONFIG_MAP, SLOW)
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [INVOKE, "layer", "10"],
        cwd=repo.path,
        env={**repo.environ, "TERM": "xterm", "DEVTOOLS_MARK": repo.namespace},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it takes no lock
    )
    os.close(theirs)
    closed = threading.Event()
    reader = threading.Thread(target=_drain, args=(ours, closed))
    reader.start()
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    eventually(lambda: kube.get(f"/apis/batch/v1/namespaces/{repo.namespace}/jobs/slow"))
    closed.set()
    reader.join()
    os.close(ours)
    gone = time.monotonic()
    assert child.wait(120) == 130
    was_killed = time.monotonic() - gone >= sum(GRACE)  # helm did not come to an end in time
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}") == []
    records = kube.metadata(f"/api/v1/namespaces/{repo.namespace}/secrets", labelSelector="owner=helm")
    assert was_killed or not [item for item in records if item["labels"]["status"].startswith("pending")]
    summary = json.loads((repo.path / ".devtools/runs/latest/summary.json").read_text())
    assert (summary["result"], summary["reason"]) == ("interrupted", "the terminal went away (SIGHUP)")


def _drain(descriptor: int, stop: threading.Event) -> None:
    """Read what is shown, as a terminal does, for as long as it is open."""
    while not stop.is_set():
        if select.select([descriptor], [], [], 0.05)[0]:
            with contextlib.suppress(OSError):
                os.read(descriptor, 65536)


@cluster_
def test_tilts_thirty_seconds_are_enough_whatever_runs(repo: Repo, cluster: Cluster) -> None:
    _stubborn(repo)
    child = repo.start("layer", "10", env={"DEVTOOLS_MARK": repo.namespace})
    _begun(repo)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 130, out + err
    assert (repo.path / "again").exists(), "asked twice, then killed"
    assert sum(GRACE) < 10
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}") == []


# --- clocks


@cluster_
@pytest.mark.parametrize("skew", [-3 * 365 * 86400.0, 3 * 365 * 86400.0, "jumps"], ids=["slow", "fast", "jumps"])
def test_a_clock_that_is_wrong_or_jumps_changes_nothing(repo: Repo, skew: float | str) -> None:
    ticks = iter(range(10**9))

    def clock() -> float:
        return time.time() + (skew if isinstance(skew, float) else -3600.0 * next(ticks))

    for outcome in ("installed", "unchanged"):
        out, err = io.StringIO(), io.StringIO()
        app = App(environ=repo.environ, cwd=repo.path, out=out, err=err, clock=clock)
        assert run(app, lambda app: runs.layer(app, "10", Options(output="json"))) is ExitCode.OK, err.getvalue()
        document = json.loads(out.getvalue())
        assert [item["outcome"] for item in document["releases"]] == [outcome]
        assert 0 <= document["seconds"] < 1800
        assert all(0 <= item["seconds"] < 1800 for item in document["releases"])
        directories = [path.resolve() for path in (repo.path / ".devtools/runs").iterdir()]
        assert Path(document["directory"]).resolve() in directories, "the newest run is never pruned"
    out = io.StringIO()
    app = App(environ=repo.environ, cwd=repo.path, out=out, err=io.StringIO(), clock=clock)
    run(app, lambda app: runs.plan(app, "10", Options(output="json")))
    assert json.loads(out.getvalue())["seconds"] >= 0


def test_a_certificate_not_valid_now_points_at_the_clock() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = 9, "certificate is not yet valid"
    assert "certificate is not yet valid; is this machine's clock right?" in _distrust(error)
    error.verify_code, error.verify_message = 18, "self-signed certificate"
    assert _distrust(error).endswith("self-signed certificate")


# --- contexts


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port, and who came to it."""
    server, came = socket.create_server(("127.0.0.1", 0)), list[object]()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, who = server.accept()
                came.append(who)
                connection.close()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1], came
    server.close()


VERBS: dict[str, Callable[[App], ExitCode]] = {
    "up": lambda app: runs.up(app, Options(yes=True)),
    "layer": lambda app: runs.layer(app, "10", Options(yes=True)),
    "down": lambda app: runs.down(app, Options(yes=True)),
    "plan": lambda app: runs.plan(app, "", Options(yes=True)),
    "layers": lambda app: layers.layers(app, "", Options(yes=True)),
    "drift": lambda app: drift.drift(app, "", Options(yes=True), fix=True),
}


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_sent_to_a_context_that_is_not_allowed(
    offline: Repo, listener: tuple[int, list[object]], tmp_path: Path, verb: str
) -> None:
    port, came = listener
    parts: dict[str, Any] = {
        "clusters": [{"name": "prod", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "prod", "user": {"token": "t"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "prod"}}],
    }
    document = {"apiVersion": "v1", "kind": "Config", "current-context": "prod", **parts}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    environ = {
        **offline.environ,
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "DEVTOOLS_PROVIDER": "context",
        "DEVTOOLS_STATE": str(tmp_path / "state"),
        "DEVTOOLS_PATIENCE": "0",
    }

    def typed(settings: str) -> tuple[ExitCode, str]:
        offline.write("devtools.yaml", f"name: {offline.namespace}\n{settings}")
        err = io.StringIO()
        return run(App(environ=environ, cwd=offline.path, out=io.StringIO(), err=err), VERBS[verb]), err.getvalue()

    use = "cluster: {provider: context, context: prod}\n"
    for settings in ("", use, use + "allowed_contexts: [other]\n"):
        code, printed = typed(settings)
        assert (code, came) == (ExitCode.CONFIG, []), printed
    typed(use + "allowed_contexts: [prod]\n")
    eventually(lambda: came)  # the listener does count


# --- namespaces and kinds

FINALIZER = {"finalizers": ["example.com/hold"]}


def _leave(bench: Bench) -> str:
    """A namespace that is being deleted, and held by a finalizer; the path of what holds it."""
    kube, path = bench.kube, f"/api/v1/namespaces/{bench.namespace}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": bench.namespace}})
    kube.create(f"{path}/configmaps", {"metadata": {"name": "held", **FINALIZER}})
    kube.delete(path)
    eventually(lambda: (kube.get(path) or {})["status"]["phase"] == "Terminating")
    return f"{path}/configmaps/held"


@cluster_
def test_a_namespace_on_its_way_out_is_waited_for(bench: Bench) -> None:
    held = _leave(bench)
    waits = f"namespace {bench.namespace} to be gone: it is being deleted"

    class Releasing(RecordingSink):
        """Lets go of it when somebody waits for that."""

        let_go = False

        def emit(self, event: Event, at: float) -> None:
            super().emit(event, at)
            if isinstance(event, StepWaiting) and event.what == waits and not self.let_go:
                self.let_go = True
                bench.kube.merge(held, {"metadata": {"finalizers": None}})

    sink = Releasing()
    ran = bench.run(plan(step(bench.release(bench.chart("conf", config_map("conf"))))), bus=Bus((sink,), time.time))
    assert ran.code is ExitCode.OK, sink.events
    assert waits in [event.what for event in sink.events if isinstance(event, StepWaiting)]


@cluster_
def test_a_namespace_stuck_in_deletion_is_named_with_its_cause(bench: Bench) -> None:
    held = _leave(bench)
    eventually(lambda: "example.com/hold" in str(bench.kube.get(f"/api/v1/namespaces/{bench.namespace}")))
    ran = bench.run(plan(step(bench.release(bench.chart("conf", config_map("conf")), timeout=1.0))))
    bench.kube.merge(held, {"metadata": {"finalizers": None}})
    end = ran.one(StepFinished)
    assert (ran.code, end.reason) == (
        ExitCode.TIMEOUT,
        f"namespace {bench.namespace} is still being deleted",
    )
    assert end.hint == f"kubectl describe namespace {bench.namespace}"
    assert "example.com/hold" in " ".join(end.details)


@cluster_
def test_an_object_of_an_unknown_kind_is_named_with_what_to_do(bench: Bench) -> None:
    widget = {"apiVersion": "widgets.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    ran = bench.run(plan(step(bench.release(bench.chart("conf", widget)))))
    end = ran.one(StepFinished)
    assert ran.code is ExitCode.FAILED
    assert end.reason == "the cluster has no kind Widget of widgets.example.com/v1: its CRD is not installed"
    assert end.hint == "add the release that installs the CRD to `needs`"


@cluster_
def test_a_chart_for_another_kubernetes_gets_no_advice_on_crds(bench: Bench) -> None:
    job = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "j"}}
    end = bench.run(plan(step(bench.release(bench.chart("conf", job))))).one(StepFinished)
    printed = "the cluster has no kind CronJob of batch/v1beta1: its Kubernetes does not serve that version of its API"
    assert end.reason == printed
    assert end.hint == "the chart is for another Kubernetes: `kubectl api-versions` shows what this one serves"
