"""Helm that is started before its turn: real helm, which waits for its values and does nothing until it has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from devtools.engine import prestart as module
from devtools.engine.prestart import Prestart
from devtools.errors import ExitCode
from devtools.events import Outcome, StepFinished, StepOutput
from devtools.model import Contract, Release, ReleaseId, Step
from devtools.process.runner import Cancel, Command, OnOutput, Result
from devtools.releases.helm_process import HelmProcess
from devtools.run_context.slots import Slots
from tests.kits.run import HERE, Bench, Recorder, config_map, deployment, plan, step
from tests.kits.waiting import eventually

MARK = "DEVTOOLS_AHEAD"


class Timed(Recorder):
    """Makes `go` when the helm of one release begins, and can kill it before."""

    def __init__(self, bench: Bench, name: str, *, kills: bool = False) -> None:
        super().__init__(bench.cancel)
        self._bench = bench
        self._name = name
        self._kills = kills

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        first, self._name = command.argv[2] == self._name, "" if command.argv[2] == self._name else self._name
        if first and not self._kills:
            self._go()
        if first and self._kills:
            with ThreadPoolExecutor(1) as pool:
                before = self.groups()
                ended = pool.submit(super().run, command, on_output)
                while not (new := set(self.groups() - before)):
                    time.sleep(0.001)
                os.killpg(new.pop(), signal.SIGKILL)
                result = ended.result()
                self._go()
                return result
        return super().run(command, on_output)

    def _go(self) -> None:
        path = f"/api/v1/namespaces/{self._bench.namespace}/configmaps"
        self._bench.kube.create(path, {"metadata": {"name": "go"}})


def _slow(bench: Bench) -> Release:
    """A release that is ready once there is a ConfigMap `go`."""
    contract = Contract(where=HERE, kind="ConfigMap", name="go")
    return bench.release(bench.chart("slow", deployment("slow")), contract=(contract,))


@pytest.mark.cluster
def test_helm_is_started_while_what_it_needs_becomes_ready(bench: Bench) -> None:
    slow = _slow(bench)
    next_, last = (bench.release(bench.chart(name, config_map(name, a="b"))) for name in ("next", "last"))
    runner = Timed(bench, "next")
    ran = bench.run(plan(step(slow), step(next_, slow), step(last, next_)), runner=runner)
    assert [(event.release, event.outcome) for event in ran.all(StepFinished)] == [
        (str(item.id), Outcome.INSTALLED) for item in (slow, next_, last)
    ]
    assert runner.verbs() == ["helm upgrade"] * 3


@pytest.mark.cluster
def test_a_prestarted_helm_that_is_not_needed_does_nothing(bench: Bench) -> None:
    broken = deployment("broken")
    broken["spec"]["paused"] = True  # it never becomes ready, and that is seen at once
    first = bench.release(bench.chart("broken", broken))
    second = bench.release(bench.chart("second", config_map("second")))
    ran = bench.run(plan(step(first), step(second, first)))
    assert ran.code is ExitCode.FAILED
    assert ran.runner.verbs() == ["helm upgrade"] * 2
    assert ran.one(StepFinished, release=str(second.id)).outcome is Outcome.SKIPPED
    assert [event for event in ran.all(StepOutput) if event.release == str(second.id)] == []
    assert second.id not in ran.after.releases
    assert bench.kube.get(f"/api/v1/namespaces/{bench.namespace}/configmaps/second") is None


@pytest.mark.cluster
def test_a_helm_that_died_while_it_waited_is_replaced(bench: Bench) -> None:
    slow = _slow(bench)
    second = bench.release(bench.chart("second", config_map("second")))
    runner = Timed(bench, "second", kills=True)
    ran = bench.run(plan(step(slow), step(second, slow)), runner=runner)
    assert ran.code is ExitCode.OK
    assert runner.verbs() == ["helm upgrade"] * 3
    assert ran.after.releases[second.id].status == "deployed"


@pytest.mark.cluster
def test_values_larger_than_a_pipe(bench: Bench) -> None:
    conf = bench.release(bench.chart("conf", config_map("conf", size="{{ len .Values.say }}")))
    ran = bench.run(plan(step(conf)), {"conf": {"say": "x" * 300_000}})
    assert ran.code is ExitCode.OK
    found = bench.kube.get(f"/api/v1/namespaces/{bench.namespace}/configmaps/conf") or {}
    assert found["data"] == {"size": "300000"}


DIES = """\
import signal, sys, time
from pathlib import Path
from devtools.process.runner import Cancel, SubprocessRunner
from devtools.releases.helm_process import HelmProcess
from devtools.model import ReleaseId
from devtools.helm.commands import Helm
program, kubeconfig, context, namespace, chart = sys.argv[1:]
helm = Helm(program=Path(program), kubeconfig=Path(kubeconfig), context=context)
command = helm.upgrade(ReleaseId(namespace, "conf"), Path(chart), timeout=300, history=3, labels={})
runner = SubprocessRunner({"DEVTOOLS_AHEAD": namespace}, Cancel())
launch = HelmProcess(command, lambda given, _: runner.run(given), reads=True)
print("launched", flush=True)
launch.result.result()
"""


def _alive(namespace: str) -> list[psutil.Process]:
    """The helms that were started under a mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == namespace:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.cluster
def test_helm_without_its_values_does_nothing_when_we_are_killed(bench: Bench) -> None:
    """It would install with no values at all if it took the end of the file for them."""
    chart = bench.chart("conf", config_map("conf"))
    words = (bench.helm, bench.cluster.kubeconfig, bench.cluster.context, bench.namespace, chart.path)
    child = subprocess.Popen(
        (sys.executable, "-c", DIES, *map(str, words)), stdout=subprocess.PIPE, cwd=Path(module.__file__).parents[2]
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"launched\n"
    left = eventually(lambda: _alive(bench.namespace))
    time.sleep(0.5)  # so that it waits for its values
    child.kill()
    child.communicate()
    assert psutil.wait_procs(left, timeout=120)[1] == []
    assert bench.kube.get(f"/api/v1/namespaces/{bench.namespace}/configmaps/conf") is None
    assert not bench.kube.metadata(f"/api/v1/namespaces/{bench.namespace}/secrets", labelSelector="owner=helm")


class Played:
    """Launches processes that read their values: `cat`, or one that does not end by itself."""

    def __init__(self, *argv: str) -> None:
        self._argv = argv or ("cat",)
        self.runner = Recorder(Cancel())
        self.launched: list[str] = []

    def __call__(self, item: Step) -> HelmProcess:
        self.launched.append(item.id.name)
        return HelmProcess(Command(argv=self._argv), lambda provided, _: self.runner.run(provided), reads=True)


def _steps(bench_root: Path, *edges: tuple[str, str], **more: str) -> dict[ReleaseId, Step]:
    bench = Bench(cluster=None, helm=Path(), namespace="ns", root=bench_root)  # type: ignore[arg-type]
    names = dict.fromkeys(name for edge in edges for name in edge if name)
    made = {name: bench.release(bench.chart("c"), name=name) for name in names}
    needs = {name: [made[need] for left, need in edges if left == name and need] for name in names}
    steps = (step(made[name], *needs[name], recover=more.get(name, "")) for name in names)
    return {item.id: item for item in steps}


def _id(name: str) -> ReleaseId:
    return ReleaseId("ns", name)


def test_a_step_is_prestarted_once_all_its_needs_have_begun(tmp_path: Path) -> None:
    steps = _steps(
        tmp_path, ("a", ""), ("b", ""), ("both", "a"), ("both", "b"), ("one", "a"), ("stuck", "a"), stuck="failed"
    )
    play = Played()
    prestart = Prestart(steps, Slots(1), play, grace=600.0)
    assert prestart.claim(steps[_id("a")]) is None
    prestart.start_dependents(_id("a"))
    assert play.launched == ["one"]
    prestart.claim(steps[_id("b")])
    prestart.start_dependents(_id("b"))
    assert play.launched == ["one", "both"]
    launch = prestart.claim(steps[_id("both")])
    assert launch is not None
    launch.give({"x": ["y"]})
    assert launch.result.result().stdout == '{"x": ["y"]}'
    prestart.close()
    assert not play.runner.groups()


def test_nothing_is_prepared_while_releases_need_the_slots(tmp_path: Path) -> None:
    steps, slots, play = _steps(tmp_path, ("b", "a")), Slots(1), Played()
    prestart = Prestart(steps, slots, play)
    with slots.hold(_id("a")):
        prestart.claim(steps[_id("a")])
        prestart.start_dependents(_id("a"))
        assert play.launched == []
    prestart.start_dependents(_id("a"))
    assert play.launched == ["b"]
    prestart.close()


def test_only_so_many_wait_and_none_for_long(tmp_path: Path) -> None:
    steps, play = _steps(tmp_path, *((name, "a") for name in "bcdef")), Played()
    prestart = Prestart(steps, Slots(9), play, longest=0.0, grace=600.0)
    prestart.claim(steps[_id("a")])
    prestart.start_dependents(_id("a"))
    assert len(play.launched) == module.MOST
    assert prestart.claim(steps[_id(play.launched[0])]) is None
    prestart.close()
    assert not play.runner.groups()


def test_one_that_does_not_end_by_itself_is_ended(tmp_path: Path) -> None:
    steps, play = _steps(tmp_path, ("b", "a")), Played("sleep", "600")
    prestart = Prestart(steps, Slots(9), play, grace=0.1)
    prestart.start(steps[_id("b")])
    prestart.close()
    assert not play.runner.groups()
