"""Allocates a /30 subnet to each cluster of a machine."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable, Mapping

from devtools.base.open_file import read_file
from devtools.clusters.embedded.layout import POOL, RUN, Layout, Subnet
from devtools.clusters.provider import Progress
from devtools.errors import EnvironmentFault
from devtools.locks.change_lock import locked
from devtools.process.runner import Cancel

_LOCK = "devtools.links.lock"  # of all clusters of the machine
_NOTE = "link"  # file of a runtime directory: the number that its cluster uses


def choose(start: int, used: Iterable[ipaddress.IPv4Network], reserved: Iterable[int]) -> int:
    """Return the first free number from `start`: its /30 overlaps no network in use; EnvironmentFault if none is."""
    networks, skipped = tuple(used), frozenset(reserved)
    count = POOL.num_addresses // 4
    for step in range(count):
        number = (start + step) % count
        if number not in skipped and not any(Subnet.number(number).network.overlaps(network) for network in networks):
            return number
    raise EnvironmentFault(f"no free addresses in {POOL} for a real node")


def reserved_subnet(layout: Layout, cancel: Cancel, progress: Progress, *, reserve: bool) -> int:
    """Return a free number, reserved while the cluster's runtime directory exists; without `reserve` any number."""
    if not reserve:
        return layout.number % (POOL.num_addresses // 4)
    with locked(RUN / _LOCK, cancel, progress):
        number = choose(layout.number, networks(_addresses()), _reservations())
        keep_link(layout, number)
    return number


def keep_link(layout: Layout, number: int) -> None:
    """Record the number in the runtime directory."""
    layout.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    (layout.runtime / _NOTE).write_text(f"{number}\n")


def networks(addresses: Mapping[str, str]) -> tuple[ipaddress.IPv4Network, ...]:
    """Return networks inside the pool, from addresses and netmasks. Wider ones (a VPN's) do not prevent a /30."""
    found = (ipaddress.IPv4Network(f"{address}/{mask}", strict=False) for address, mask in addresses.items())
    return tuple(network for network in found if network.subnet_of(POOL) and network != POOL)


def _addresses() -> dict[str, str]:
    """Return the IPv4 addresses of this machine and their netmasks."""
    import socket

    import psutil

    return {
        address.address: address.netmask or "255.255.255.255"
        for entries in psutil.net_if_addrs().values()
        for address in entries
        if address.family == socket.AF_INET
    }


def _reservations() -> tuple[int, ...]:
    found = []
    for note in RUN.glob(f"devtools-*/{_NOTE}"):
        with contextlib.suppress(OSError, ValueError):  # deleted meanwhile, or incomplete
            found.append(int(read_file(note)))
    return tuple(found)
