"""Checks the machine for a bootstrap: facts are read once, then judged, every finding at once with what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from devtools.clusters.ports import holders, is_free

Level = Literal["problem", "warning"]
GIB = 1024**3
# Bytes: below the first limit a bootstrap cannot work, below the second it may soon fail.
DISK: Mapping[str, tuple[int, int]] = {"k3d": (4 * GIB, 20 * GIB), "kwok": (1 * GIB, 6 * GIB)}
MEMORY: Mapping[str, tuple[int, int]] = {"k3d": (1 * GIB, 4 * GIB), "kwok": (GIB // 2, 2 * GIB)}
# https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files: k3s in Docker and Tilt share
# the machine's limits, and fail with "too many open files" only once layers are going up.
INOTIFY: Mapping[str, int] = {"max_user_watches": 524288, "max_user_instances": 512}
TILT = "https://docs.tilt.dev/install.html"
K3D = "https://k3d.io/stable/#installation"
INSTALL_BUILDX = "install docker with buildx: https://github.com/docker/buildx#installing"
_INOTIFY_LIMITS = Path("/proc/sys/fs/inotify")  # inotify(7); Linux only


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


def inotify_limits(directory: Path = _INOTIFY_LIMITS) -> dict[str, int]:
    """Return `max_user_watches` and `max_user_instances`; empty if there is no inotify."""
    found: dict[str, int] = {}
    for name in ("max_user_watches", "max_user_instances"):
        try:
            found[name] = int((directory / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One obstacle or risk; a problem stops the bootstrap, a warning does not."""

    check: str
    level: Level
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """The resources that a bootstrap will use.

    `asked` is whether the provider was requested by name: a missing requirement is a problem then, and otherwise a
    reason for the embedded cluster. `ports` are the ports that must be free, and the setting that moves each.
    """

    provider: str
    asked: bool = False
    unvendored: str = ""  # why it is the embedded cluster although Docker and k3d are available
    ports: Mapping[int, str]
    tiltfile: bool = True
    token: bool = True  # BUF_TOKEN is set, or nothing will be published


def check(machine: Machine, needs: Requirements) -> tuple[Finding, ...]:
    """Return all findings, problems first."""
    found = [
        *_docker(machine, needs),
        *_ports(machine, needs),
        *_sizes(machine, needs),
        *check_inotify(machine.inotify),
        *_programs(machine, needs),
    ]
    return tuple(sorted(found, key=lambda finding: finding.level != "problem"))


def _docker(machine: Machine, needs: Requirements) -> Iterator[Finding]:
    """Yield findings about Docker and k3d: needed for a k3d cluster; if missing, the reason for another one."""
    if needs.provider == "context" or (needs.provider == "kwok" and needs.asked):
        return
    level: Level = "problem" if needs.provider == "k3d" else "warning"
    instead = "" if level == "problem" else "; the embedded cluster is used instead"
    if machine.docker:
        yield Finding(check="docker", level=level, message=machine.docker + instead, hint=machine.docker_hint)
    if machine.programs.get("k3d") is None:
        hint = f"install k3d 5: {K3D}"
        yield Finding(check="k3d", level=level, message=f"k3d is not installed{instead}", hint=hint)
    if needs.unvendored:
        hint = "for k3d: invoke cluster.delete, invoke charts.vendor, then invoke bootstrap again"
        yield Finding(check="charts", level="warning", message=needs.unvendored, hint=hint)
    if needs.provider == "k3d" and machine.buildx:
        message = f"{machine.buildx}: there will be no builder in the cluster"
        yield Finding(check="buildx", level="warning", message=message, hint=INSTALL_BUILDX)


def _ports(machine: Machine, needs: Requirements) -> Iterator[Finding]:
    for port, setting in needs.ports.items():
        if port in machine.used_ports:
            message = f"port {port} is in use by {machine.used_ports[port]}"
            yield Finding(check="ports", level="problem", message=message, hint=f"stop it, or {setting}")


def _sizes(machine: Machine, needs: Requirements) -> Iterator[Finding]:
    disk = DISK.get(needs.provider, (0, GIB))
    memory = MEMORY.get(needs.provider, (0, GIB))
    for name, free, (least, enough), hint in (
        (f"disk at {machine.disk_of}", machine.disk_free, disk, "free space, for example with: docker system prune"),
        ("memory", machine.memory_free, memory, "stop other programs, or give Docker's virtual machine more memory"),
    ):
        if free < enough:
            message = f"{_gib(free)} of {name} are free; recommended: {_gib(enough)}, minimum: {_gib(least)}"
            level: Level = "problem" if free < least else "warning"
            yield Finding(check=name.split(maxsplit=1)[0], level=level, message=message, hint=hint)


def check_inotify(limits: Mapping[str, int]) -> Iterator[Finding]:
    """Yield a warning for each limit of inotify(7) that Tilt and a cluster are likely to reach."""
    for name, enough in INOTIFY.items():
        value = limits.get(name, enough)
        if value < enough:
            message = f"fs.inotify.{name} is {value}; Tilt and a cluster need {enough}"
            hint = f"sudo sysctl -w fs.inotify.{name}={enough}"
            yield Finding(check="inotify", level="warning", message=message, hint=hint)


def _programs(machine: Machine, needs: Requirements) -> Iterator[Finding]:
    """Yield findings about Tilt, and about conditions that will make it fail."""
    if not needs.tiltfile:
        message = "there is no Tiltfile here: Tilt is not started"
        hint = "write one that loads .devtools/infra.star, which invoke specs writes; or type: invoke up"
        yield Finding(check="tilt", level="warning", message=message, hint=hint)
        return
    if machine.programs.get("tilt") is None:
        hint = f"install it: {TILT}; or deploy the layers without it: invoke up"
        yield Finding(check="tilt", level="warning", message="tilt is not installed", hint=hint)
    elif not needs.token:
        message = "BUF_TOKEN is not set: ameide_core_proto will fail, and every layer waits for it in Tilt"
        hint = "put BUF_TOKEN=... into .env; or start without publishing: invoke bootstrap --no-push"
        yield Finding(check="token", level="warning", message=message, hint=hint)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
