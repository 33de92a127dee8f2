"""Releases that this stack did not install, and helms that devtools did not start: real ones, on a real API server."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devtools.errors import ExitCode
from devtools.events import Bus, Event, Notice, StepFinished, StepWaiting
from devtools.helm import ownership
from devtools.helm.labels import LABEL_LAUNCH, LABEL_STACK
from devtools.helm.ownership import Origin, Record, origin_of_newest, rolled_back_to
from devtools.model import Environment, Layer, Plan, Release, Stack
from devtools.planning.overrides import Overrides, with_overrides
from devtools.planning.plan import Selection, make_plan
from devtools.releases import recovery
from devtools.releases.facts import observe, record_path
from devtools.testing import RecordingSink
from tests.kits.run import HERE, LAYER, Bench, config_map, job, plan, set_status, step
from tests.kits.waiting import eventually

DIGEST = "e" * 40


def _record(revision: int, status: str, launch: str = "") -> dict[str, Any]:
    return {"labels": {"version": str(revision), "status": status, **({LABEL_LAUNCH: launch} if launch else {})}}


@pytest.mark.parametrize(
    ("records", "maker"),
    [
        ([_record(1, "pending-install")], Origin.OTHER),
        ([_record(1, "pending-install", "me.1")], Origin.SAME_ORIGIN),
        ([_record(1, "pending-install", "they.1")], Origin.DEVTOOLS),
        ([_record(1, "deployed", "me.1"), _record(2, "pending-upgrade", "me.2")], Origin.SAME_ORIGIN),
        # helm copies the labels of the revision before
        ([_record(1, "deployed", "me.1"), _record(2, "pending-upgrade", "me.1")], Origin.OTHER),
        ([_record(9, "deployed", "me.1"), _record(10, "pending-upgrade", "me.1")], Origin.OTHER),
        ([_record(1, "deployed"), _record(2, "pending-upgrade")], Origin.OTHER),
        ([_record(1, "superseded", "me.1"), _record(2, "pending-rollback", "me.1")], Origin.OTHER),
        (
            [_record(1, "superseded", "me.rollback-3"), _record(3, "pending-rollback", "me.rollback-3")],
            Origin.SAME_ORIGIN,
        ),
        ([_record(1, "superseded", "me.rollback-3"), _record(5, "pending-rollback", "me.rollback-3")], Origin.OTHER),
        ([_record(2, "uninstalling", "me.uninstall-2")], Origin.SAME_ORIGIN),
        ([_record(2, "uninstalling", "they.uninstall-2")], Origin.DEVTOOLS),
        ([_record(2, "uninstalling", "me.1")], Origin.OTHER),
    ],
)
def test_who_started_a_helm(records: list[dict[str, Any]], maker: Origin) -> None:
    assert origin_of_newest(records, "me") is maker
    assert origin_of_newest(reversed(records), "me") is maker


@pytest.mark.parametrize(
    ("launches", "target"),
    [
        (("me.1",), 0),
        (("me.1", "me.2"), 0),
        (("me.rollback-3", "me.2", "me.rollback-3"), 1),
        (("me.1", "me.rollback-3", "me.rollback-3"), 2),
        (("me.1", "me.2", "me.1"), 1),  # by hand
        (("me.1", "me.2", "me.2"), 0),  # an upgrade by hand
        (("me.1", "me.2", "me.2", "me.2"), 0),  # two of them
        (("", "", ""), 0),  # another tool's release
    ],
)
def test_which_revision_was_restored(launches: tuple[str, ...], target: int) -> None:
    records = [_record(number, "superseded", launch) for number, launch in enumerate(launches, start=1)]
    assert rolled_back_to(records) == target
    assert rolled_back_to(reversed(records)) == target


def _claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _helm(bench: Bench, *words: str) -> list[str]:
    """A helm typed by somebody else."""
    where = ["--kubeconfig", str(bench.cluster.kubeconfig), "--kube-context", bench.cluster.context]
    return [str(bench.helm), *words, "--namespace", bench.namespace, *where]


def _by_hand(bench: Bench, *words: str) -> None:
    subprocess.run(_helm(bench, *words), check=True, capture_output=True)


def _plan(bench: Bench, release: Release, *, adopt: bool = False, stack: str = "test") -> Plan:
    """The plan that a user would get now."""
    layer = Layer(name=LAYER, file=HERE.file, stage="data", releases=(release,))
    whole = Stack(name=stack, root=bench.root, environment=Environment(name="local"), layers=(layer,))
    chosen = frozenset({release.id} if adopt else ())
    made = make_plan(whole, Selection(layers=(LAYER,)), observe(bench.kube), {release.id: DIGEST}, adopt=chosen)
    return with_overrides(made, Overrides(take=chosen, adopt=chosen))


def _uid(bench: Bench, plural: str, name: str) -> str:
    found = bench.kube.get(f"/api/v1/namespaces/{bench.namespace}/{plural}/{name}")
    return str(found["metadata"]["uid"]) if found and not found["metadata"].get("deletionTimestamp") else ""


FOREIGN = {"deployed": 1, "failed": 1, "pending-install": 1, "uninstalling": 1, "pending-upgrade": 2}


@pytest.mark.cluster
@pytest.mark.parametrize("state", FOREIGN)
def test_a_release_of_other_tools_is_not_touched_until_adopted(
    bench: Bench, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = bench.chart("theirs", _claim("data"), config_map("conf", value="theirs"))
    for _ in range(FOREIGN[state]):
        _by_hand(bench, "upgrade", "--install", "web", str(theirs.path), "--create-namespace")
    web = bench.release(bench.chart("web", config_map("conf", value="ours")), name="web")
    if state != "deployed":
        set_status(bench.kube, web.id, FOREIGN[state], state, origin="nobody")
        bench.kube.merge(record_path(web.id, FOREIGN[state]), {"metadata": {"labels": {LABEL_LAUNCH: None}}})
    before = [_uid(bench, "persistentvolumeclaims", "data"), _uid(bench, "configmaps", "conf")]
    assert all(before)

    ran = bench.run(_plan(bench, web))
    assert ran.code is ExitCode.FAILED
    end = ran.one(StepFinished)
    assert end.outcome == "skipped"
    assert f"--take-ownership {web.id}" in end.reason
    assert ran.runner.commands == []
    assert ran.after.releases[web.id] == ran.before.releases[web.id]

    _age(monkeypatch)
    ran = bench.run(_plan(bench, web, adopt=True))
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    assert "helm uninstall" not in ran.runner.verbs()
    assert "helm rollback" not in ran.runner.verbs()
    after = [_uid(bench, "persistentvolumeclaims", "data"), _uid(bench, "configmaps", "conf")]
    assert after == before, "adopting loses nothing"
    fact = ran.after.releases[web.id]
    assert (fact.status, fact.stack, fact.digest) == ("deployed", "test", DIGEST)
    assert bench.run(_plan(bench, web)).one(StepFinished).outcome == "unchanged"


@pytest.mark.cluster
def test_a_release_of_another_stack_is_adopted_on_request(bench: Bench) -> None:
    web = bench.release(bench.chart("web", config_map("web", value="1")))
    made = _plan(bench, web)
    assert bench.run(made).code is ExitCode.OK
    other = _plan(bench, web, stack="other")
    assert "it belongs to stack 'test'" in bench.run(other).one(StepFinished).reason
    uid = _uid(bench, "configmaps", "web")
    assert bench.run(_plan(bench, web, stack="other", adopt=True)).code is ExitCode.OK
    assert observe(bench.kube).releases[web.id].stack == "other"
    assert _uid(bench, "configmaps", "web") == uid


@pytest.mark.cluster
def test_a_release_that_another_tool_installs_after_the_plan(bench: Bench) -> None:
    web = bench.release(bench.chart("web", config_map("web", value="1")))
    made = _plan(bench, web)
    _by_hand(bench, "install", "web", str(web.chart.path), "--create-namespace")
    ran = bench.run(made)
    assert ran.code is ExitCode.FAILED
    assert "installed by another tool in the meantime" in ran.one(StepFinished).reason
    assert ran.after.releases[web.id].revision == 1


@pytest.mark.cluster
def test_what_other_means_upgraded_stays_this_stacks(bench: Bench) -> None:
    web = bench.release(bench.chart("web", config_map("web", value="1")))
    assert bench.run(_plan(bench, web)).code is ExitCode.OK
    _by_hand(bench, "upgrade", "web", str(web.chart.path))
    labels = {LABEL_STACK: None, "devtools.ameide.io/digest": None}  # as a helm that copies no labels leaves it
    bench.kube.merge(record_path(web.id, 2), {"metadata": {"labels": labels}})
    ran = bench.run(_plan(bench, web))
    assert ran.one(StepFinished).outcome == "upgraded"


def _slow(bench: Bench) -> Path:
    """A chart whose upgrade waits for a hook that never ends."""
    hook = job("slow", "pre-upgrade", "true")
    hook["spec"]["template"]["metadata"] = {"labels": {"simulation.devtools.ameide.io/fail": "unready"}}
    return bench.chart("slow", config_map("web", value="by hand"), hook).path


def _age(monkeypatch: pytest.MonkeyPatch, looks: int = 0) -> None:
    """What a helm wrote last is an hour old, for whoever has looked at it that often."""
    before: list[object] = []

    def written_by(record: Record) -> tuple[str, datetime | None]:
        manager, since = ownership.written_by(record)
        before.append(record)
        return manager, since and since - timedelta(hours=len(before) > looks)

    monkeypatch.setattr(recovery, "written_by", written_by)


@contextmanager
def _by_hand_until(bench: Bench, release: Release, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Somebody's upgrade that waits for a hook which never ends."""
    with subprocess.Popen(_helm(bench, *words), stdout=subprocess.DEVNULL, text=True) as theirs:
        eventually(lambda: observe(bench.kube).releases[release.id].status == "pending-upgrade" or theirs.poll())
        yield theirs
        theirs.kill()


class Interrupting(RecordingSink):
    """Interrupts another helm once the run waits for it."""

    def __init__(self, theirs: subprocess.Popen[str]) -> None:
        super().__init__()
        self._theirs = theirs

    def emit(self, event: Event, at: float) -> None:
        super().emit(event, at)
        if isinstance(event, StepWaiting) and "another helm (field manager" in event.what:
            self._theirs.send_signal(signal.SIGINT)


@pytest.mark.cluster
def test_a_living_helm_is_waited_for_and_not_rolled_back_under(bench: Bench) -> None:
    web = bench.release(bench.chart("web", config_map("web", value="1")))
    assert bench.run(_plan(bench, web)).code is ExitCode.OK
    with _by_hand_until(bench, web, "upgrade", "web", str(_slow(bench)), "--timeout", "20m") as theirs:
        sink = Interrupting(theirs)
        ran = replace(bench.run(_plan(bench, web), bus=Bus((sink,), time.time)), events=sink.events)
        assert theirs.wait(120) != 0
    assert ran.code is ExitCode.OK
    assert any("another helm (field manager" in event.what for event in ran.all(StepWaiting))
    assert not any("cut off" in notice.message for notice in ran.all(Notice))
    assert "helm rollback" not in ran.runner.verbs()
    history = json.loads(subprocess.check_output(_helm(bench, "history", "web", "-o", "json")))
    assert [item["status"] for item in history] == ["superseded", "failed", "deployed"]


@pytest.mark.cluster
def test_a_helm_that_runs_too_long_is_named_and_overridable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    web = bench.release(bench.chart("web", config_map("web", value="1")))
    assert bench.run(_plan(bench, web)).code is ExitCode.OK
    with _by_hand_until(bench, web, "upgrade", "web", str(_slow(bench))):
        pass
    _age(monkeypatch)
    ran = bench.run(_plan(bench, web))
    assert ran.code is ExitCode.TIMEOUT
    end = ran.one(StepFinished)
    assert "another helm (field manager" in end.reason
    assert "pending-upgrade" in end.reason
    assert end.hint.endswith(f"--take-ownership {web.id}")
    made = _plan(bench, web, adopt=True)
    ran = bench.run(made)
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    assert ran.after.releases[web.id].status == "deployed"


@pytest.mark.cluster
def test_a_helm_of_another_machine_may_use_its_whole_timeout(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    web = bench.release(bench.chart("web", config_map("web", value="1")))
    for _ in range(2):
        assert bench.run(plan(step(web)), origin="elsewhere").code is ExitCode.OK
    set_status(bench.kube, web.id, 2, "pending-upgrade", origin="elsewhere")
    _age(monkeypatch, looks=1)
    ran = bench.run(_plan(bench, web))
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    assert any("a helm of another machine's run" in event.what for event in ran.all(StepWaiting))
    assert "helm rollback" in ran.runner.verbs()
