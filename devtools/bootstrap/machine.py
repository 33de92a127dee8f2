"""Facts about this machine that a bootstrap needs: read once, then checked by `prerequisites`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtools.clusters.ports import holders, is_free

INOTIFY = Path("/proc/sys/fs/inotify")  # inotify(7); Linux only


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts. `docker` and `docker_hint` say why no engine answers, empty if one does; sizes are in bytes."""

    docker: str = ""
    docker_hint: str = ""
    buildx: str = ""  # why there can be no builder in a cluster; empty if there can
    programs: Mapping[str, Path | None] = field(default_factory=dict)
    used_ports: Mapping[int, str] = field(default_factory=dict)  # port → the program or container that uses it
    disk_free: int
    disk_of: Path  # the directory that this is about
    memory_free: int
    inotify: Mapping[str, int] = field(default_factory=dict)  # limit → value; empty if there is no inotify


def port_holders(ports: Iterable[int], published: Callable[[], Mapping[int, str]]) -> dict[int, str]:
    """Return which of the ports are in use, and the program or container that uses each.

    `published` maps ports of the host to containers: with docker-outside-of-docker or an engine without a proxy, the
    port looks free from here; with a proxy, the proxy's name would be of little help.
    """
    numbers = sorted(set(ports))
    containers = published() if numbers else {}
    ours = [port for port in numbers if port not in containers and not is_free(port)]
    return {port: f"container {containers[port]}" for port in numbers if port in containers} | holders(ours)


def disk_free(path: Path) -> tuple[int, Path]:
    """Return the free bytes where `path` is, or will be, and the nearest existing directory."""
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    return shutil.disk_usage(there).free, there


def memory_free() -> int:
    """Return the bytes of memory that are available without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def inotify_limits(directory: Path = INOTIFY) -> dict[str, int]:
    """Return `max_user_watches` and `max_user_instances`; empty if there is no inotify."""
    found: dict[str, int] = {}
    for name in ("max_user_watches", "max_user_instances"):
        try:
            found[name] = int((directory / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return found
