"""Commands before and after a release is synced: real processes, a real API server, real helm."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest

from devtools.errors import ExitCode
from devtools.events import ContractChecked, Outcome, StepFinished, StepStarted, StepWaiting
from devtools.helm.labels import AFTER_DUE
from devtools.model import Action, Contract, Hook
from tests.kits.run import HERE, Bench, config_map, plan, step
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster


def command(script: str, **more: Any) -> Hook:
    return Hook(argv=("sh", "-c", script), where=HERE, **more)


def test_commands_before_run_in_the_repository_and_can_fail(bench: Bench) -> None:
    touch = command("echo $DEVTOOLS_CONTEXT $DEVTOOLS_NAMESPACE $DEVTOOLS_RELEASE > noted")
    boom = command("echo no vault here >&2; exit 3")
    conf = bench.release(bench.chart("conf", config_map("conf")), before=(touch, boom))
    ran = bench.run(plan(step(conf)), hook_env={"DEVTOOLS_CONTEXT": bench.cluster.context})
    assert (bench.root / "noted").read_text().split() == [bench.cluster.context, bench.namespace, "conf"]
    assert [waiting.what for waiting in ran.all(StepWaiting)] == ["hook sh", "hook sh"]
    end = ran.one(StepFinished)
    assert (end.reason, end.details) == ("hook sh ended with 3", ("no vault here",))
    assert end.hint == f"it is declared at {HERE}"
    assert conf.id not in ran.after.releases


def test_commands_after_run_once_the_contract_passed(bench: Bench) -> None:
    contract = Contract(where=HERE, kind="ConfigMap", name="conf")
    conf = bench.release(
        bench.chart("conf", config_map("conf")),
        contract=(contract,),
        after=(command("echo one >> noted"), command("echo two >> noted")),
    )
    child = bench.release(bench.chart("child", config_map("child")), before=(command("cp noted copied"),))
    ran = bench.run(plan(step(conf), step(child, conf)))
    assert ran.code is ExitCode.OK
    assert (bench.root / "copied").read_text() == "one\ntwo\n"
    hooks = [number for number, event in enumerate(ran.events) if getattr(event, "what", "") == "hook sh"]
    (checked,) = [number for number, event in enumerate(ran.events) if isinstance(event, ContractChecked)]
    assert checked < hooks[0]
    assert ran.after.releases[conf.id].ready == "d" * 40


@pytest.mark.parametrize(
    ("script", "timeout", "code", "why"),
    [
        ("echo no schema >&2; exit 3", 300.0, ExitCode.FAILED, "hook sh ended with 3"),
        ("exec sleep 1000", 1.0, ExitCode.TIMEOUT, "hook sh took longer than 1 s"),
    ],
)
def test_a_command_after_that_fails_is_still_due(
    bench: Bench, script: str, timeout: float, code: ExitCode, why: str
) -> None:
    conf = bench.release(bench.chart("conf", config_map("conf")), after=(command(script, timeout=timeout),))
    child = bench.release(bench.chart("child", config_map("child")))
    ran = bench.run(plan(step(conf), step(child, conf)))
    assert ran.code is code
    end = ran.one(StepFinished, release=str(conf.id))
    assert (end.outcome, end.reason) == (Outcome.FAILED, why)
    assert [event.release for event in ran.all(StepStarted)] == [str(conf.id)]
    fact = ran.after.releases[conf.id]
    assert (fact.status, fact.ready) == ("deployed", AFTER_DUE)
    mended = bench.release(conf.chart, after=(command("true"),))
    again = bench.run(plan(step(mended, action=Action.UPGRADE)))
    assert again.code is ExitCode.OK
    assert again.after.releases[conf.id].ready == "d" * 40


def test_an_interrupt_ends_a_command_after_which_is_still_due(bench: Bench) -> None:
    slow = command("touch begun; sleep 1000; touch ended", timeout=900.0)
    conf = bench.release(bench.chart("conf", config_map("conf")), after=(slow,))

    def interrupt() -> None:
        eventually((bench.root / "begun").exists)
        bench.cancel.set("interrupted by Ctrl-C")

    Thread(target=interrupt, daemon=True).start()
    ran = bench.run(plan(step(conf)))
    assert ran.code is ExitCode.INTERRUPTED
    assert ran.one(StepFinished).outcome is Outcome.INTERRUPTED
    assert not (bench.root / "ended").exists()
    assert ran.after.releases[conf.id].ready == AFTER_DUE
