"""A repository with a protobuf module, and a registry on loopback.

The registry speaks as much of Connect (https://connectrpc.com/docs/protocol/) and of buf's registry API
(https://buf.build/bufbuild/registry, buf/registry/module/v1) as a push of buf 1.75 needs.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from devtools.app.exit_codes import Verb
from tests.kits.verbs import Done, call

ROOT = Path(__file__).parents[2]
CANARY = "canary-f00d-2718281828"
COMMIT = "0123456789abcdef" * 2
HTTP = {"unauthenticated": 401, "permission_denied": 403, "not_found": 404, "unavailable": 503, "internal": 500}


@dataclass(kw_only=True)
class Repo:
    """A copy of this repository's proto/ in a checkout of its own."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, tmp: Path) -> Repo:
        root = tmp / "repo"
        (root / "layers").mkdir(parents=True)
        (root / "layers/.keep").touch()  # git keeps no empty directory
        shutil.copytree(ROOT / "proto", root / "proto")
        (tmp / "home").mkdir()
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp / "home"), "DEVTOOLS_CACHE": str(tmp / "cache")}
        return cls(root=root, environ=environ)

    @property
    def proto(self) -> Path:
        return self.root / "proto/ameide/core/v1/run_summary.proto"

    @property
    def state(self) -> Path:
        return self.root / ".devtools/proto.json"

    def edit(self, old: str, new: str) -> None:
        text = self.proto.read_text("utf-8")
        assert old in text
        self.proto.write_text(text.replace(old, new), "utf-8")

    def run(self, verb: Verb, output: str = "text", **environ: str) -> Done:
        return call(verb, output, environ={**self.environ, **environ}, cwd=self.root)

    def git(self, *words: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *words], cwd=self.root, check=True, capture_output=True, env=self.environ)

    def commit_all(self, message: str = "x") -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def use_registry(self, port: int) -> None:
        """Name the module after a registry on loopback, to which buf may speak without TLS."""
        path = self.root / "proto/buf.yaml"
        path.write_text(path.read_text("utf-8").replace("buf.build/", f"127.0.0.1:{port}/"), "utf-8")
        config = self.root.parent / "bufconfig"
        config.mkdir()
        (config / "config.yaml").write_text('version: v1\ntls:\n  use: "false"\n')
        self.environ["BUF_CONFIG_DIR"] = str(config)

    def fake_buf(self, body: str) -> Path:
        """Put a program before the real buf: it notes its arguments and its token's length, then does `body`."""
        directory = self.root.parent / "fake"
        directory.mkdir(exist_ok=True)
        calls = directory / "calls"
        path = directory / "buf"
        path.write_text(
            "#!/bin/sh\n"
            'if [ "$1" = --version ]; then echo 1.99.0; exit 0; fi\n'
            f'echo "$* token=${{#BUF_TOKEN}}" >> {calls}\n'
            f'[ "$1" = push ] || exit 0\n{body}\n'
        )
        path.chmod(0o755)
        self.environ["PATH"] = f"{directory}:{self.environ['PATH']}"
        return calls

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Everything that was written by a run: the checkout, the home and the cache."""
        for path in self.root.parent.rglob("*"):
            if path.is_file():
                yield path, path.read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    method: str
    authorization: str
    size: int  # bytes of the request


@contextlib.contextmanager
def registry(answer: str, calls: list[Call]) -> Iterator[int]:
    """A server that takes every push (`ok`), or answers every call with that Connect error; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = len(self.rfile.read(int(self.headers.get("content-length") or 0)))
            method = self.path.rpartition("/")[2]
            calls.append(Call(method=method, authorization=self.headers.get("authorization") or "", size=size))
            if answer == "ok":
                self.reply(200, "application/proto", _ANSWERS[method])
            else:
                body = json.dumps({"code": answer, "message": f"says {answer}"}).encode()
                self.reply(HTTP[answer], "application/json", body)

        def reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _bytes(number: int, value: bytes) -> bytes:
    """A protobuf field of bytes, a string or a message; shorter than 2**14."""
    size = bytes([len(value) & 127 | 128, len(value) >> 7]) if len(value) > 127 else bytes([len(value)])
    return bytes([number << 3 | 2]) + size + value


def _number(number: int, value: int) -> bytes:
    """A protobuf field of a number below 128."""
    return bytes([number << 3, value])


_ID = COMMIT.encode()
_MODULE = _bytes(1, _ID) + _bytes(4, b"ameide") + _bytes(5, _ID) + _number(6, 1) + _number(7, 1) + _bytes(10, b"main")
_DIGEST = _number(1, 1) + _bytes(2, b"x" * 64)  # B5
_COMMIT = _bytes(1, _ID) + _bytes(2, _number(1, 1)) + _bytes(3, _ID) + _bytes(4, _ID) + _bytes(5, _DIGEST)
_ANSWERS = {"GetModules": _bytes(1, _MODULE), "Upload": _bytes(1, _COMMIT)}
