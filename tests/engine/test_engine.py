"""The engine on a real API server with real helm: order, failure, recovery, interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from threading import Thread

import pytest

from devtools.errors import ExitCode
from devtools.events import (
    ContractChecked,
    Notice,
    Outcome,
    RunFinished,
    StepFinished,
    StepStarted,
    StepWaiting,
    Verdict,
)
from devtools.helm.labels import LABEL_LAUNCH, LABEL_STACK
from devtools.helm.ownership import launch_token
from devtools.model import Action, Contract
from tests.kits.run import GRACE, HERE, LAYER, Bench, config_map, deployment, job, plan, step
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster


def test_a_release_starts_when_what_it_needs_is_ready(bench: Bench) -> None:
    web = bench.release(bench.chart("web", deployment("web")))
    conf = bench.release(bench.chart("conf", config_map("conf", a="1")))
    ran = bench.run(plan(step(conf), step(web, conf)))
    assert ran.code is ExitCode.OK
    order = [type(event).__name__ + " " + event.release for event in ran.events if hasattr(event, "release")]
    assert order.index(f"StepFinished {conf.id}") < order.index(f"StepStarted {web.id}")
    fact = ran.after.releases[web.id]
    assert (fact.status, fact.digest, fact.ready) == ("deployed", "d" * 40, "d" * 40)
    assert [str(ref) for ref in fact.objects] == ["Deployment/web"]
    assert (fact.layer, fact.stack, fact.missing) == (LAYER, "test", ())


def test_an_unchanged_release_costs_no_helm(bench: Bench) -> None:
    conf = bench.release(bench.chart("conf", config_map("conf")))
    bench.run(plan(step(conf)))
    ran = bench.run(plan(step(conf, action=Action.UNCHANGED)))
    assert ran.code is ExitCode.OK
    assert ran.runner.commands == []
    assert ran.one(StepFinished).outcome is Outcome.UNCHANGED


def test_facts_name_objects_that_are_gone(bench: Bench) -> None:
    conf = bench.release(bench.chart("conf", config_map("one"), config_map("two")))
    ran = bench.run(plan(step(conf)))
    assert bench.kube.delete(f"/api/v1/namespaces/{bench.namespace}/configmaps/two")
    again = bench.run(plan(step(conf, action=Action.UPGRADE)))
    assert [str(ref) for ref in again.before.releases[conf.id].missing] == ["ConfigMap/two"]
    assert ran.after.releases[conf.id].missing == again.after.releases[conf.id].missing == ()


def test_a_failure_skips_only_its_dependents_and_names_the_cause(bench: Bench) -> None:
    bad = bench.release(bench.chart("bad", config_map("Not A Name")))
    child = bench.release(bench.chart("child", config_map("child")))
    grandchild = bench.release(bench.chart("grandchild", config_map("grandchild")))
    other = bench.release(bench.chart("other", config_map("other")))
    ran = bench.run(plan(step(bad), step(child, bad), step(grandchild, child), step(other)))
    assert ran.code is ExitCode.FAILED
    assert ran.one(StepFinished, release=str(bad.id)).outcome is Outcome.FAILED
    for skipped in (child, grandchild):
        end = ran.one(StepFinished, release=str(skipped.id))
        assert (end.outcome, end.reason) == (Outcome.SKIPPED, f"because {bad.id} failed")
    assert ran.one(StepFinished, release=str(other.id)).outcome is Outcome.INSTALLED
    assert [event.release for event in ran.all(StepStarted)].count(str(child.id)) == 0


def test_what_cannot_heal_fails_at_once_with_object_and_reason(bench: Bench) -> None:
    web = bench.release(
        bench.chart("web", deployment("web", **{"simulation.devtools.ameide.io/fail": "image"})), timeout=120.0
    )
    ran = bench.run(plan(step(web)))
    end = ran.one(StepFinished)
    assert (ran.code, end.outcome) == (ExitCode.FAILED, Outcome.FAILED), "not a timeout"
    assert end.reason.startswith("Pod/web-")
    assert "ImagePullBackOff" in end.reason
    assert ran.after.releases[web.id].ready == ""  # the next run does not take it for done


def test_waiting_says_what_for_and_ends_with_the_timeout(bench: Bench) -> None:
    ref = bench.chart("web", deployment("web", **{"simulation.devtools.ameide.io/fail": "unready"}))
    for timeout in (2.0, 20.0, 100.0):  # on a slow machine the pod is not there after two seconds
        ran = bench.run(plan(step(bench.release(ref, timeout=timeout))))
        assert ran.code is ExitCode.TIMEOUT
        if "Deployment/web (0 of 1 pods available)" in [event.what for event in ran.all(StepWaiting)]:
            break
    end = ran.one(StepFinished)
    assert end.reason == "timed out waiting for Deployment/web (0 of 1 pods available)"
    assert end.hint == "if it only needs more time, raise the release's `timeout`"


def test_a_contract_is_checked_with_its_value(bench: Bench) -> None:
    ref = bench.chart("conf", config_map("conf", phase="half"))
    there = Contract(where=HERE, kind="ConfigMap", name="conf")
    good = Contract(where=HERE, kind="ConfigMap", name="conf", jsonpath="{.data.phase}", equals="half")
    bad = Contract(where=HERE, kind="ConfigMap", name="conf", jsonpath="{.data.phase}", equals="whole", timeout=0.5)
    conf = bench.release(ref, contract=(there, good, bad))
    ran = bench.run(plan(step(conf)))
    verdicts = [(event.verdict, event.value) for event in ran.all(ContractChecked)]
    assert verdicts == [(Verdict.PASSED, "ready"), (Verdict.PASSED, "half"), (Verdict.FAILED, "half")]
    assert ran.one(StepFinished).reason == "contract ConfigMap/conf {.data.phase} = whole: {.data.phase} is half"
    assert ran.code is ExitCode.FAILED


def test_a_contract_on_simulated_pods_is_simulated(bench: Bench) -> None:
    web = bench.release(
        bench.chart("web", deployment("web")), contract=(Contract(where=HERE, kind="Deployment", name="web"),)
    )
    ran = bench.run(plan(step(web)))
    checked = ran.one(ContractChecked)
    assert (checked.verdict, checked.reason) == (Verdict.SIMULATED, "its pods are simulated")


@pytest.mark.parametrize("before", ["pending-install", "pending-upgrade"])
def test_a_release_left_pending_by_a_killed_helm_is_recovered(bench: Bench, before: str) -> None:
    conf = bench.release(bench.chart("conf", config_map("conf")))
    if before == "pending-upgrade":
        bench.run(plan(step(conf)))
    # a hook that never ends (nothing runs it) holds helm in the pending state until it is killed
    stuck = job("stuck", "pre-install,pre-upgrade", "sleep", "1000")
    stuck["spec"]["suspend"] = True
    bench.chart("conf", config_map("conf"), stuck)
    labels = f"{LABEL_STACK}=test,{LABEL_LAUNCH}={launch_token('local')}"  # as a killed run's helm has them
    words = ["--namespace", bench.namespace, "--create-namespace", "--labels", labels]
    helm = subprocess.Popen(
        [bench.helm, "upgrade", "--install", "conf", conf.chart.path, *words],
        env={**os.environ, "KUBECONFIG": str(bench.cluster.kubeconfig)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    path = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/stuck"
    eventually(lambda: bench.kube.get(path))
    helm.send_signal(signal.SIGKILL)
    helm.wait()
    bench.chart("conf", config_map("conf", again="1"))
    ran = bench.run(plan(step(conf, action=Action.UPGRADE, recover=before, digest="e" * 40)))
    assert ran.before.releases[conf.id].status == before
    assert ran.code is ExitCode.OK, ran.events
    assert f"was left {before}" in ran.one(Notice).message
    assert ran.after.releases[conf.id].status == "deployed"


def test_an_interrupt_leaves_no_process_and_nothing_pending(bench: Bench) -> None:
    slow = job("slow", "pre-install", "sleep", "1000")
    slow["spec"]["suspend"] = True
    first = bench.release(bench.chart("first", config_map("first"), slow), timeout=300.0)
    later = bench.release(bench.chart("later", config_map("later")))
    path, asked = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/slow", list[float]()

    def interrupt() -> None:
        eventually(lambda: bench.kube.get(path))
        asked.append(time.monotonic())
        bench.cancel.set("interrupted by Ctrl-C")

    Thread(target=interrupt, daemon=True).start()
    ran = bench.run(plan(step(first), step(later, first)))
    assert ran.code is ExitCode.INTERRUPTED
    assert ran.one(StepFinished, release=str(first.id)).outcome is Outcome.INTERRUPTED
    assert ran.one(StepFinished, release=str(later.id)).outcome is Outcome.SKIPPED
    assert ran.runner.groups() == frozenset()
    was_killed = time.monotonic() - asked[0] >= sum(GRACE)  # helm did not come to an end in time
    assert was_killed or not ran.after.releases[first.id].status.startswith("pending")
    assert ran.one(RunFinished).hint == "run the same command again: it continues from here"


def test_uninstalling_leaves_nothing(bench: Bench) -> None:
    web = bench.release(bench.chart("web", deployment("web")))
    bench.run(plan(step(web)))
    ran = bench.run(plan(step(web, action=Action.UNINSTALL)))
    assert (ran.code, ran.one(StepFinished).outcome) == (ExitCode.OK, Outcome.UNINSTALLED)
    assert web.id not in ran.after.releases
    assert bench.kube.items(f"/apis/apps/v1/namespaces/{bench.namespace}/deployments") == []


def test_values_reach_the_chart_and_leave_no_file(bench: Bench) -> None:
    ref = bench.chart("conf", config_map("conf", say="{{ .Values.say }}"))
    conf = bench.release(ref)
    ran = bench.run(plan(step(conf)), {"conf": {"say": "s3cret-marker"}})
    found = bench.kube.get(f"/api/v1/namespaces/{bench.namespace}/configmaps/conf")
    assert found is not None
    assert found["data"] == {"say": "s3cret-marker"}
    assert "s3cret-marker" not in str(ran.events)
    assert all("s3cret-marker" not in word for command in ran.runner.commands for word in command.argv)


def test_a_release_keeps_the_labels_of_a_declared_namespace(bench: Bench) -> None:
    declared = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": bench.namespace, "labels": {"team": "a"}}}
    space = bench.release(bench.chart("space", declared))
    space = replace(space, namespace="default", name=f"space-{bench.namespace[-6:]}")
    conf = bench.release(bench.chart("conf", config_map("conf")))
    ran = bench.run(plan(step(space), step(conf, space)))
    assert ran.code is ExitCode.OK
    found = bench.kube.get(f"/api/v1/namespaces/{bench.namespace}")
    assert found is not None
    assert found["metadata"]["labels"]["team"] == "a"
    bench.run(plan(step(space, action=Action.UNINSTALL)))
