"""A running real Tilt, with layers that only write down that they ran: it needs neither a cluster nor Docker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from devtools.bootstrap.tilt_commands import Tilt
from devtools.bootstrap.tilt_process import Running, TiltProcess
from devtools.process.runner import Cancel, SubprocessRunner
from tests.kits.bootstrap import is_alive
from tests.kits.ports import free_port
from tests.kits.tilt import THREE, TILTFILE, Repo, layer, made
from tests.kits.waiting import eventually
from tests.tilt.real import environment, need_tilt

need_tilt()
# `invoke layer` and `invoke drift` leave a file; a layer goes on while there is a file NAME.hold. What `contracts`
# sees is in the file `now`.
TASKS = """\
import os, time
from pathlib import Path
from invoke import Collection, task
from devtools.tasks import namespace as real

@task
def layer(_, name, env="", context="", kubeconfig="", force=False):
    Path(name + ".runs").open("a").write("run\\n")
    while Path(name + ".hold").exists():
        time.sleep(0.05)

@task
def contracts(_, env="", watch=False):
    file, now = Path(".devtools/run/contracts"), Path("now")
    while True:
        text = f"look {int(time.time())}\\n" + (now.read_text() if now.exists() else "")
        Path("contracts.part").write_text(text)
        os.replace("contracts.part", file)
        time.sleep(0.2)

@task
def drift(_, name, env=""):
    Path(name + ".drift").touch()

namespace = Collection(layer, contracts, drift, real["specs"])
"""
WAIT = 180.0
LIMIT = "/proc/sys/user/max_inotify_instances"


@dataclass(frozen=True, slots=True, kw_only=True)
class TiltResource:
    """One resource of a running Tilt.

    `update` is `ok`, `error`, `pending`, `in_progress`, `none` or `not_applicable`; `runtime` the same without
    `in_progress`; `waiting_on` are the resources it waits for; `error` is why its last build failed.
    """

    name: str
    update: str
    runtime: str
    error: str = ""
    waiting_on: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether its last build or its program failed."""
        return "error" in {self.update, self.runtime}


def _resource(item: dict[str, Any]) -> TiltResource:
    status = item.get("status") or {}
    history = status.get("buildHistory") or [{}]
    waiting = status.get("waiting") or {}
    return TiltResource(
        name=str(item["metadata"]["name"]),
        update=str(status.get("updateStatus") or "none"),
        runtime=str(status.get("runtimeStatus") or "none"),
        error=str(history[0].get("error") or ""),  # the newest build comes first
        waiting_on=tuple(str(on.get("name", "")) for on in waiting.get("on") or ()),
    )


class Live:
    """A Tilt that runs for a repository."""

    def __init__(self, repo: Repo, home: Path) -> None:
        self.repo = repo
        self.root = repo.root
        self.tool = Tilt(
            program=Path(shutil.which("tilt") or ""),
            root=repo.root,
            kubeconfig=home / "kubeconfig",
            context="kwok-demo",
            port=free_port(),
        )
        self.runner = SubprocessRunner(environment(home), Cancel())
        self.server = TiltProcess(self.tool, runner=self.runner, cancel=Cancel(), grace=5.0)
        self.running: Running | None = None

    def start(self) -> str:
        """Start Tilt; why the Tiltfile did not load, if so."""
        self.running = self.server.start(print)
        return self.server.await_load(self.running, print)

    @property
    def now(self) -> Running:
        assert self.running is not None
        return self.running

    def resources(self) -> dict[str, TiltResource]:
        found = self.runner.run(self.now.tool.resources())
        return {item.name: item for item in map(_resource, json.loads(found.stdout)["items"])}

    def trigger(self, resource: str) -> None:
        tool = self.now.tool
        where = ("--host", tool.host, "--port", str(tool.port))
        self.runner.run(replace(tool.resources(), argv=(str(tool.program), "trigger", resource, *where)))

    def runs(self, name: str) -> int:
        """How often a layer was run."""
        path = self.root / f"{name}.runs"
        return path.read_text().count("run") if path.exists() else 0

    def until_runs(self, name: str, count: int) -> None:
        eventually(lambda: self.runs(name) >= count, WAIT, reported=self.server.tail)

    def until_settled(self) -> None:
        """Until every layer has run."""
        layers = ("infra:10-base", "infra:20-operators", "infra:40-data")
        eventually(
            lambda: all(self.resources()[name].update == "ok" for name in layers), WAIT, reported=self.server.tail
        )


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    repo = made(tmp_path / "repo", {**THREE, "tasks.py": TASKS}, TILTFILE, proto=False, provider="kwok")
    found = Live(repo, tmp_path / "home")
    yield found
    found.server.stop(print)
    assert found.server.orphans() == ()


def test_layers_run_in_order_and_what_appears_is_noticed(live: Live) -> None:
    assert live.start() == ""
    live.until_settled()
    assert [live.runs(name) for name in ("10-base", "20-core-operators", "40-data")] == [1, 1, 1]
    live.repo.write("environments/_shared/40-data/data.yaml", "a: 1\n")  # the first overlay, and no environments/ yet
    live.until_runs("40-data", 2)
    assert live.runs("10-base") == 1
    live.repo.write("layers/30-more.yaml", layer("more"))
    live.until_runs("30-more", 1)
    live.repo.write("environments/_shared/40-data/data.yaml", "a: 2\n")
    live.until_runs("40-data", 3)
    live.repo.write("Tiltfile", TILTFILE.rsplit("\n", 2)[0] + "\napp('web')\n")
    error = eventually(lambda: live.server.load_error(live.now), WAIT)
    assert "app('web'): call infra_layers(...) first" in str(error), "what an earlier load left is not used"


def test_drift_and_specs_answer_during_a_run_and_tilt_is_killed(live: Live) -> None:
    hold = live.repo.write("20-core-operators.hold", "")
    assert live.start() == ""
    live.until_runs("20-core-operators", 1)
    live.trigger("infra:10-base:drift")
    eventually((live.root / "10-base.drift").exists, WAIT, reported=live.server.tail)
    live.repo.write("layers/30-more.yaml", layer("more"))
    eventually(lambda: "infra:30-more" in live.resources(), WAIT, reported=live.server.tail)
    assert live.resources()["infra:20-operators"].update == "in_progress"
    assert live.runs("40-data") == 0
    os.kill(live.now.pid, signal.SIGKILL)
    eventually(lambda: not is_alive(live.now.pid), WAIT)
    assert live.server.ours() is None
    (orphan,) = (item for item in live.server.orphans() if "20-core-operators" in item.command)
    assert os.getsid(orphan.pid) == orphan.pid, "Tilt gives every command a session of its own"
    hold.unlink()
    eventually(lambda: live.server.orphans() == (), WAIT)
    assert live.server.ended_unexpectedly()


def test_a_contract_that_breaks_later_turns_its_release_red(live: Live) -> None:
    deployment = "apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: api}\\n"
    app = f"app('api', yaml=blob('{deployment}'), needs=['x/operators'])\n"
    live.repo.write("Tiltfile", TILTFILE.replace("env=cfg", "watch=True, env=cfg") + app)
    live.repo.write(".devtools/run/contracts", "look 1\nready x/operators\n")  # of an earlier Tilt
    live.repo.write("20-core-operators.hold", "")
    release = "infra:20-operators:x.operators"
    assert live.start() == ""
    live.until_runs("20-core-operators", 1)
    found = live.resources()
    assert (found[release].runtime, found["api"].waiting_on) == ("pending", (release,))
    live.repo.write("now", "ready x/operators\n")
    eventually(lambda: live.resources()[release].runtime == "ok", WAIT, reported=live.server.tail)
    found = live.resources()
    assert found["infra:20-operators"].update == "in_progress", "the layer still runs"
    assert release not in found["api"].waiting_on
    (live.root / "20-core-operators.hold").unlink()
    live.until_settled()
    assert not [name for name, item in live.resources().items() if item.failed and name != "api"]
    live.repo.write("now", "broken x/operators: it is gone\nbroken 20-core-operators x/operators: it is gone\n")
    eventually(lambda: live.resources()["infra:20-operators"].failed, WAIT, reported=live.server.tail)
    eventually(lambda: live.resources()[release].failed, WAIT, reported=live.server.tail)
    assert "infra:20-ope" in live.server.log.read_text().partition("broken 20-core-operators x/operators: it is")[0]
    assert not live.resources()["infra:40-data"].failed
    live.repo.write("now", "ready x/operators\n")
    live.trigger("infra:20-operators")
    eventually(lambda: not live.resources()["infra:20-operators"].failed, WAIT, reported=live.server.tail)


def test_an_app_whose_chart_is_corrected_is_deployed(live: Live, tool: Callable[[str], Path]) -> None:
    specs = live.root / ".devtools/layer-specs.json"
    specs.write_text(json.dumps({**json.loads(specs.read_text()), "helm": str(tool("helm"))}))
    live.repo.write("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n")
    template = live.repo.write("web/templates/web.yaml", '{{ fail "no such luck" }}\n')
    live.repo.write("Tiltfile", TILTFILE + "app('web', chart='web')\n")
    assert live.start() == ""
    eventually(lambda: live.resources()["web"].failed, WAIT, reported=live.server.tail)
    assert "app('web') cannot be deployed: " in live.server.log.read_text()
    assert "no such luck" in live.server.log.read_text()
    live.until_settled()
    template.write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n")
    eventually(
        lambda: live.resources()["web"].update == "pending", WAIT, reported=live.server.tail
    )  # there is no cluster


def test_what_tilt_runs_ends_with_it(live: Live) -> None:
    live.repo.write("10-base.hold", "")
    assert live.start() == ""
    live.until_runs("10-base", 1)
    assert live.server.ours() == replace(live.now)
    assert live.server.stop(print)
    assert live.server.ours() is None
    assert live.server.orphans() == ()


def test_a_tiltfile_that_does_not_load_is_reported_at_its_line(live: Live) -> None:
    path = live.repo.write("Tiltfile", "def f():\n    fail('no such luck')\n\nf()\n")
    assert live.start().splitlines() == [
        "Error in fail: no such luck",
        f"  {path}:2:9: in f",
        f"  {path}:4:2: in <toplevel>",
    ]
    live.repo.write("Tiltfile", "app(\n")
    error = eventually(lambda: (found := live.server.load_error(live.now)) and "luck" not in found and found, WAIT)
    assert f"{path}:2:1" in str(error)
    live.repo.write("Tiltfile", TILTFILE)
    eventually(lambda: live.server.load_error(live.now) == "", WAIT)


def test_at_the_inotify_limit_tilt_names_what_is_not_watched(live: Live) -> None:
    """In a user namespace of its own, whose limit nobody else shares."""
    program = live.repo.write("few", f'#!/bin/sh\necho 3 >{LIMIT} && exec tilt "$@"\n')
    program.chmod(0o755)
    unshare = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*unshare, "test", "-w", LIMIT], check=False).returncode != 0:
        pytest.skip("no user namespaces")
    up = live.server.command()
    pid = live.runner.spawn(replace(up, argv=(*unshare, str(program), *up.argv[1:])), live.root / "tilt.log")
    try:
        running = Running(pid=pid, context="", tool=live.tool)
        dead = eventually(lambda: live.server.dead_watches(running), WAIT)
        assert all("inotify" in reason for reason in dead.values())
        assert any(name.startswith("infra:") for name in dead)
    finally:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not is_alive(pid), WAIT)
