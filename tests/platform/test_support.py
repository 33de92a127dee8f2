"""What tests of the platform see without a kubectl is what a kubectl would show."""

from __future__ import annotations

import pytest

from devtools.clusters.provider import Cluster
from tests.platform.support import Kubectl, Tool, fill

pytestmark = pytest.mark.cluster
ASKED = [
    (("node/simulated-0",), '{.status.conditions[?(@.type=="Ready")].status}={.status.allocatable.pods}'),
    (("node/simulated-0",), r"{.metadata.labels.kubernetes\.io/hostname} {.status.nothing.at.all}"),
    (("services", "-l", "component=apiserver"), "{.items[*].spec.ports[*].port} {.items[0].metadata.name}"),
    (("flowschema.flowcontrol.apiserver.k8s.io/exempt",), "{.kind} {.spec.matchingPrecedence} {.spec.rules[*].no}"),
    (("configmap/kube-root-ca.crt",), "{.immutable}{.kind}"),
    (("configmap/no-such",), "{.kind}"),
    (("nosuchkind/x",), "{.kind}"),
]


@pytest.mark.parametrize(
    ("words", "template"), ASKED, ids=lambda provided: str(provided[0]) if len(provided) < 5 else None
)
def test_a_look_shows_what_kubectl_shows(cluster: Cluster, tool: Tool, words: tuple[str, ...], template: str) -> None:
    kubectl = Kubectl.on(cluster, tool)
    shown = kubectl.run("get", *words, "-o", f"jsonpath={template}", "-n", "default").stdout
    assert kubectl.look(*words, template=template) == shown


def test_a_template_of_what_there_is_and_is_not() -> None:
    item = {"on": True, "n": 2, "of": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "text": "b"}
    assert fill('{.on} {.n}, {.of[?(@.k=="b")].v} {.of[*].k} {.of[5].k}{.text[0]}{.text.no}', item) == "true 2, 2 a b "
