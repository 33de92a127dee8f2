"""Runs doubles of programs in forks of one process: most of such a program's work is to start Python.

Each call is a process of its own all the same, begun by a shell script that waits for it and ends as it does: it has
the caller's directory, environment, input and outputs, and is killed when the script is.
"""

from __future__ import annotations

import atexit
import importlib
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path

TYPE_CHECKING = False  # the server imports little
if TYPE_CHECKING:
    from typing import Any

# Its output is found as 4: while it writes to 3, its 1 is that, too.
CLIENT = """\
#!/bin/bash
exec 4>&1
exec 3<>/dev/tcp/127.0.0.1/{port} && echo {token} {module} $$ >&3 && read -r -u 3 code && exit "$code"
exit 70
"""
_TOKEN = secrets.token_hex(8)  # nobody else's program is run
_servers: list[subprocess.Popen[bytes]] = []
_port = 0


def install(directory: Path, name: str, module: str) -> Path:
    """Put a program into a directory that runs `main` of a module in this directory with its words."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / name
    program.write_text(CLIENT.format(port=_started(), token=_TOKEN, module=module))
    program.chmod(0o700)
    return program


def _started() -> int:
    """Return the port of this process's server."""
    global _port  # noqa: PLW0603 - one server for this process
    if not _servers:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            _port = listener.getsockname()[1]
            argv = [sys.executable, "-SE", __file__, str(listener.fileno()), _TOKEN]
            _servers.append(subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]))
        atexit.register(_stop)
    return _port


def _stop() -> None:
    server = _servers.pop()
    server.communicate()  # the end of its input ends it


def _serve(listener: socket.socket, token: str) -> tuple[str, str]:
    """Fork for each caller; returns the caller's module and process in the child alone."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            found: Any = key.fileobj
            if found is sys.stdin:
                sys.exit()
            if found is listener:
                connection, _ = listener.accept()
                words = connection.makefile().readline().split()
                if words[:1] != [token]:
                    connection.close()
                    continue
                importlib.import_module(words[1])  # once for all
                pid = os.fork()
                if not pid:
                    selector.close()
                    listener.close()
                    connection.close()
                    return words[1], words[2]
                ended = os.pidfd_open(pid)
                for one in (connection, ended):
                    selector.register(one, selectors.EVENT_READ, (pid, connection, ended))
                continue
            pid, connection, ended = key.data
            if found is connection:  # its caller is gone
                os.kill(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            for one in (connection, ended):
                selector.unregister(one)
            if found is not connection:
                connection.sendall(b"%d\n" % (code % 256))
            connection.close()
            os.close(ended)
            break  # the rest of the list may be of the same


def _main() -> None:
    """Be a server, and in each child of it a double."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        module, caller = _serve(listener, sys.argv[2])
    process = Path("/proc", caller)
    words = (process / "cmdline").read_bytes().split(b"\0")[2:-1]
    environ = dict(item.split(b"=", 1) for item in (process / "environ").read_bytes().split(b"\0") if b"=" in item)
    os.chdir(process / "cwd")
    os.environ.clear()
    os.environb.update(environ)
    for number, theirs in enumerate((0, 4, 2)):
        opened = os.open(process / "fd" / str(theirs), os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    code: Any = 0
    try:
        importlib.import_module(module).main([word.decode() for word in words])
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if isinstance(code, str) else code or 0)  # to clear up takes longer than all else


if __name__ == "__main__":
    _main()
