"""Smoke tests: real Jobs on the real node, verdicts and logs; simulated ones say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Lock, Thread
from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.errors import ExitCode
from devtools.events import Notice, TestFinished, TestOutput, Verdict
from devtools.kube.client import Kube
from devtools.kube.logs import NotFollowed, log_lines
from devtools.model import Action, ChartRef
from devtools.process.runner import Cancel, Command, OnOutput, Result
from devtools.smoke import watch
from devtools.smoke.runner import AT_ONCE
from tests.kits.run import Bench, Recorder, config_map, job, plan, step
from tests.kits.waiting import eventually
from tests.platform.support import CHARTS

pytestmark = pytest.mark.cluster


@pytest.mark.real
def test_a_job_on_the_real_node_passes_with_its_log(bench: Bench) -> None:
    ref = bench.chart("smoke", job("says", "test", "sh", "-c", "echo one; echo two", cluster=bench.cluster))
    smoke = bench.release(ref, smoke=True)
    ran = bench.run(plan(step(smoke)))
    end = ran.one(TestFinished)
    assert (ran.code, end.verdict, end.reason) == (ExitCode.OK, Verdict.PASSED, "")
    assert [event.line for event in ran.all(TestOutput)] == ["one", "two"]
    assert ran.after.releases[smoke.id].tested != ""
    assert ran.after.releases[smoke.id].ready == "d" * 40  # helm test rewrote the record, the mark is back


@pytest.mark.real
def test_a_job_that_fails_shows_its_log_and_stays_for_kubectl(bench: Bench) -> None:
    ref = bench.chart("smoke", job("fails", "test", "sh", "-c", "echo looking; nosuchtool", cluster=bench.cluster))
    ran = bench.run(plan(step(bench.release(ref, smoke=True))))
    end = ran.one(TestFinished)
    assert (ran.code, end.verdict) == (ExitCode.FAILED, Verdict.FAILED)
    assert end.reason == "container test exited with 127"
    # two streams, so in no certain order
    assert {"looking", "sh: nosuchtool: not found"} == set(end.details)
    assert bench.kube.get(f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/fails") is not None


@pytest.mark.real
def test_what_a_test_needs_may_be_a_test_hook_itself(bench: Bench) -> None:
    needed = config_map("needed", WORD="made")
    account: dict[str, Any] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "needed"}}
    for item in (needed, account):
        item["metadata"]["annotations"] = {"helm.sh/hook": "test", "helm.sh/hook-weight": "-1"}
    test = job("asks", "test", "sh", "-c", 'echo "$WORD"', cluster=bench.cluster)
    test["spec"]["template"]["spec"]["serviceAccountName"] = "needed"
    test["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "needed"}}]
    smoke = bench.release(bench.chart("smoke", needed, account, test), smoke=True)
    for action in (Action.INSTALL, Action.UNCHANGED):  # the second finds what the first made
        ran = bench.run(plan(step(smoke, action=action, revision=1)))
        assert ran.one(TestFinished).verdict is Verdict.PASSED
        assert [event.line for event in ran.all(TestOutput)] == ["made"]


@pytest.mark.real
def test_one_failure_does_not_stop_the_others(bench: Bench) -> None:
    ref = bench.chart(
        "smoke",
        job("bad", "test", "false", cluster=bench.cluster),
        job("good", "test", "true", cluster=bench.cluster),
    )
    ran = bench.run(plan(step(bench.release(ref, smoke=True))))
    assert {event.test: event.verdict for event in ran.all(TestFinished)} == {
        "bad": Verdict.FAILED,
        "good": Verdict.PASSED,
    }


@pytest.mark.real
def test_a_missing_image_fails_before_the_timeout(bench: Bench) -> None:
    test = job("pull", "test", "true", cluster=bench.cluster)
    test["spec"]["template"]["spec"]["containers"][0] |= {"image": "localhost/none:1", "imagePullPolicy": "Never"}
    ran = bench.run(plan(step(bench.release(bench.chart("smoke", test), smoke=True, timeout=600.0))))
    end = ran.one(TestFinished)
    assert end.verdict is Verdict.FAILED
    assert "ErrImageNeverPull" in end.reason


def test_a_job_that_only_the_simulation_completed_is_simulated(bench: Bench) -> None:
    ref = bench.chart("smoke", job("empty", "test", "false"))
    smoke = bench.release(ref, smoke=True)
    ran = bench.run(plan(step(smoke)))
    end = ran.one(TestFinished)
    assert (ran.code, end.verdict, end.reason) == (ExitCode.OK, Verdict.SIMULATED, "no real node ran it")
    assert ran.after.releases[smoke.id].tested == ""


def test_jobs_of_an_earlier_revision_are_pruned(bench: Bench) -> None:
    old = job("old", "test", "true")
    old["metadata"]["labels"] = {"app.kubernetes.io/instance": "smoke"}
    smoke = bench.release(bench.chart("smoke", old), smoke=True)
    bench.run(plan(step(smoke)))
    path = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"
    assert [item["metadata"]["name"] for item in bench.kube.items(path)] == ["old"]
    bench.chart("smoke", job("new", "test", "true"))
    bench.run(plan(step(smoke, action=Action.UPGRADE)))
    assert [item["metadata"]["name"] for item in bench.kube.items(path)] == ["new"]


def test_a_smoke_release_without_tests_is_remarked_on(bench: Bench) -> None:
    smoke = bench.release(bench.chart("smoke", config_map("only")), smoke=True)
    ran = bench.run(plan(step(smoke)))
    notice = ran.one(Notice)
    assert (notice.release, notice.message) == (str(smoke.id), "has no tests")


def test_tests_of_an_unchanged_layer_are_not_repeated_by_up(bench: Bench) -> None:
    smoke = bench.release(bench.chart("smoke", job("t", "test", "true")), smoke=True)
    bench.run(plan(step(smoke)))
    ran = bench.run(plan(step(smoke, action=Action.UNCHANGED, revision=1)), retest=False)
    # its last verdict was `simulated`, which proves nothing: it runs again
    assert ran.one(TestFinished).verdict is Verdict.SIMULATED


@pytest.mark.real
def test_every_run_of_a_test_is_a_run_of_its_own(bench: Bench) -> None:
    tests = [job(f"t{number}", "test", "echo", str(number), cluster=bench.cluster) for number in range(3)]
    smoke = bench.release(bench.chart("smoke", *tests), smoke=True)
    for action in (Action.INSTALL, Action.UNCHANGED, Action.UNCHANGED):
        ran = bench.run(plan(step(smoke, action=action, revision=1)))
        assert [event.verdict for event in ran.all(TestFinished)] == [Verdict.PASSED] * 3
        assert sorted(event.line for event in ran.all(TestOutput)) == ["0", "1", "2"]


@pytest.mark.real
def test_tests_that_run_at_the_same_time_are_all_run(bench: Bench) -> None:
    names = [f"t{number}" for number in range(8)]
    tests = [job(name, "test", "sh", "-c", f"sleep 1; echo {name}", cluster=bench.cluster) for name in names]
    smoke = bench.release(bench.chart("smoke", *tests), smoke=True)
    ran = bench.run(plan(step(smoke)))
    assert sorted(event.line for event in ran.all(TestOutput)) == names
    assert {event.test: event.verdict for event in ran.all(TestFinished)} == dict.fromkeys(names, Verdict.PASSED)


@pytest.mark.real
def test_a_run_stopped_in_its_tests_leaves_all_in_the_record(bench: Bench) -> None:
    names = [f"t{number}" for number in range(3)]
    smoke = bench.release(
        bench.chart("smoke", *(job(name, "test", "sleep", "3", cluster=bench.cluster) for name in names)), smoke=True
    )
    stopped = replace(bench, cancel=Cancel())
    jobs = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"

    def stop() -> None:
        try:
            eventually(lambda: bench.kube.metadata(jobs))
        finally:
            stopped.cancel.set("stopped")

    stopper = Thread(target=stop)
    stopper.start()
    interrupted = stopped.run(plan(step(smoke)))
    stopper.join()
    assert interrupted.code is ExitCode.INTERRUPTED
    assert [(event.verdict, event.reason) for event in interrupted.all(TestFinished)] == [
        (Verdict.INTERRUPTED, "stopped")
    ] * 3
    ran = bench.run(plan(step(smoke, action=Action.UNCHANGED, revision=1)))
    assert sorted(event.test for event in ran.all(TestFinished)) == names


def _pod(name: str, *command: str, cluster: Cluster) -> dict[str, Any]:
    """A bare Pod as a test, on the real node."""
    made = job(name, "test", *command, cluster=cluster)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made["metadata"], "spec": made["spec"]["template"]["spec"]}


@pytest.mark.real
def test_what_a_test_says_of_itself_decides(bench: Bench) -> None:
    def says(name: str, script: str, *, optional: bool = False) -> dict[str, Any]:
        made = job(name, "test", "sh", "-c", script, cluster=bench.cluster)
        made["metadata"]["annotations"]["devtools.ameide.io/optional"] = str(optional).lower()
        made["spec"]["template"]["metadata"] = {"labels": {"app": "twins"}}  # the same for all of them
        return made

    tests = [
        says("absent", "echo skipped none; echo 'result: skipped (there is none (yet))'", optional=True),
        says("there", "echo 'result: passed (1)'", optional=True),
        says("silent", "true", optional=True),
        says("unasked", "echo 'result: skipped (nothing to check)'"),
        says("noisy", "head -c 200000 /dev/zero | tr '\\0' x; printf '\\n\\377\\n'"),
        _pod("pod-good", "sh", "-c", "echo from a pod", cluster=bench.cluster),
        _pod("pod-bad", "sh", "-c", "echo no; exit 4", cluster=bench.cluster),
    ]
    ran = bench.run(plan(step(bench.release(bench.chart("smoke", *tests), smoke=True))))
    ends = {event.test: (event.verdict, event.reason) for event in ran.all(TestFinished)}
    assert ends.pop("silent")[0] is Verdict.SKIPPED
    assert ends == {
        "absent": (Verdict.SKIPPED, "there is none (yet)"),
        "there": (Verdict.PASSED, ""),
        "unasked": (Verdict.SKIPPED, "nothing to check"),
        "noisy": (Verdict.PASSED, ""),
        "pod-good": (Verdict.PASSED, ""),
        "pod-bad": (Verdict.FAILED, "container test exited with 4"),
    }
    printed = {test: [event.line for event in ran.all(TestOutput) if event.test == test] for test in ends}
    assert "".join(printed["noisy"]) == "x" * 200000 + "\\xff"
    assert (printed["pod-good"], printed["pod-bad"]) == (["from a pod"], ["no"])
    assert ran.after.releases[bench.id("smoke")].tested == "failed"


@pytest.mark.real
def test_passed_tests_are_repeated_when_their_inputs_change(bench: Bench) -> None:
    skips = job("skips", "test", "echo", "result: skipped (there is none)", cluster=bench.cluster)
    smoke = bench.release(bench.chart("smoke", skips, job("good", "test", "true", cluster=bench.cluster)), smoke=True)
    conf = replace(bench.release(bench.chart("conf", config_map("conf"))), layer="10-base")
    bench.run(plan(step(conf), step(smoke, conf)))
    same = [step(conf, action=Action.UNCHANGED, revision=1), step(smoke, conf, action=Action.UNCHANGED, revision=1)]
    ran = bench.run(plan(*same), retest=False)
    assert [(event.verdict, event.reason) for event in ran.all(TestFinished)] == [
        (Verdict.SKIPPED, "unchanged since they last passed")
    ]
    changed = step(conf, action=Action.UPGRADE, digest="e" * 40, revision=1)
    ran = bench.run(plan(changed, same[1]), retest=False)
    assert {event.test for event in ran.all(TestFinished)} == {"good", "skips"}
    # a run that was stopped between the change and the tests leaves the tests to the next one
    ran = bench.run(plan(replace(same[0], digest="f" * 40), same[1]), retest=False)
    assert {event.test for event in ran.all(TestFinished)} == {"good", "skips"}


@pytest.mark.real
def test_tests_that_helm_would_wait_for_until_the_end(bench: Bench) -> None:
    names = ("deleted", "short-lived", "refused")
    deleted, short, refused = (job(name, "test", "sleep", "1", cluster=bench.cluster) for name in names)
    deleted["spec"]["template"]["spec"] |= {"terminationGracePeriodSeconds": 0}
    deleted["spec"]["template"]["spec"]["containers"][0]["command"] = ["sleep", "100"]
    short["spec"]["ttlSecondsAfterFinished"] = 0
    refused["spec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    path = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/deleted"

    def delete() -> None:
        while not bench.cancel.wait(0.1):
            found = bench.kube.get(path)
            if found and found["status"].get("ready"):
                bench.kube.delete(path)
                return

    thread = Thread(target=delete)
    thread.start()
    smoke = bench.release(bench.chart("smoke", deleted, short, refused), smoke=True, timeout=600.0)
    try:
        ran = bench.run(plan(step(smoke)))
    finally:
        bench.cancel.set("the end")
        thread.join()
    ends = {event.test: event for event in ran.all(TestFinished)}
    assert (ends["deleted"].verdict, ends["deleted"].reason) == (Verdict.FAILED, "its Job was deleted while it ran")
    assert ends["short-lived"].verdict is Verdict.PASSED
    assert ends["refused"].verdict is Verdict.FAILED
    assert ends["refused"].reason.startswith("Job/refused: FailedCreate: ")
    assert 'serviceaccount "nobody" not found' in ends["refused"].reason


def test_only_so_many_helms_wait_at_once(bench: Bench) -> None:
    class Counting(Recorder):
        lock, now, most = Lock(), 0, 0

        def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
            with self.lock:
                self.now += command.argv[1] == "test"
                self.most = max(self.most, self.now)
            try:
                return super().run(command, on_output)
            finally:
                with self.lock:
                    self.now -= command.argv[1] == "test"

    releases = [
        bench.release(bench.chart(name, *(job(f"{name}{number}", "test", "true") for number in range(10))), smoke=True)
        for name in ("one", "two")
    ]
    runner = Counting(bench.cancel)
    ran = bench.run(plan(*(step(item) for item in releases)), runner=runner)
    assert [event.verdict for event in ran.all(TestFinished)] == [Verdict.SIMULATED] * 20
    assert 1 < runner.most <= AT_ONCE < 20


@pytest.mark.real
def test_deadlines_leave_out_the_pods_start_and_name_the_setting(bench: Bench) -> None:
    def limited(name: str, script: str, seconds: int = 8) -> dict[str, Any]:
        made = job(name, "test", "sh", "-c", script, cluster=bench.cluster)
        made["spec"]["activeDeadlineSeconds"] = seconds
        made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
        return made

    slow = limited("slow-start", "echo started")
    container = slow["spec"]["template"]["spec"]["containers"][0]
    slow["spec"]["template"]["spec"]["initContainers"] = [{**container, "name": "init", "command": ["sleep", "12"]}]
    tests = [
        limited("late", "echo begun; sleep 300"),
        limited("passed", "echo 'result: passed (1)'; sleep 300"),
        slow,
    ]
    smoke = bench.release(bench.chart("smoke", *tests), smoke=True, timeout=300.0)
    ran = bench.run(plan(step(smoke)))
    ends = {event.test: (event.verdict, event.reason, event.timed_out) for event in ran.all(TestFinished)}
    late = "not finished after 8 s; raise activeDeadlineSeconds of Job/late if it only needs more time"
    assert ends == {
        "late": (Verdict.FAILED, late, True),
        "passed": (Verdict.PASSED, "", False),
        "slow-start": (Verdict.PASSED, "", False),
    }
    assert ran.code is ExitCode.TIMEOUT


@pytest.mark.real
def test_a_script_that_does_not_end_in_time_names_its_check(bench: Bench) -> None:
    script = 'check "first" true\ncheck "it comes" wait_for 300 false\ncheck "never" true\n'
    values = {
        **bench.cluster.smoke_values,
        "jobs": [{"name": "slow", "script": script, "timeoutSeconds": 3}],
    }
    chart = ChartRef(name="platform/helm-test-jobs", path=CHARTS / "helm-test-jobs", version="0.1.0")
    ran = bench.run(plan(step(bench.release(chart, name="smoke", smoke=True))), values={"smoke": values})
    end = ran.one(TestFinished)
    assert end.reason == (
        'not finished after 3 s, during "it comes"; raise timeoutSeconds of the job slow if it only needs more time'
    )
    assert (end.verdict, end.timed_out, ran.code) == (Verdict.FAILED, True, ExitCode.TIMEOUT)
    assert end.details[-1].startswith("result: timed out (")


@pytest.mark.real
def test_a_log_that_kubelet_does_not_follow_is_read_at_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(kube: Kube, namespace: str, pod: Any, container: str, **query: str) -> Iterator[str]:
        for line in log_lines(kube, namespace, pod, container, **query):
            yield line
            if "follow" in query:  # as kubelet does at a limit of inotify: after what is there
                raise NotFollowed("kubelet cannot follow logs: too many open files", hint="raise the limit")

    monkeypatch.setattr(watch, "log_lines", cut)
    script = "echo one; sleep 2; echo two; echo 'result: skipped (there is none)'"
    test = job("says", "test", "sh", "-c", script, cluster=bench.cluster)
    ran = bench.run(plan(step(bench.release(bench.chart("smoke", test), smoke=True))))
    end = ran.one(TestFinished)
    assert (end.verdict, end.reason) == (Verdict.SKIPPED, "there is none")
    assert [event.line for event in ran.all(TestOutput)] == ["one", "two", "result: skipped (there is none)"]
    assert ran.one(Notice).message == "kubelet cannot follow logs: too many open files; raise the limit"
