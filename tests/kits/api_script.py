"""An HTTP server that answers as told: what a real API server does too seldom to wait for it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from devtools.kube.client import Kube
from devtools.process.runner import Cancel

KUBECONFIG = """\
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: u, user: {{}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """One answer; `lost` closes the connection instead, `waits` seconds come first, `chunks` are streamed."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    waits: float = 0.0
    chunks: tuple[bytes, ...] = ()


def refusal(status: int, reason: str) -> Say:
    return Say(status=status, body={"kind": "Status", "reason": reason, "message": f"it is {reason}"})


class Script:
    """What is answered to each `METHOD /path`, in order, the last answer again and again."""

    def __init__(self, **answers: Say | list[Say]) -> None:
        self.answers: dict[str, list[Say]] = {}
        self.asked: list[str] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

    def on(self, what: str, *answers: Say) -> Script:
        self.answers[what] = list(answers)
        return self

    def next(self, what: str) -> Say:
        with self.lock:
            self.asked.append(what)
            left = self.answers[what.partition("?")[0]]
            return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def served(script: Script, tmp_path: Path, **kube: Any) -> Iterator[Kube]:
    """A client of a server that follows the script."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            script.connections += 1
            super().setup()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            say = script.next(f"{self.command} {self.path}")
            script.over.wait(say.waits)
            if say.lost:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(say.status)
            data = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
            for key, value in say.headers.items():
                self.send_header(key, value)
            if say.chunks:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for chunk in say.chunks:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.close_connection = True  # without the last chunk: cut off
                return
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # who asked may have hung up
                self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the base class's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.format(port=server.server_address[1]))
    try:
        yield Kube(path, "c", kube.pop("cancel", Cancel()), **kube)
    finally:
        script.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
