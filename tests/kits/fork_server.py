"""Runs `invoke` in forks of a process that has imported all that commands need: two thirds of a short command's time.

Each command is a process of its own, with its own surroundings, that imports the tasks and ends as any other. Commands
that are sent signals, or depend on how Python starts, are started by `subprocess` instead.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

ROOT = Path(__file__).parents[2]
INVOKE = Path(sys.executable).parent / "invoke"
PYTHONS_OWN = ("PYTHON", "LC_", "LANG")  # what the interpreter looks at when it starts
FROZEN = "devtools.tasks"  # looks at the program when it is imported


class ForkServer:
    """A process that runs one command after the other, from the first one until this process ends."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `invoke WORDS` without a terminal, as `subprocess.run` does."""
        connection = self._connected()
        argv = [str(INVOKE), *words]
        with TemporaryFile() as out, TemporaryFile() as err:
            request = json.dumps({"argv": argv, "cwd": str(cwd), "env": dict(env)}).encode()
            socket.send_fds(connection, [len(request).to_bytes(4, "big")], [out.fileno(), err.fileno()])
            connection.sendall(request)
            pid, code = _number(connection), None
            connection.settimeout(timeout)
            try:
                code = _number(connection)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
            finally:
                connection.settimeout(None)
            if code is None:
                _number(connection)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        if code is None:
            raise subprocess.TimeoutExpired(argv, timeout, *texts)
        return subprocess.CompletedProcess(argv, code, *texts)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", __file__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            atexit.register(self.close)
        return self._socket

    def close(self) -> None:
        """End the server."""
        if self._socket and self._process:
            self._socket.close()
            self._process.wait()
        self._socket = self._process = None


def _number(connection: socket.socket) -> int:
    """Read one of the two numbers that the server sends: a process, and how it ended."""
    found = connection.recv(4, socket.MSG_WAITALL)
    assert len(found) == 4, "the server of commands ended: see above"
    return int.from_bytes(found, "big", signed=True)


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the child alone."""
    while True:
        head, files, _, _ = socket.recv_fds(connection, 4, 2)
        if not head:
            sys.exit()
        request: dict[str, Any] = json.loads(connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
        pid = os.fork()
        if not pid:
            connection.close()
            for number, file in enumerate(files, 1):
                os.dup2(file, number)
                os.close(file)
            return request
        for file in files:
            os.close(file)
        connection.sendall(pid.to_bytes(4, "big"))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(code.to_bytes(4, "big", signed=True))


def _import_all() -> None:
    """Import what commands import when they need it."""
    import devtools

    for path in sorted(Path(devtools.__path__[0]).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not name.startswith((FROZEN, "devtools.testing")):
            importlib.import_module(name)
    assert FROZEN not in sys.modules


def _main() -> None:
    """Be a server, and in each child of it a command."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    _import_all()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all
    request = _serve(connection)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.argv = request["argv"]
    sys.path.insert(0, str(INVOKE.parent))
    from invoke.main import program

    vars(sys.modules["__main__"])["program"] = program  # as in the script that pip writes
    program.run()


if __name__ == "__main__":
    _main()
