"""The API client against the real API server, and against one that goes away."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from devtools.clusters.provider import Cluster
from devtools.errors import EnvironmentFault
from devtools.kube.client import ApiError, Kube
from devtools.kube.kubeconfig import read_credentials
from devtools.process.runner import Cancel
from tests.kits.run import Bench
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster


def test_kinds_are_found_by_name_core_first(bench: Bench) -> None:
    kube = bench.kube
    event, deployment = kube.resource("Event"), kube.resource("Deployment")
    assert event is not None
    assert event.api_version == "v1"
    assert deployment is not None
    assert deployment.path("ns", "web") == "/apis/apps/v1/namespaces/ns/deployments/web"
    node = kube.resource("Node")
    assert node is not None
    assert node.path("ns", "n") == "/api/v1/nodes/n"
    assert kube.resource("Nonsense") is None


def test_lists_come_in_pages_and_as_metadata_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtools.kube.client.PAGE", 2)
    kube, path = bench.kube, f"/api/v1/namespaces/{bench.namespace}/configmaps"
    kube.create("/api/v1/namespaces", {"metadata": {"name": bench.namespace}})
    for number in range(5):
        kube.create(path, {"metadata": {"name": f"c{number}"}, "data": {"a": "b"}})
    names = {item["metadata"]["name"] for item in kube.items(path)}
    assert {f"c{number}" for number in range(5)} <= names
    assert {item["name"] for item in kube.metadata(path)} == names


def test_a_refusal_has_the_servers_reason(bench: Bench) -> None:
    with pytest.raises(ApiError, match="422 Invalid") as caught:
        bench.kube.create("/api/v1/namespaces", {"metadata": {"name": "Not A Name"}})
    assert caught.value.reason == "Invalid"
    assert bench.kube.get("/api/v1/namespaces/nothing") is None
    assert bench.kube.delete("/api/v1/namespaces/nothing") is False
    assert bench.kube.items("/apis/no.such.group/v1/things") == []


CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "spec": {
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def test_a_kind_that_came_later_is_found(bench: Bench) -> None:
    kube, group = bench.kube, f"{bench.namespace[-6:]}.example.com"
    kind = f"Late{bench.namespace[-6:]}"
    assert kube.resource(kind) is None
    names = {"kind": kind, "plural": kind.lower() + "s", "singular": kind.lower()}
    crd = {
        **CRD,
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {**CRD["spec"], "group": group, "names": names},
    }
    bench.kube.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    try:
        eventually(lambda: kube.resource(kind))
    finally:
        kube.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names['plural']}.{group}")


def test_a_plugins_token_says_who_we_are(bench: Bench, tmp_path: Path) -> None:
    bench.kube.create("/api/v1/namespaces", {"metadata": {"name": bench.namespace}})
    account = f"/api/v1/namespaces/{bench.namespace}/serviceaccounts"
    bench.kube.create(account, {"metadata": {"name": "robot"}})
    token = bench.kube.create(f"{account}/robot/token", {"spec": {}})["status"]["token"]
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token},
    }
    (tmp_path / "credential.json").write_text(json.dumps(credential))
    document = yaml.load(bench.cluster.kubeconfig.read_text(), yaml.CSafeLoader)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "cat",
        "args": [str(tmp_path / "credential.json")],
        "interactiveMode": "Never",
    }
    for user in document["users"]:
        user["user"] = {"exec": plugin}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    kube = Kube(tmp_path / "kubeconfig", bench.cluster.context, Cancel(), known=True)
    assert kube.version().startswith("v1.")
    with pytest.raises(ApiError, match=f"system:serviceaccount:{bench.namespace}:robot"):
        kube.metadata("/api/v1/secrets")


def test_a_certificate_that_does_not_check_out_is_not_waited_for(bench: Bench, tmp_path: Path) -> None:
    document = yaml.load(bench.cluster.kubeconfig.read_text(), yaml.CSafeLoader)
    for cluster in document["clusters"]:
        cluster["cluster"].pop("certificate-authority-data", None)
        cluster["cluster"].pop("certificate-authority", None)
    for entry in document["users"]:
        for key in ("client-certificate", "client-key"):
            if key in entry["user"]:
                entry["user"][key] = str(bench.cluster.kubeconfig.parent / entry["user"][key])
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    with pytest.raises(EnvironmentFault, match="its certificate is not trusted: "):
        Kube(tmp_path / "kubeconfig", bench.cluster.context, Cancel()).version()


class Door:
    """A TCP proxy in front of the API server that can be shut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.open = True
        self.hangs = False  # whether what comes is held back, and nobody thrown out
        self._links: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                continue
            upstream = socket.create_connection(("127.0.0.1", self._target))
            self._links += [client, upstream]
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                while self.hangs:
                    time.sleep(0.05)
                target.sendall(data)
        except OSError:
            pass
        finally:
            source.close()
            target.close()

    def shut(self) -> None:
        """Let nobody in any more, and throw out who is in."""
        self.open = False
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        self._server.close()


@pytest.fixture
def door(cluster: Cluster) -> Iterator[Door]:
    port = urlsplit(read_credentials(cluster.kubeconfig, cluster.context).server).port
    assert port is not None
    made = Door(port)
    yield made
    made.close()


def _through(door: Door, cluster: Cluster, tmp_path: Path, retry_for: float) -> Kube:
    server = read_credentials(cluster.kubeconfig, cluster.context).server
    text = cluster.kubeconfig.read_text().replace(server, f"https://127.0.0.1:{door.port}")
    (tmp_path / "kubeconfig").write_text(text)
    return Kube(tmp_path / "kubeconfig", cluster.context, Cancel(), retry_for=retry_for)


def test_a_server_that_comes_back_is_waited_for(door: Door, cluster: Cluster, tmp_path: Path) -> None:
    kube = _through(door, cluster, tmp_path, retry_for=10.0)
    door.open = False
    threading.Timer(0.7, lambda: setattr(door, "open", True)).start()
    assert kube.version().startswith("v1.")


def test_a_server_that_stays_away_is_one_clear_error(door: Door, cluster: Cluster, tmp_path: Path) -> None:
    door.open = False
    with pytest.raises(EnvironmentFault, match=r"the API server at https://127.0.0.1:\d+ does not answer") as caught:
        _through(door, cluster, tmp_path, retry_for=0.5).version()
    assert caught.value.hint == "invoke cluster.status"
