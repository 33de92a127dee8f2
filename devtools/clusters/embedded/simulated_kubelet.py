"""Answers for the kubelets of simulated nodes: logs state that no container runs, other requests fail with that text.

A separate program that needs only Python: `simulated_kubelet.py PORT DIRECTORY-OF-KEYS`. It serves on 127.0.0.1 and
requires a client certificate of the cluster, because kwok's own server would answer every user of the machine.
"""

from __future__ import annotations

import json
import ssl
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TEXT = "This pod is simulated: no container runs"
STATUS = {
    "apiVersion": "v1",
    "kind": "Status",
    "status": "Failure",
    "reason": "NotFound",
    "code": HTTPStatus.NOT_FOUND,
    "message": f"{TEXT}.",
}


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0  # seconds for a handshake and a request

    def do_GET(self) -> None:
        """Answer a request for logs with a sentence; refuse every other request, which would need a container."""
        if self.path.startswith("/containerLogs/"):
            self._answer(HTTPStatus.OK, "text/plain", f"{TEXT}, so it has no log.\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "application/json", json.dumps(STATUS))

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Log nothing, because any client could fill the disk."""

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """Perform handshakes in a request's own thread, so that a silent client does not block others."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect, or that have no certificate."""


def serve(port: int, pki: Path) -> None:
    """Serve until the process is terminated."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pki / "kubelet.crt", pki / "kubelet.key")
    server = _Server(("127.0.0.1", port), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
