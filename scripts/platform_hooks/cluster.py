"""What the hooks ask a cluster: a Secret, and whether a pod is only played."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from devtools.errors import EnvironmentFault
from devtools.kube.client import Kube
from devtools.kube.kubeconfig import read_credentials
from platform_hooks.vault import Address

FAKE_NODE = "kwok.x-k8s.io/node"


def secret(kube: Kube, namespace: str, name: str) -> dict[str, str] | None:
    """A Secret's values as text, without those that are none; None where there is no such Secret."""
    found = kube.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if found is None:
        return None
    values: dict[str, str] = {}
    for key, value in (found.get("data") or {}).items():
        with contextlib.suppress(UnicodeDecodeError):  # a keystore beside the passwords
            values[key] = base64.b64decode(value).decode()
    return values


def write_secret(kube: Kube, namespace: str, name: str, values: Mapping[str, str]) -> None:
    """Make a Secret, or give it these values."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "ameide"}},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }
    kube.apply(f"/api/v1/namespaces/{namespace}/secrets/{name}", body)


def is_simulated(kube: Kube, namespace: str, pod: str) -> bool:
    """Whether no kubelet runs the pod, so that nothing listens in it; EnvironmentFault where there is no such pod."""
    found = kube.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
    if found is None:
        raise EnvironmentFault(f"there is no pod {namespace}/{pod}", hint="invoke layer 15-secrets-certs makes it")
    node = (found.get("spec") or {}).get("nodeName", "")
    found_node = kube.get(f"/api/v1/nodes/{node}") if node else None
    return bool(found_node and (found_node["metadata"].get("annotations") or {}).get(FAKE_NODE) == "fake")


@contextmanager
def through_api_server(kubeconfig: Path, context: str, service: str) -> Iterator[Address]:
    """The address of a Service (`namespace/services/http:name:port`) by way of the API server's proxy.

    It needs no port of this machine. Certificates lie in a directory of ours alone for as long as that takes; raises
    EnvironmentFault where the user is known by a token: Vault's clients send none but Vault's own.
    """
    credentials = read_credentials(kubeconfig, context)
    if not credentials.certificate:
        raise EnvironmentFault(
            f"context {context} has no client certificate to reach Vault with",
            hint="forward Vault's port, then pass --address http://127.0.0.1:8200",
        )
    with TemporaryDirectory(prefix="devtools-hook-") as directory:
        files = {"certificate": credentials.certificate, "key": credentials.key, "authority": credentials.ca}
        paths = {name: Path(directory) / name for name in files}
        for name, content in files.items():
            paths[name].touch(mode=0o600)
            paths[name].write_bytes(content)
        yield Address(
            url=f"{credentials.server}/api/v1/namespaces/{service}/proxy",
            certificate=(str(paths["certificate"]), str(paths["key"])),
            authority=False if credentials.insecure else str(paths["authority"]) if credentials.ca else True,
        )
