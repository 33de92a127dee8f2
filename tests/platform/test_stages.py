"""Stages that play the operators: every kind gets its status, can be told to fail, and recovers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from devtools.clusters.embedded import simulation
from tests.platform.support import HERE, ROOT, Kubectl, load

pytestmark = pytest.mark.cluster
FAIL = "simulation.devtools.ameide.io/fail"
CASES = load(HERE / "cases" / "stages.yaml")
SOON = 120.0  # seconds; it takes one
OF_THE_CLUSTER = ("ClusterSecretStore", "ClusterIssuer", "GatewayClass")  # kinds without a namespace
COLLECTED = 180.0  # seconds; the garbage collector learns of new kinds every thirty


def eventually(look: Callable[[], Any], wanted: Any, seconds: float = SOON) -> None:
    """What is seen becomes what is wanted, soon."""
    deadline = time.monotonic() + seconds
    while (observed := look()) != wanted:
        assert time.monotonic() < deadline, f"{observed!r} is not {wanted!r}"
        time.sleep(0.1)


def _namespace(kubectl: Kubectl) -> Iterator[str]:
    name = f"stages-{uuid4().hex[:6]}"
    kubectl.kube().create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    kubectl.kube().delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(slice_of_local: Kubectl) -> Iterator[str]:
    yield from _namespace(slice_of_local)


@pytest.fixture(scope="module")
def shared(slice_of_local: Kubectl) -> Iterator[str]:
    """A namespace of all kinds: deleting one looks for objects of each kind that is served."""
    yield from _namespace(slice_of_local)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["object"]["kind"])
def test_answers(case: dict[str, Any], slice_of_local: Kubectl, shared: str) -> None:
    kubectl, kube = slice_of_local, slice_of_local.kube()
    singular = case["object"]["kind"].lower()
    plural = singular + ("es" if singular.endswith("s") else "s")
    kind = f"{plural}.{case['object']['apiVersion'].partition('/')[0]}"
    name = f"{shared}-{singular}"
    resource = kube.resource(case["object"]["kind"], case["object"]["apiVersion"])
    assert resource
    path = resource.path(shared, name)

    def ask(question: dict[str, str]) -> Callable[[], str]:
        about = question.get("about", f"{kind}/{name}").replace("NAME", name)
        return lambda: kubectl.look(about, template=question["path"], namespace=shared)

    kubectl.put({**case["object"], "metadata": {"name": name}}, shared)
    for question in case["good"]:
        eventually(ask(question), question["is"].replace("NAME", name))
    kube.merge(path, {"metadata": {"labels": {FAIL: "by-request"}}})
    for question in case["failed"]:
        eventually(ask(question), question["is"])
    kube.merge(path, {"metadata": {"labels": {FAIL: None}}})
    for question in case["good"]:
        eventually(ask(question), question["is"].replace("NAME", name))
    kube.merge(path, json.loads(case["change"]["patch"]))
    for question in case["change"]["then"]:
        eventually(ask(question), question["is"])
    assert kube.delete(path)
    for gone in case.get("gone", []):
        what = gone.replace("NAME", name)
        eventually(lambda what=what: kubectl.look(what, template="{.kind}", namespace=shared), "", COLLECTED)  # type: ignore[misc]


def test_it_is_quiet_when_nothing_changes(slice_of_local: Kubectl, namespace: str) -> None:
    """A Stage that matches its own answer would write for ever."""
    kubectl = slice_of_local
    made = [case["object"] for case in CASES if case["object"]["kind"] not in OF_THE_CLUSTER]
    kubectl.apply(*({**item, "metadata": {"name": "x"}} for item in made), namespace=namespace)
    kinds = [f"{item['kind']}.{item['apiVersion'].partition('/')[0]}" for item in made]
    path = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}"
    words = ("get", ",".join(["pods", *kinds]), "-n", namespace, "-o")
    ready = ("get", "certificate/x", "-n", namespace, "-o", "jsonpath={.status.conditions[*].status}")
    eventually(lambda: kubectl(*ready), "True")
    assert kubectl(*words, path).count("\n") >= len(kinds)

    def is_quiet() -> bool:
        before = kubectl(*words, path)
        time.sleep(2)
        return kubectl(*words, path) == before

    eventually(is_quiet, wanted=True)


def declare(kubectl: Kubectl, *more: Path) -> None:
    """Apply what `up` would, had the repository's simulation these files, too."""
    stack = simulation.stack_objects([*sorted((ROOT / "simulation").glob("*.yaml")), *more])
    kinds, state = simulation.custom_kinds(stack), kubectl.kubeconfig.parent
    port = kubectl.get("node", "simulated-0")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    base = simulation.base_objects(state / "volumes", port, kinds)
    simulation.apply(kubectl.kube(), (*base, *simulation.policies(), *stack))


def test_a_kind_that_comes_later_in_a_known_group_is_played(slice_of_local: Kubectl, tmp_path: Path) -> None:
    """Operators bring their CRDs long after the Stages; kwok would not look again by itself."""
    kubectl = slice_of_local
    crd = kubectl.get("crd", "kafkatopics.kafka.strimzi.io")
    names = {"plural": "laters", "singular": "later", "kind": "Later", "listKind": "LaterList"}
    stage = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "later"},
        "spec": {
            "resourceRef": {"apiGroup": "kafka.strimzi.io/v1", "kind": "Later"},
            "selector": {"matchExpressions": [{"jq": {"key": ".status.seen", "operator": "DoesNotExist"}}]},
            "steps": [
                {"patch": {"subresource": "status", "root": "status", "type": "merge", "template": "seen: yes!"}}
            ],
        },
    }
    file = tmp_path / "later.yaml"
    file.write_text(json.dumps(stage))  # JSON is YAML
    declare(kubectl, file)
    time.sleep(1)
    kubectl.apply(
        {
            "apiVersion": crd["apiVersion"],
            "kind": crd["kind"],
            "metadata": {"name": "laters.kafka.strimzi.io"},
            "spec": {**crd["spec"], "names": names},
        }
    )
    kubectl("wait", "--for=condition=Established", "crd/laters.kafka.strimzi.io", "--timeout=240s")
    eventually(lambda: kubectl.run("get", "laters.kafka.strimzi.io").ok, True)
    kubectl.apply({"apiVersion": "kafka.strimzi.io/v1", "kind": "Later", "metadata": {"name": "x"}, "spec": {}})
    eventually(lambda: kubectl("get", "laters.kafka.strimzi.io/x", "-o", "jsonpath={.status.seen}"), "yes!")
    kubectl("delete", "crd/laters.kafka.strimzi.io")
    declare(kubectl)
    assert not kubectl.run("get", "stage/later").ok
