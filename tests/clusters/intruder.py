"""Another user of the machine, who tries what a cluster listens on and what it has in files.

A program of its own: `intruder.py TARGETS` reads what to try from a JSON file as root, becomes `UID`, and prints as
JSON what it got.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - the other user may not be able to read the interpreter
import http.client
import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

UID = 65534
REFUSED = (401, 403)
# Go's own answers, which say nothing: to HTTP at an HTTPS port, and to a path that is not served.
EMPTY = (b"Client sent an HTTP request to an HTTPS server.", b"404 page not found")
# What a web page can have a browser send to any port of its machine.
PAGE = {"Origin": "http://evil.example", "Host": "evil.example", "Content-Type": "text/plain"}
RANGE = json.dumps({"key": "AA==", "range_end": "AA=="})
PUT = json.dumps({"key": "L3JlZ2lzdHJ5L3Bvd25lZA==", "value": "eA=="})
POD = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}})
ASKED = (
    *(
        ("GET", path, "")
        for path in ("/", "/version", "/healthz", "/readyz", "/livez", "/metrics", "/configz", "/pods")
    ),
    *(
        ("GET", path, "")
        for path in ("/api/v1/secrets", "/apis", "/openapi/v2", "/stats/summary", "/logs/", "/proxyMode")
    ),
    *(
        ("GET", path, "")
        for path in ("/debug/pprof/", "/debug/pprof/cmdline", "/debug/flags/v", "/discovery/prometheus")
    ),
    *(("GET", path, "") for path in ("/members", "/v2/keys", "/raft/probing", "/health")),
    ("GET", "/containerLogs/default/elsewhere/elsewhere", ""),
    ("POST", "/exec/default/elsewhere/elsewhere?command=id&output=1", ""),
    ("POST", "/run/default/elsewhere/elsewhere?cmd=id", ""),
    ("POST", "/portForward/default/elsewhere", ""),
    ("POST", "/v3/kv/range", RANGE),
    ("POST", "/v3/kv/put", PUT),
    ("POST", "/v3/maintenance/snapshot", "{}"),
    ("POST", "/api/v1/namespaces/default/pods", POD),
    ("OPTIONS", "/api/v1/secrets", ""),
)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What to try; `pair` is a certificate and key of another authority."""

    ports: list[tuple[str, int]]
    files: list[str]
    sockets: list[str]
    pids: list[int]
    pair: list[str]


def main(path: Path) -> None:
    targets = Targets(**json.loads(path.read_text()))
    plain, stranger = (ssl._create_unverified_context() for _ in range(2))
    stranger.load_cert_chain(*targets.pair)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)
    found = [line for port in targets.ports for context in (None, plain, stranger) for line in asked(port, context)]
    found += [line for name in targets.files for line in opened(name)]
    found += [line for name in targets.sockets for line in connected(name)]
    private = (f"/proc/{pid}/{name}" for pid in targets.pids for name in ("environ", "mem", "cwd/.", "root/."))
    found += [line for name in private for line in opened(name)]
    sys.stdout.write(json.dumps({"uid": os.getuid(), "found": found, "tried": asdict(targets)}))


def asked(port: tuple[str, int], context: ssl.SSLContext | None) -> Iterator[str]:
    """Every answer to a question that is not a refusal of who asks."""
    for method, path, body in ASKED:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if context is None:
                connection = http.client.HTTPConnection(*port, timeout=30)
            else:
                connection = http.client.HTTPSConnection(*port, timeout=30, context=context)
            connection.request(method, path, body or None, PAGE)
            answer = connection.getresponse()
            text = answer.read(200)
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            if allowed or (answer.status not in REFUSED and text.strip() not in EMPTY):
                how = "plain" if context is None else "TLS"
                yield f"{port[0]}:{port[1]} {how} {method} {path}: {answer.status} {text!r} {allowed}"


def opened(name: str) -> Iterator[str]:
    """The file, if it can be opened or listed in any way."""
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with contextlib.suppress(OSError):
            os.close(os.open(name, flags | os.O_NONBLOCK))
            yield f"{name}: opened to {'read' if flags == os.O_RDONLY else 'write'}"


def connected(name: str) -> Iterator[str]:
    """The Unix socket, if it accepts a connection."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(name)
        yield f"{name}: connected"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
