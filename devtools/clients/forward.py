"""Port-forwards to pods, by the official SDK: the only client of that protocol here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devtools.clients.kube import ApiError
from devtools.clients.wire import sdk_client


@contextlib.contextmanager
def forward(kubeconfig: Path, context: str, namespace: str, pod: str, port: int) -> Iterator[Any]:
    """A socket to a pod's port; raises ApiError where the API server refuses, or nothing listens there.

    Each forward has a client of its own: the SDK swaps methods of the client while it connects, which two threads
    must not do at once.
    """
    from kubernetes import client, stream  # noqa: PLC0415 - a fifth of a second, rarely needed

    with sdk_client(kubeconfig, context) as own:
        api = client.CoreV1Api(own)
        try:
            link = stream.portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        except client.ApiException as error:
            raise ApiError(error.status or 0, "Error", _first_line(error.reason)) from error
        try:
            yield link.socket(port)
        except OSError as error:
            if said := link.error(port):  # the kubelet's reason says more than a closed socket
                raise ApiError(0, "Error", _first_line(said)) from error
            raise
        finally:
            link.close()


def _first_line(text: object) -> str:
    return (str(text).strip().splitlines() or ["no reason was given"])[0]
