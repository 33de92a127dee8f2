"""Contracts on a real API server: what lies behind an object, HTTP through a real port-forward, fresh looks."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from devtools.errors import ExitCode
from devtools.events import ContractChecked, StepFinished, Verdict
from devtools.kube.client import Kube
from devtools.model import Contract, HttpCheck, ObjectRef
from devtools.readiness.contracts import Contracts
from devtools.readiness.observer import FRESH, Observer
from devtools.readiness.wait import Wait
from devtools.report.run_state import RunState
from tests.kits.run import HERE, Bench, config_map, deployment, job, plan, step
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster
FAIL = "simulation.devtools.ameide.io/fail"


@pytest.fixture
def kube(bench: Bench) -> Kube:
    bench.kube.create("/api/v1/namespaces", {"metadata": {"name": bench.namespace}})
    return bench.kube


def _settle(bench: Bench, kube: Kube, contract: Contract, seconds: float) -> Any:
    contracts = Contracts(Observer(kube), simulated=True, real_node=bench.cluster.real_node)
    wait = Wait(deadline=time.monotonic() + seconds, say=lambda _: None, cancel=bench.cancel)
    return contracts.wait_for(contract, bench.namespace, wait)


def test_pods_that_cannot_heal_end_the_wait_for_their_object(bench: Bench, kube: Kube) -> None:
    # as an operator does it: the object owns a Deployment, whose ReplicaSet owns the pods
    root = f"/api/v1/namespaces/{bench.namespace}"
    owner = kube.create(f"{root}/configmaps", config_map("database", phase="starting"))
    made = deployment("database-nodes", **{FAIL: "image"})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "database", "uid": owner["metadata"]["uid"]}
    made["metadata"]["ownerReferences"] = [reference]
    kube.create(f"/apis/apps/v1/namespaces/{bench.namespace}/deployments", made)
    kube.create(f"/apis/apps/v1/namespaces/{bench.namespace}/deployments", deployment("other", **{FAIL: "crash"}))
    contract = Contract(where=HERE, kind="ConfigMap", name="database", jsonpath="{.data.phase}", equals="ready")
    checked = _settle(bench, kube, contract, 600)
    assert checked.verdict is Verdict.FAILED
    assert checked.reason.startswith("{.data.phase} is starting: Pod/database-nodes-")
    assert "ImagePullBackOff" in checked.reason
    assert any(line.startswith("event: ") for line in checked.details)


def test_what_its_operator_refuses_is_not_waited_for_to_the_end(bench: Bench, kube: Kube) -> None:
    item = config_map("gateway") | {
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Invalid", "message": "no listener"}]}
    }

    class Observed(Observer):
        def get(self, ref: ObjectRef) -> dict[str, Any]:
            return {**item, "metadata": {"name": ref.name}}

    contracts = Contracts(Observed(kube), simulated=False, real_node="", refused_for=0.3)
    wait = Wait(deadline=time.monotonic() + 600, say=lambda _: None, cancel=bench.cancel)
    started = time.monotonic()
    contract = Contract(where=HERE, kind="ConfigMap", name="gateway", condition="Ready")
    checked = contracts.wait_for(contract, bench.namespace, wait)
    assert 0.3 <= time.monotonic() - started < 300
    assert (checked.verdict, checked.reason) == (Verdict.FAILED, "Ready is False (Invalid: no listener)")


def test_broken_pods_of_the_previous_revision_do_not_count(bench: Bench, kube: Kube) -> None:
    path, observer = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments", Observer(kube)
    kube.create(path, deployment("web", **{FAIL: "image"}))
    old = eventually(lambda: observer.pods(bench.namespace))[0]["metadata"]["name"]
    kube.merge(f"{path}/web", {"spec": {"template": {"metadata": {"labels": {FAIL: "unready"}}}}})
    eventually(lambda: len(observer.pods(bench.namespace)) > 1)
    item = eventually(
        lambda: (
            (found := observer.get(ObjectRef("apps/v1", "Deployment", bench.namespace, "web")))
            and found["status"].get("observedGeneration") == 2
            and found
        )
    )
    assert item
    newest = eventually(lambda: observer.pods_of(item))
    assert [pod["metadata"]["labels"][FAIL] for pod in newest] == ["unready"]
    assert old in [pod["metadata"]["name"] for pod in observer.pods(bench.namespace)]  # and yet it is still there


def test_a_look_from_before_a_change_does_not_count_after_it(bench: Bench, kube: Kube) -> None:
    observer, path = Observer(kube), f"/api/v1/namespaces/{bench.namespace}/services"
    began = time.monotonic()
    observer.items("v1", "Service", bench.namespace)
    kube.create(path, {"metadata": {"name": "late"}, "spec": {"ports": [{"port": 80}]}})
    shared = observer.items("v1", "Service", bench.namespace)
    assert shared == [] or time.monotonic() - began > FRESH
    observer.renew()
    assert [item["metadata"]["name"] for item in observer.items("v1", "Service", bench.namespace)] == ["late"]


def test_pods_listed_before_their_object_prove_nothing(bench: Bench, kube: Kube) -> None:
    made = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments"

    class Slow(Kube):
        """The first list of pods takes until the Deployment, made meanwhile, is there: so it holds none of its pods."""

        late = True

        def items(self, path: str, **query: str) -> list[dict[str, Any]]:
            found = super().items(path, **query)
            if self.late and path.endswith("/pods"):
                self.late = False
                self.create(made, deployment("web"))
                eventually(lambda: (self.get(f"{made}/web") or {}).get("status", {}).get("availableReplicas"))
            return found

    slow = Slow(bench.cluster.kubeconfig, bench.cluster.context, bench.cancel)
    observer = Observer(slow)
    assert observer.pods(bench.namespace) == []
    contracts = Contracts(observer, simulated=True, real_node=bench.cluster.real_node)
    checked = contracts.check(Contract(where=HERE, kind="Deployment", name="web"), bench.namespace)
    assert (checked.verdict, checked.reason) == (Verdict.SIMULATED, "its pods are simulated")


def test_large_kinds_are_looked_at_one_by_one(bench: Bench, kube: Kube) -> None:
    asked: list[str] = []

    class Listening(Kube):
        def items(self, path: str, **query: str) -> list[dict[str, Any]]:
            asked.append(path)
            return super().items(path, **query)

    listening = Listening(bench.cluster.kubeconfig, bench.cluster.context, bench.cancel)
    kube.create(f"/api/v1/namespaces/{bench.namespace}/secrets", {"metadata": {"name": "s"}})
    observer = Observer(listening)
    assert observer.get(ObjectRef("v1", "Secret", bench.namespace, "s")) is not None
    assert observer.get(ObjectRef("v1", "Secret", bench.namespace, "none")) is None
    assert asked == []


@pytest.mark.real
def test_a_job_that_failed_ends_the_waiting_with_its_log(bench: Bench) -> None:
    migrate = job("migrate", "none", "sh", "-c", "echo no such table; exit 3", cluster=bench.cluster)
    del migrate["metadata"]["annotations"]
    item = bench.release(
        bench.chart("db", migrate),
        wait=False,
        contract=(Contract(where=HERE, kind="Job", name="migrate"),),
    )
    ran = bench.run(plan(step(item)))
    end = ran.one(StepFinished)
    assert ran.code is ExitCode.FAILED, "not a timeout"
    assert end.reason.startswith("contract Job/migrate: BackoffLimitExceeded")
    assert "container test: Failed: exit code 3" in end.reason
    assert "log test: no such table" in end.details


def _web(bench: Bench) -> dict[str, Any]:
    """A web server on the real node, and its Service."""
    made = deployment("web")
    pod = made["spec"]["template"]["spec"]
    serve = "mkdir /tmp/www; echo hello there > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    container = pod["containers"][0]
    container |= {"command": ["sh", "-c", serve], "ports": [{"name": "web", "containerPort": 8080}]}
    values = dict(bench.cluster.smoke_values)
    container |= {"image": values["image"], "imagePullPolicy": values.get("imagePullPolicy", "IfNotPresent")}
    pod |= {key: value for key, value in values.items() if key in {"nodeSelector", "tolerations", "dnsPolicy"}}
    pod["terminationGracePeriodSeconds"] = 0
    return made


@pytest.mark.real
def test_http_goes_through_a_port_forward_to_a_real_pod(bench: Bench) -> None:
    ports = [{"name": "web", "port": 80, "targetPort": "web"}, {"name": "none", "port": 81, "targetPort": 81}]
    spec = {"selector": {"app": "web"}, "ports": ports}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}

    def check(seconds: float = 2.0, **more: Any) -> Contract:
        port = more.pop("port", 80)
        return Contract(where=HERE, http=HttpCheck(service="web", port=port, **more), timeout=seconds)

    wanted = (
        check(120, contains="hello"),
        check(0.5, contains="goodbye"),
        check(0.5, path="/nothing"),
        check(0.5, port=81),
        check(0.5, port=82),
    )
    item = bench.release(bench.chart("web", _web(bench), service), contract=wanted)
    ran = bench.run(plan(step(item)))
    observed = [(event.verdict, event.value, event.reason) for event in ran.all(ContractChecked)]
    assert observed[0] == (Verdict.PASSED, "200", "")
    assert observed[1][:2] == (Verdict.FAILED, "200")
    assert re.fullmatch(r"Pod/web-\S+ answered 200 without 'goodbye'", observed[1][2])
    assert observed[2][:2] == (Verdict.FAILED, "404")
    assert re.fullmatch(r"Pod/web-\S+ answered 404", observed[2][2])
    assert observed[3][2].startswith("no answer: ")
    assert "81" in observed[3][2], "the kubelet's reason"
    assert observed[4][2] == "no answer: the Service has no port 82"


def _pod(bench: Bench, name: str, text: str) -> dict[str, Any]:
    """A pod on the real node that serves a text on port 8080."""
    spec = _web(bench)["spec"]["template"]["spec"]
    spec["containers"][0]["command"][-1] = spec["containers"][0]["command"][-1].replace("hello there", text)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "page"}},
        "spec": spec,
    }


@pytest.mark.real
def test_http_asks_every_ready_pod_as_a_service_would(bench: Bench, kube: Kube) -> None:
    root = f"/api/v1/namespaces/{bench.namespace}"
    ports = [{"port": 80, "targetPort": 8080}]
    page = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "page"}}
    kube.create(f"{root}/services", page | {"spec": {"selector": {"app": "page"}, "ports": ports}})
    contract = Contract(where=HERE, http=HttpCheck(service="page", port=80, contains="right"))
    assert _settle(bench, kube, contract, 0.1).reason == "Service/page selects app=page: no pod has that label"

    for name, text in (("one", "right"), ("two", "wrong")):
        kube.create(f"{root}/pods", _pod(bench, name, text))
    eventually(lambda: _ready(kube, f"{root}/pods") == {"one", "two"})
    started = time.monotonic()
    checked = _settle(bench, kube, contract, 900)
    assert (checked.verdict, checked.reason) == (Verdict.FAILED, "Pod/two answered 200 without 'right'")
    assert time.monotonic() - started < 450, "a stable wrong answer is not waited for to the end"

    # a pod that is ending is not asked any more, though it is still ready
    finalizers = {"metadata": {"finalizers": ["example.com/stay"]}}
    kube.merge(f"{root}/pods/two", finalizers)
    kube.delete(f"{root}/pods/two")
    assert _settle(bench, kube, contract, 120).verdict is Verdict.PASSED
    kube.merge(f"{root}/pods/two", {"metadata": {"finalizers": None}})


def _ready(kube: Kube, path: str) -> set[str]:
    """The names of pods that are ready."""
    return {
        pod["metadata"]["name"]
        for pod in kube.items(path)
        for entry in (pod.get("status") or {}).get("conditions") or ()
        if (entry["type"], entry["status"]) == ("Ready", "True")
    }


def test_pods_that_a_simulator_ran_are_counted(bench: Bench) -> None:
    made = deployment("nothing-ran")
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "does-not-exist:0"
    item = bench.release(bench.chart("nothing-ran", made))
    state = RunState()
    ran = bench.run(plan(step(item)))
    for event in ran.events:
        state.emit(event, 0.0)
    (finished,) = ran.all(StepFinished)
    assert finished.simulated_pods == 1
    assert state.result() == "simulated"
