"""Charts packed here, and what serves them: a chart repository on loopback, a real OCI registry."""

from __future__ import annotations

import base64
import functools
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from devtools.helm.commands import BRIEF
from devtools.process.runner import Cancel, Command, Result, SubprocessRunner
from tests.kits.ports import free_port
from tests.kits.stack import write
from tests.kits.waiting import eventually

REGISTRY = "docker-registry"  # Debian's package, and its program
BCRYPT = "$2b$05$abcdefghijklmnopqrstuu9Avu/WgbsK7g7xfCY1X3pdjsTgxqQLS"  # of s3cr3t
# What helm made of the same files: some tests begin with the same charts.
_MADE: dict[tuple[str, ...], tuple[str, bytes]] = {}


def _contents(directory: Path, pattern: str = "*") -> Iterator[str]:
    """Yield the names and contents of all files, links as where they lead."""
    for path in sorted(directory.rglob(pattern)):
        yield f"{path.relative_to(directory)} {path.is_symlink() and path.readlink()}"
        yield sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packer:
    """The real helm with a home of its own."""

    helm: Path
    home: Path

    def run(self, *words: str | Path, stdin: str = "", env: Mapping[str, str] | None = None) -> Result:
        base = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), **BRIEF}
        command = Command(argv=tuple(map(str, words)), stdin=stdin.encode(), timeout=300, env=env or {})
        result = SubprocessRunner(base, Cancel()).run(command)
        assert result.ok, result.stderr
        return result

    def chart(self, name: str, version: str = "1.0.0", **more: Any) -> Path:
        """A chart directory with one ConfigMap."""
        meta = yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version, **more})
        config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"
        files: dict[str, str | bytes] = {"Chart.yaml": meta, "templates/a.yaml": config}
        return write(self.home / "sources" / f"{name}-{version}" / name, files)

    def pack(self, chart: Path, into: Path, *words: str) -> Path:
        """Pack a chart; the same files are packed once."""
        into.mkdir(parents=True, exist_ok=True)
        key = ("package", *words, *_contents(chart))
        if key not in _MADE:
            done = self.run(self.helm, "package", chart, "--destination", into, *words)
            path = Path(done.stdout.strip().splitlines()[-1].rpartition(": ")[2])
            _MADE[key] = path.name, path.read_bytes()
        name, content = _MADE[key]
        (into / name).write_bytes(content)
        return into / name

    def index(self, directory: Path) -> None:
        """Index the archives of a directory; the same ones are indexed once."""
        key = ("index", *_contents(directory, "*.tgz"))
        if key not in _MADE:
            self.run(self.helm, "repo", "index", directory)
            _MADE[key] = "index.yaml", (directory / "index.yaml").read_bytes()
        name, content = _MADE[key]
        (directory / name).write_bytes(content)


class _Quiet(SimpleHTTPRequestHandler):
    password = ""  # of user `ci`; empty: nobody needs one
    elsewhere = ""  # URL of another server that has the charts
    received: ClassVar[list[str]]  # the credentials that came with requests

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"ci:{self.password}".encode()).decode()
        self.received.append(self.headers.get("Authorization", ""))
        if self.password and self.headers.get("Authorization") != wanted:
            self.send_error(401)
        elif self.elsewhere and self.path.endswith(".tgz"):
            self.send_response(302)
            self.send_header("Location", f"{self.elsewhere}{self.path}")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def http_repository(
    directory: Path,
    password: str = "",
    certificate: Path | None = None,
    elsewhere: str = "",
    received: list[str] | None = None,
) -> Iterator[str]:
    """A directory served over HTTP on loopback; its URL. With a password, to user `ci` only.

    With a certificate (`certify`) over TLS; archives are `elsewhere` if another URL has them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    keys = {"password": password, "elsewhere": elsewhere, "received": [] if received is None else received}
    handler = functools.partial(type("Handler", (_Quiet,), keys), directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def certify(directory: Path) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority; its key lies beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate = directory / "tls.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=charts"
    more = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate.with_suffix(".key"), "-out", certificate)
    subprocess.run([*words.split(), *more], check=True, capture_output=True, timeout=120)
    return certificate


@contextmanager
def oci_registry(home: Path, certificate: Path | None = None) -> Iterator[str]:
    """A registry on loopback; its `oci://` reference. Skips, and is counted, where there is none to start.

    With a certificate it answers over TLS, and only to user `ci` with password `s3cr3t`.
    """
    program = shutil.which(REGISTRY)
    if program is None:
        pytest.skip(f"no OCI registry: apt-get install {REGISTRY}")
    port = free_port()
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(home / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if certificate:
        config["http"]["tls"] = {"certificate": str(certificate), "key": str(certificate.with_suffix(".key"))}
        config["auth"] = {"htpasswd": {"realm": "charts", "path": str(home / "htpasswd")}}
        write(home, {"htpasswd": f"ci:{BCRYPT}\n"})
    write(home, {"registry.yaml": yaml.safe_dump(config)})
    cancel = Cancel()
    runner = SubprocessRunner({"PATH": "/usr/bin:/bin", "HOME": str(home), "OTEL_TRACES_EXPORTER": "none"}, cancel)
    command = Command(argv=(program, "serve", str(home / "registry.yaml")))
    thread = threading.Thread(target=runner.run, args=(command,), daemon=True)
    thread.start()
    try:
        eventually(lambda: _listens(port), reported=lambda: "the registry does not start")
        yield f"oci://127.0.0.1:{port}"
    finally:
        cancel.set("the test is over")
        thread.join(60)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Tool = Callable[[str], Path]
