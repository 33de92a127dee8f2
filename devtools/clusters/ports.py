"""Finds free ports for a control plane."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

from devtools.errors import EnvironmentFault

FIRST, LAST = 20000, 32000  # below the system's range for outgoing connections, so that none is lost during a restart


def free_ports(count: int, start: int) -> tuple[int, ...]:
    """Return `count` free ports, searched from `start`, so that clusters rarely collide."""
    blocks = (LAST - FIRST) // count
    for step in range(blocks):
        first = FIRST + (start + step) % blocks * count
        block = tuple(range(first, first + count))
        if all(is_free(port) for port in block):
            return block
    raise EnvironmentFault(f"no {count} free ports between {FIRST} and {LAST}")


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port, on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Return the process that listens on a port: `name (pid)`, or that it is unknown."""
    return holders((port,))[port]


def holders(ports: Iterable[int]) -> dict[int, str]:
    """Return the process that listens on each port, by one scan of all processes; see `holder`."""
    import psutil

    found = dict.fromkeys(ports, "another program")
    with contextlib.suppress(psutil.Error):  # other users' processes are not visible
        for connection in psutil.net_connections("tcp") if found else ():
            number = connection.laddr[1] if connection.laddr else 0
            if connection.status == psutil.CONN_LISTEN and number in found and connection.pid:
                found[number] = f"{psutil.Process(connection.pid).name()} ({connection.pid})"
    return found
