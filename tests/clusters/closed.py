"""What a cluster listens on, and that another user of the machine gets nothing of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Thread
from typing import Any

import psutil

from devtools.clusters.embedded import pki
from devtools.clusters.embedded.layout import Subnet
from devtools.clusters.embedded.status import read_metadata
from tests.clusters import intruder
from tests.kits.clusters import Machine

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"LISTEN +\d+ +\d+ +(\S+):(\d+) +\S+ +users:\(\(\"([^\"]+)\",pid=(\d+)")


def listeners(machine: Machine, *enter: str) -> set[tuple[str, str, int]]:
    """Program, address and port of everything of the cluster that `ss -ltnp` shows."""
    shown = machine.run(*enter, "ss", "-ltnpH")
    assert shown.ok, shown.stderr
    mine = machine.processes()
    found = (LINE.match(line) for line in shown.stdout.splitlines())
    return {
        (Path(mine[int(match[4])][0]).name, match[1], int(match[2]))
        for match in found
        if match and int(match[4]) in mine
    }


def documented(where: str) -> set[tuple[str, str]]:
    """Program and address of the rows of the table in docs/clusters.md."""
    text = (ROOT / "docs" / "clusters.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (this machine|the real node) \| `([^`]+)` \|", text, re.MULTILINE)
    assert rows
    return {(program, address) for program, place, address in rows if place == where}


def check_listeners(machine: Machine, *, real: bool) -> list[tuple[str, int]]:
    """What listens is what is documented; returns what can be connected to from this machine."""
    record = read_metadata(machine.layout)
    assert record
    link = Subnet.number(record.link)
    names = {link.host: "HOST", link.node: "NODE", record.api_port: "API", record.kubelet_port: "KUBELET"}

    def shown(found: set[tuple[str, str, int]]) -> set[tuple[str, str]]:
        return {(program, f"{names.get(address, address)}:{names.get(port, port)}") for program, address, port in found}

    here = listeners(machine)
    expected = {row for row in documented("this machine") if real or row[0] != "api-gateway"}
    assert shown(here) == expected
    if not real:
        return [(address, port) for _, address, port in here]
    inside = listeners(machine, "nsenter", f"--net={machine.layout.runtime / 'ns' / 'net'}", "--")
    streaming = {row for row in inside if row[0] == "containerd"}
    assert {address for _, address, _ in streaming} == {"127.0.0.1"}
    assert shown(inside - streaming) | {("containerd", "127.0.0.1:*")} == documented("the real node")
    ports = {port for _, _, port in inside} | {10248, 10249, 10250, 10255, 10256}
    return [(address, port) for _, address, port in here] + [(link.node, port) for port in sorted(ports)]


def check_closed_to_others(machine: Machine, *, real: bool) -> None:
    """Another user of the machine gets nothing from any port, file, socket or process of the cluster."""
    ports = check_listeners(machine, real=real)
    roots = [machine.layout.state, *([machine.layout.runtime] if real else [])]
    assert not [root for root in roots if root.stat().st_mode & 0o077]
    modes = dict(_modes(roots))
    files = list(modes)
    sockets = [path for path, mode in modes.items() if stat.S_ISSOCK(mode)]
    assert sockets
    assert not [path for path, mode in modes.items() if path.suffix == ".key" and mode & 0o077]
    mine = set(machine.processes())
    unix = [str(item.laddr) for item in psutil.net_connections("unix") if item.pid in mine]
    assert not [name for name in unix if name.startswith(("@", "\0"))]  # abstract: no file's mode protects them
    strange = machine.root / f"strange-{machine.name}"
    pki.create(strange, server_names=(), kubelet_names=())
    targets = {
        "ports": ports,
        "files": [str(path) for path in files if path not in sockets],
        "sockets": [str(path) for path in sockets],
        "pids": sorted(mine),
        "pair": [str(strange / "admin.crt"), str(strange / "admin.key")],
    }
    assert intrude(machine, targets) == []


def _modes(roots: list[Path]) -> Iterator[tuple[Path, int]]:
    """Every file and directory but symbolic links, with its mode; servers remove some of them meanwhile."""
    below = (Path(at, name) for root in roots for at, *named in os.walk(root) for names in named for name in names)
    for path in (*roots, *below):
        with contextlib.suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode):
                yield path, mode


class _Open(BaseHTTPRequestHandler):
    """A server that answers anybody."""

    def do_GET(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of clients that begin with a handshake."""


def check_that_an_open_door_is_found(machine: Machine) -> None:
    """The intruder finds what is open."""
    pki.create(machine.root / "open", server_names=(), kubelet_names=())
    with NamedTemporaryFile() as file, ThreadingHTTPServer(("127.0.0.1", 0), _Open) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        Path(file.name).chmod(0o644)
        targets = {
            "ports": [server.server_address],
            "files": [file.name],
            "sockets": [],
            "pids": [],
            "pair": [str(machine.root / "open" / name) for name in ("admin.crt", "admin.key")],
        }
        found = intrude(machine, targets)
        server.shutdown()
    assert f"{file.name}: opened to read" in found
    assert any(f"127.0.0.1:{server.server_port} plain GET /: 200" in line for line in found)


def intrude(machine: Machine, targets: dict[str, Any]) -> list[str]:
    """What another user gets of these."""
    file = machine.root / f"targets-{machine.name}.json"
    file.write_text(json.dumps(targets))
    done = machine.run(sys.executable, intruder.__file__, file, timeout=900)
    assert done.ok, done.stderr
    printed = json.loads(done.stdout)
    assert printed["uid"] == intruder.UID
    assert printed["tried"] == json.loads(json.dumps(targets))
    found: list[str] = printed["found"]
    return found
