"""A tunnel whose other side is gone; a real one is tried in tests/readiness/test_contracts.py."""

from __future__ import annotations

import pytest
from websocket import WebSocket

from devtools.kube.forward import Tunnel


def test_a_send_error_is_the_error_of_the_socket() -> None:
    """An HTTP client knows what to do with an OSError, and with no other."""
    with pytest.raises(ConnectionError, match="socket is already closed"):
        Tunnel(WebSocket()).sendall(b"GET / HTTP/1.1\r\n\r\n")
