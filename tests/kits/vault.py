"""A double of Vault's KV v2 engine over HTTP, as its API documentation has it: versions, check-and-set, refusals.

https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "s.the-right-one"
DELETED = "2026-01-01T00:00:00Z"


@dataclass(slots=True)
class Engine:
    """What the double holds and how it behaves; `rival` writes between a read and the write that follows it."""

    secrets: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)  # versions; None is a deleted one
    mount: str = "secret"
    sealed: bool = False
    broken: bool = False
    denied: frozenset[str] = frozenset()
    rival: Callable[[Engine, str], None] | None = None
    writes: list[str] = field(default_factory=list)

    def put(self, path: str, data: dict[str, Any] | None) -> None:
        """A new version."""
        self.secrets.setdefault(path, []).append(data)

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of one request."""
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if self.broken:
            return 500, {"errors": ["1 error occurred:\n\t* internal error"]}
        prefix = f"/v1/{self.mount}/data/"
        if not path.startswith(prefix):
            return 404, {"errors": [f'no handler for route "{path.removeprefix("/v1/")}". route entry not found.']}
        name = path.removeprefix(prefix)
        if token != TOKEN or name in self.denied:
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        return self._read(name) if method == "GET" else self._write(name, body)

    def _read(self, name: str) -> tuple[int, Any]:
        versions = self.secrets.get(name)
        if not versions:
            return 404, {"errors": []}
        newest = versions[-1]
        metadata = {"version": len(versions), "destroyed": False, "deletion_time": "" if newest else DELETED}
        answer = {"data": {"data": newest, "metadata": metadata}}
        if self.rival:
            self.rival(self, name)
        return (200 if newest is not None else 404), answer

    def _write(self, name: str, body: Any) -> tuple[int, Any]:
        versions = self.secrets.get(name, [])
        if body["options"]["cas"] != len(versions):
            return 400, {"errors": ["check-and-set parameter did not match the current version"]}
        self.put(name, body["data"])
        self.writes.append(name)
        return 200, {"data": {"version": len(versions) + 1, "destroyed": False, "deletion_time": ""}}


@contextmanager
def served(engine: Engine) -> Iterator[str]:
    """The double on a free port of loopback; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.partition("?")[0]
            status, answer = engine.answer(self.command, path, self.headers.get("X-Vault-Token", ""), body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Tests say what they saw."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
