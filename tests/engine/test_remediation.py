"""`on_failure`: what becomes of a release whose sync failed, on a real API server with real helm."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread
from typing import Any, Literal

import pytest

from devtools.errors import ExitCode
from devtools.events import Notice, Outcome, StepFinished
from devtools.helm.labels import AFTER_DUE
from devtools.model import Action, Contract, Hook, Release
from devtools.releases.recovery import records
from tests.kits.run import HERE, Bench, Ran, config_map, job, plan, step
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster
OLD, NEW = "a" * 40, "b" * 40


def command(script: str) -> Hook:
    return Hook(argv=("sh", "-c", script), where=HERE)


def installed(bench: Bench, *more: dict[str, Any], **keys: Any) -> Release:
    """A release that became ready as revision 1."""
    conf = bench.release(bench.chart("conf", config_map("conf", say="old"), *more), **keys)
    assert bench.run(plan(step(conf, digest=OLD))).code is ExitCode.OK
    return conf


def upgrade(bench: Bench, release: Release, *more: dict[str, Any], digest: str = NEW) -> Ran:
    bench.chart("conf", config_map("conf", say="new"), *more)
    return bench.run(plan(step(release, action=Action.UPGRADE, digest=digest)))


def text(bench: Bench) -> str | None:
    found = bench.kube.get(f"/api/v1/namespaces/{bench.namespace}/configmaps/conf")
    return found["data"]["say"] if found else None


CONTRACT = Contract(where=HERE, kind="ConfigMap", name="absent", timeout=0.5)
FAILURES: dict[str, tuple[dict[str, Any], tuple[dict[str, Any], ...], str]] = {
    "after": ({"after": (command("exit 3"),)}, (), "hook sh ended with 3"),
    "contract": ({"contract": (CONTRACT,)}, (), "contract ConfigMap/absent: "),
    "helm": ({}, (config_map("Not A Name"),), ""),
}


@pytest.mark.parametrize("cause", FAILURES)
def test_a_failed_upgrade_is_rolled_back_and_still_to_be_done(bench: Bench, cause: str) -> None:
    keys, objects, why = FAILURES[cause]
    conf = installed(bench)
    ran = upgrade(bench, replace(conf, on_failure="rollback", **keys), *objects)
    end = ran.one(StepFinished)
    assert (ran.code is ExitCode.OK, end.outcome) == (False, Outcome.FAILED)
    assert end.reason.startswith(why)
    assert end.reason.endswith("; rolled back to revision 1")
    assert text(bench) == "old"
    fact = ran.after.releases[conf.id]
    assert (fact.status, fact.revision, fact.digest, fact.ready) == ("deployed", 3, OLD, OLD)
    assert [str(ref) for ref in fact.objects] == ["ConfigMap/conf"]
    assert ran.one(Notice).message.endswith(": rolling back to revision 1")


def test_a_rollback_goes_to_the_last_revision_that_was_ready(bench: Bench) -> None:
    conf = installed(bench)
    upgrade(bench, replace(conf, after=(command("exit 3"),)))
    assert text(bench) == "new"  # keep: helm calls it deployed
    ran = upgrade(bench, replace(conf, after=(command("exit 4"),), on_failure="rollback"))
    assert ran.one(StepFinished).reason == "hook sh ended with 4; rolled back to revision 1"
    assert text(bench) == "old"
    again = upgrade(bench, replace(conf, after=(command("exit 5"),), on_failure="rollback"), digest=OLD)
    assert again.one(StepFinished).reason == "hook sh ended with 5; rolled back to revision 4"
    fact = again.after.releases[conf.id]
    assert (fact.revision, fact.digest, fact.ready) == (6, OLD, "")  # the same inputs failed now: to be tried again


@pytest.mark.parametrize("policy", ["rollback", "uninstall"])
def test_a_first_install_that_fails_is_uninstalled(bench: Bench, policy: Literal["rollback", "uninstall"]) -> None:
    conf = bench.release(
        bench.chart("conf", config_map("conf", say="new")), after=(command("exit 3"),), on_failure=policy
    )
    child = bench.release(bench.chart("child", config_map("child")))
    ran = bench.run(plan(step(conf), step(child, conf)))
    end = ran.one(StepFinished, release=str(conf.id))
    assert (ran.code, end.reason) == (ExitCode.FAILED, "hook sh ended with 3; uninstalled")
    assert ran.one(StepFinished, release=str(child.id)).outcome is Outcome.SKIPPED
    assert conf.id not in ran.after.releases
    assert text(bench) is None


def test_an_upgrade_is_uninstalled_where_that_is_declared(bench: Bench) -> None:
    conf = installed(bench)
    ran = upgrade(bench, replace(conf, on_failure="uninstall"), config_map("Not A Name"))
    assert ran.one(StepFinished).reason.endswith("; uninstalled")
    assert conf.id not in ran.after.releases


def test_a_rollback_that_fails_is_reported_with_both_causes(bench: Bench) -> None:
    hook = config_map("Not A Name")
    hook["metadata"]["annotations"] = {"helm.sh/hook": "pre-rollback"}
    conf = installed(bench, hook)
    ran = upgrade(bench, replace(conf, after=(command("echo no schema; exit 3"),), on_failure="rollback"), hook)
    end = ran.one(StepFinished)
    assert end.reason.startswith("hook sh ended with 3; rollback failed, too: ")
    assert "Not A Name" in end.reason + " ".join(end.details)
    assert end.details[0] == "no schema"
    assert ran.code is ExitCode.FAILED
    fact = ran.after.releases[conf.id]
    assert (fact.status, fact.revision, fact.digest, fact.ready) == ("deployed", 2, NEW, AFTER_DUE)
    assert upgrade(bench, conf, hook).code is ExitCode.OK


def test_there_may_be_nothing_to_roll_back_to(bench: Bench) -> None:
    conf = bench.release(bench.chart("conf", config_map("conf", say="old")), after=(command("exit 3"),))
    bench.run(plan(step(conf, digest=OLD)))
    ran = upgrade(bench, replace(conf, on_failure="rollback"))
    reason = "hook sh ended with 3; no earlier revision was ready, so it was not rolled back"
    assert ran.one(StepFinished).reason == reason
    assert text(bench) == "new"


def test_what_failed_before_helm_changed_anything_is_not_undone(bench: Bench) -> None:
    conf = installed(bench)
    ran = upgrade(bench, replace(conf, before=(command("exit 3"),), on_failure="uninstall"))
    assert ran.one(StepFinished).reason == "hook sh ended with 3"
    broken = bench.chart("conf", config_map("conf", say="new"))
    (broken.path / "templates/broken.yaml").write_text("{{ fail .Release.Name }}")
    ran = bench.run(plan(step(replace(conf, on_failure="uninstall"), action=Action.UPGRADE, digest=NEW)))
    assert ran.code is ExitCode.FAILED
    assert len(records(bench.kube, conf.id)) == 1
    assert text(bench) == "old"


def test_what_is_adopted_is_left_as_it_is(bench: Bench) -> None:
    conf = replace(installed(bench), after=(command("exit 3"),), on_failure="uninstall")
    bench.chart("conf", config_map("conf", say="new"))
    ran = bench.run(plan(step(conf, action=Action.UPGRADE, digest=NEW, adopt=True)))
    assert ran.one(StepFinished).reason == "hook sh ended with 3; adopted by this run, so nothing was undone"
    assert text(bench) == "new"


def test_an_interruption_undoes_nothing(bench: Bench) -> None:
    conf = installed(bench)

    def interrupt() -> None:
        eventually((bench.root / "begun").exists)
        bench.cancel.set("interrupted by Ctrl-C")

    Thread(target=interrupt, daemon=True).start()
    slow = replace(conf, after=(command("touch begun; sleep 1000"),), on_failure="uninstall")
    ran = upgrade(bench, slow)
    assert ran.code is ExitCode.INTERRUPTED
    assert text(bench) == "new"
    assert ran.after.releases[conf.id].status == "deployed"


def test_what_a_helm_hook_holds_up_is_rolled_back(bench: Bench) -> None:
    stuck = job("stuck", "pre-upgrade", "sleep", "1000")
    stuck["spec"]["suspend"] = True
    conf = installed(bench, stuck)
    ran = upgrade(bench, replace(conf, timeout=3.0, on_failure="rollback"), stuck)
    end = ran.one(StepFinished)
    assert end.reason.endswith("; rolled back to revision 1"), end
    assert (text(bench), ran.after.releases[conf.id].status) == ("old", "deployed")
    bench.chart("conf", config_map("conf", say="new"))
    again = bench.run(plan(step(conf, action=Action.UPGRADE, digest=NEW, cut_off=ran.after.releases[conf.id].cut_off)))
    assert again.code is ExitCode.OK
    assert (text(bench), again.after.releases[conf.id].cut_off) == ("new", ())
