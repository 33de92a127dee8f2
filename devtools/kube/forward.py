"""Port-forwards to pods, over the WebSocket of the official SDK.

The SDK's own `portforward` runs a thread per forward and leaves its sockets open; one request at a time needs neither.
Protocol: https://github.com/kubernetes/kubernetes/blob/v1.34.0/staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go:
each message begins with its channel, 0 for data and 1 for errors; the first one of a channel holds the port's number.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devtools.kube.api_errors import ApiError
from devtools.kube.sdk import sdk_client

DATA, ERROR = 0, 1
TIMEOUT = 10.0  # seconds for each step


@contextlib.contextmanager
def forward(kubeconfig: Path, context: str, namespace: str, pod: str, port: int) -> Iterator[Tunnel]:
    """Yield a link to a pod's port; raise ApiError if the API server refuses or nothing listens there."""
    from kubernetes.client import ApiException
    from kubernetes.stream import ws_client
    from websocket import WebSocketException

    with sdk_client(kubeconfig, context) as sdk:
        configuration = sdk.configuration
        url = f"{configuration.host.rstrip('/')}/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        token = (configuration.auth_settings().get("BearerToken") or {}).get("value")
        headers = {"sec-websocket-protocol": "v4.channel.k8s.io", **({"authorization": token} if token else {})}
        try:
            target = ws_client.get_websocket_url(url, [("ports", str(port))])  # type: ignore[no-untyped-call]
            link = ws_client.create_websocket(configuration, target, headers)  # type: ignore[no-untyped-call]
        except (WebSocketException, ApiException, OSError) as error:
            raise ApiError(getattr(error, "status_code", None) or 0, "Error", _first_line(error)) from error
        link.settimeout(TIMEOUT)
        try:
            yield Tunnel(link)
        finally:
            link.shutdown()


class Tunnel:
    """The part of a socket's interface that an HTTP client needs."""

    def __init__(self, link: Any) -> None:
        self._link = link

    def sendall(self, data: bytes) -> None:
        """Send all data; raise ConnectionError if the peer is gone or does not accept it."""
        from websocket import WebSocketException

        try:
            self._link.send_binary(bytes((DATA,)) + data)
        except WebSocketException as error:
            raise ConnectionError(_first_line(error)) from error

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        """Return the received data as a file."""
        return io.BufferedReader(_Incoming(self._link))

    def close(self) -> None:
        """Do nothing: an HTTP client closes its socket before it has read the answer; `forward` closes the link."""


class _Incoming(io.RawIOBase):
    """The received data without its channels."""

    def __init__(self, link: Any) -> None:
        super().__init__()
        self._link = link
        self._left = b""
        self._begun: set[int] = set()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some received data; 0 at its end. Raises ApiError with the kubelet's reason if it reports one."""
        while not self._left:
            message = self._message()
            if message is None:
                return 0
            channel, data = message[0], message[1:]
            if channel not in self._begun:
                self._begun.add(channel)  # only the port's number
            elif channel == ERROR:
                raise ApiError(0, "Error", _first_line(data.decode("utf-8", "replace")))
            else:
                self._left = data
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def _message(self) -> bytes | None:
        """Return the next message; None if the peer has closed."""
        from websocket import (
            ABNF,
            WebSocketConnectionClosedException,
            WebSocketException,
            WebSocketTimeoutException,
        )

        try:
            while True:
                opcode, data = self._link.recv_data()
                if opcode == ABNF.OPCODE_CLOSE:
                    return None
                if opcode == ABNF.OPCODE_BINARY and data:
                    return bytes(data)
        except WebSocketConnectionClosedException:
            return None
        except WebSocketTimeoutException as error:
            raise TimeoutError("nothing received") from error
        except WebSocketException as error:
            raise ConnectionError(_first_line(error)) from error


def _first_line(text: object) -> str:
    return (str(text).strip().splitlines() or ["no reason reported"])[0]
