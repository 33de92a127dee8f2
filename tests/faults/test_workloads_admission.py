"""Admission webhooks that refuse, or do not answer: on a control plane that asks them, as the embedded one does not."""

from __future__ import annotations

import json
import os
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from devtools.clusters.provider import Cluster
from devtools.errors import ExitCode
from devtools.events import Bus, Event, Notice, Outcome, StepFinished
from devtools.model import ObjectRef
from devtools.testing import RecordingSink
from tests.faults.workloads import Object
from tests.kits.ports import free_port
from tests.kits.run import Bench, config_map, deployment, plan, step
from tests.platform.control_plane import control_plane
from tests.platform.support import Tool

pytestmark = pytest.mark.cluster
GROUP = "admissionregistration.k8s.io/v1"
WEBHOOKS = "ValidatingWebhookConfiguration"


class Refusal(BaseHTTPRequestHandler):
    """Answers every review with `no`, but for what is called `good`."""

    def do_POST(self) -> None:
        """One review."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        good = asked.get("name") == "good"
        answer = {"uid": asked["uid"], "allowed": good, "status": {"message": "images must come from our registry"}}
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """It says nothing."""


class Starting(RecordingSink):
    """Calls `start` at the first notice."""

    def __init__(self, start: Callable[[], None]) -> None:
        super().__init__()
        self._start = start

    def emit(self, event: Event, at: float) -> None:
        """Keep the event."""
        if isinstance(event, Notice) and not any(isinstance(item, Notice) for item in self.events):
            self._start()
        super().emit(event, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A cluster whose API server asks webhooks, and its own certificate for one."""

    cluster: Cluster
    pki: Path

    @contextmanager
    def server(self, port: int) -> Iterator[None]:
        """A webhook on a port of this machine."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        with ThreadingHTTPServer(("127.0.0.1", port), Refusal) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()

    def registration(self, namespace: str, resource: str, port: int) -> Object:
        """What has the API server ask it about what is made in a namespace."""
        bundle = b64encode((self.pki / "ca.crt").read_bytes()).decode()
        group = "apps" if resource == "deployments" else ""
        rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}
        hook = {
            "name": f"{resource}.check.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 10,
            "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }
        return {"apiVersion": GROUP, "kind": WEBHOOKS, "metadata": {"name": namespace}, "webhooks": [hook]}


@pytest.fixture(scope="module")
def place(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests of this file."""
    home, name = tmp_path_factory.mktemp("webhooks"), f"webhooks-{os.getpid()}"
    with control_plane(name, home, tool, "--disable-kube-scheduler") as cluster:
        yield Place(cluster=cluster, pki=home / "kwok" / "clusters" / name / "pki")


@pytest.fixture
def asked(place: Place, tool: Callable[[str], Path], tmp_path: Path) -> Bench:
    """A namespace on it."""
    return Bench(cluster=place.cluster, helm=tool("helm"), namespace=f"a-{uuid4().hex[:6]}", root=tmp_path)


@pytest.fixture
def port() -> int:
    """One that nobody listens on."""
    return free_port()


def _register(bench: Bench, item: Object) -> None:
    bench.kube.create("/api/v1/namespaces", {"metadata": {"name": bench.namespace}})
    ref = ObjectRef(GROUP, WEBHOOKS, "", item["metadata"]["name"])
    bench.kube.apply(str(bench.kube.path_of(ref)), item)


def test_a_webhook_that_refuses_is_quoted_at_once(place: Place, asked: Bench, port: int) -> None:
    _register(asked, place.registration(asked.namespace, "configmaps", port))
    with place.server(port):
        ran = asked.run(plan(step(asked.release(asked.chart("conf", config_map("conf"))))))
    end = ran.one(StepFinished)
    assert ran.code is ExitCode.FAILED
    assert not [notice for notice in ran.all(Notice) if "trying again" in notice.message]
    assert 'admission webhook "configmaps.check.example.com" denied the request' in end.reason
    assert "images must come from our registry" in end.reason


def test_a_webhook_that_refuses_pods_is_quoted_during_the_wait(place: Place, asked: Bench, port: int) -> None:
    _register(asked, place.registration(asked.namespace, "pods", port))
    with place.server(port):
        ran = asked.run(plan(step(asked.release(asked.chart("web", deployment("web")), timeout=600.0))))
    end = ran.one(StepFinished)
    assert ran.code is ExitCode.FAILED  # and not TIMEOUT
    assert end.reason.startswith("Deployment/web: FailedCreate: admission webhook ")
    assert "images must come from our registry" in end.reason


def test_a_webhook_that_does_not_answer_is_named_after_a_while(place: Place, asked: Bench, port: int) -> None:
    _register(asked, place.registration(asked.namespace, "configmaps", port))
    behind = place.registration(asked.namespace, "secrets", port)
    behind["metadata"]["name"] += "-service"
    address = {"name": "hook", "namespace": asked.namespace}
    client = behind["webhooks"][0]["clientConfig"]
    behind["webhooks"][0]["clientConfig"] = {"service": address, "caBundle": client["caBundle"]}
    behind["webhooks"][0]["objectSelector"] = {"matchLabels": {"checked": "yes"}}  # not Helm's records
    asked.kube.apply(str(asked.kube.path_of(ObjectRef(GROUP, WEBHOOKS, "", behind["metadata"]["name"]))), behind)
    service = {"ports": [{"port": 443}], "selector": {"app": "hook"}}
    asked.kube.create(
        f"/api/v1/namespaces/{asked.namespace}/services",
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": service},
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"checked": "yes"}}}
    creds = asked.release(asked.chart("creds", secret), timeout=600.0)
    conf = asked.release(asked.chart("conf", config_map("conf")), timeout=600.0)
    other = asked.release(asked.chart("other", deployment("other")), wait=False)
    ran = asked.run(plan(step(conf), step(creds), step(other)))
    end = ran.one(StepFinished, release=str(conf.id))
    assert (ran.code, end.seconds > 15) == (ExitCode.FAILED, True)
    assert end.reason.startswith("admission webhook configmaps.check.example.com does not answer: ")
    assert "connection refused" in end.reason
    assert end.hint == "if another release serves it, declare that with `needs`"
    assert all(notice.message.endswith(": trying again for 20 s") for notice in ran.all(Notice))
    reason = ran.one(StepFinished, release=str(creds.id)).reason
    assert reason.startswith("admission webhook secrets.check.example.com does not answer: ")
    assert reason.endswith("; Service/hook selects app=hook: no pod has that label")
    assert ran.one(StepFinished, release=str(other.id)).outcome is Outcome.INSTALLED


def test_a_webhook_that_answers_a_moment_later_is_waited_for(place: Place, asked: Bench, port: int) -> None:
    _register(asked, place.registration(asked.namespace, "configmaps", port))
    with ExitStack() as servers:
        sink = Starting(lambda: servers.enter_context(place.server(port)))
        bus = Bus((sink,), time.time)
        ran = asked.run(plan(step(asked.release(asked.chart("conf", config_map("good"))))), bus=bus)
    ran = replace(ran, events=sink.events)
    assert ran.code is ExitCode.OK
    assert ran.one(StepFinished).outcome is Outcome.INSTALLED
    assert ran.one(Notice).message.endswith(": trying again for 20 s")
