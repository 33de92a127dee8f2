"""Real Git repositories over TLS on loopback, by git's own HTTP backend."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class _Git(BaseHTTPRequestHandler):
    root: ClassVar[Path]
    password: ClassVar[str] = ""  # of user `ci`; empty: nobody needs one
    elsewhere: ClassVar[str] = ""  # URL of another server, to which this one refers
    received: ClassVar[list[str]]  # the credentials that came with requests

    def do_GET(self) -> None:
        self.received.append(self.headers.get("Authorization", ""))
        if self.elsewhere:
            self._answer(302, {"Location": f"{self.elsewhere}{self.path}"})
        elif self.password and self.headers.get("Authorization") != self._expected():
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'})
        else:
            self._serve()

    do_POST = do_GET  # noqa: N815 - the base class's name

    def _expected(self) -> str:
        return "Basic " + base64.b64encode(f"ci:{self.password}".encode()).decode()

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if b": " in line)
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def git_server(
    root: Path, certificate: Path, password: str = "", elsewhere: str = "", received: list[str] | None = None
) -> Iterator[str]:
    """Repositories below a directory over TLS; the URL. With a password, to user `ci` only."""
    keys = {"root": root, "password": password, "elsewhere": elsewhere}
    handler = type("Handler", (_Git,), {**keys, "received": [] if received is None else received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
