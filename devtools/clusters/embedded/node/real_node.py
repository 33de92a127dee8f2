"""The one real node of an embedded cluster: kubelet, containerd and kube-proxy in namespaces of their own.

It needs Linux, root, and a few distribution packages (`requirements`). It runs only pods that select it: its taint
excludes all others.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devtools.clusters.embedded import cleanup
from devtools.clusters.embedded.control_plane import ControlPlane
from devtools.clusters.embedded.kwokctl import SERVICE_RANGE, SIMULATED_PODS
from devtools.clusters.embedded.layout import Subnet
from devtools.clusters.embedded.names import API_GATEWAY, COMPONENTS, REAL_NODE, UTILITY_IMAGE
from devtools.clusters.embedded.node import daemons, image
from devtools.clusters.embedded.node.subnets import keep_link
from devtools.clusters.embedded.simulation import NODES, is_ready
from devtools.clusters.external_program import Program, named
from devtools.errors import EnvironmentFault, inotify_hint
from devtools.kube.client import Kube
from devtools.process.runner import Command
from devtools.process.waiting import wait_until

SANDBOX_IMAGE = "localhost/devtools/pause:1"
PACKAGES = {  # of Debian and Ubuntu, by the program that is needed
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("bridge", "host-local", "loopback")
STARTS_IN = 120.0  # seconds


def missing_packages() -> tuple[str, ...]:
    """Return the distribution packages to install before a real node can join, sorted; none if all are installed."""
    missing = {package for program, package in PACKAGES.items() if _system(program) is None}
    if _cni() is None:
        missing.add("containernetworking-plugins")
    if _busybox() is None:
        missing.add("busybox-static")
    return tuple(sorted(missing))


def obstacle(*, is_root: bool) -> str:
    """Return why this machine cannot have a real node, and the command that helps; empty if it can."""
    if sys.platform != "linux":
        return "a real node needs Linux"
    if not is_root:
        return "a real node needs root"
    if missing := missing_packages():
        return f"a real node needs packages: apt-get install --no-install-recommends {' '.join(missing)}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealNode:
    """Starts the node and checks its health; `cleanup` removes it."""

    plane: ControlPlane
    subnet_number: int
    api_port: int

    def prepare(self) -> None:
        """Start everything that needs no API server yet: namespaces, network, containerd, images."""
        node = self._node()
        for directory in daemons.directories(node):
            directory.mkdir(parents=True, exist_ok=True)
        for name, text in self._files().items():
            path = node.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text)
        with ThreadPoolExecutor(1) as pool:
            archives = pool.submit(self._archives)
            self._run(daemons.make_namespaces(node), "make namespaces")
            self._run(daemons.make_link(node, SERVICE_RANGE, SIMULATED_PODS.replace(".1/", ".0/")), "make the network")
            self._spawn("containerd", daemons.containerd(node, found("containerd")))
            self._await("containerd", lambda: _answers(node.socket))
            for archive in archives.result():
                self._run(daemons.import_image(node, found("ctr"), archive), "load an image")
                archive.unlink()

    def join(self, kube: Kube) -> None:
        """Start kubelet and kube-proxy, and wait until the node is Ready and Services work."""
        node = self._node()
        gateway = named(self.plane.tool("etcd"), self.plane.layout.node / "bin" / API_GATEWAY)
        listen, server = f"{self.subnet.host}:{self.api_port}", f"127.0.0.1:{self.api_port}"
        self._spawn(API_GATEWAY, daemons.api_gateway(gateway, listen=listen, server=server, env=node.layout.env))
        for name, start in (("kubelet", daemons.kubelet), ("kube-proxy", daemons.kube_proxy)):
            self._spawn(name, start(node, self.plane.tool(name)))

        def is_running() -> bool:  # the API server may still call it Ready from before a restart
            missing = cleanup.missing_programs(cleanup.processes(self.plane.layout))
            return not missing and is_ready(kube.get(f"{NODES}/{REAL_NODE}") or {})

        self._await("kubelet", is_running)
        # A pod that starts earlier cannot reach the API server, and a Job without retries fails permanently.
        self._run(daemons.await_kube_proxy(node, self._static_busybox(), STARTS_IN), "wait for kube-proxy")

    def clear(self) -> None:
        """Remove its remains on the machine, except the control plane and the node's files."""
        cleanup.end_processes(self.plane.layout, lambda name: name not in COMPONENTS)
        cleanup.remove_mounts(self.plane.layout)
        cleanup.remove_cgroups(self.plane.layout)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.plane.layout.runtime)

    def restart(self, kube: Kube) -> None:
        """Start it again."""
        self.clear()
        keep_link(self.plane.layout, self.subnet_number)
        self.prepare()
        self.join(kube)

    @property
    def subnet(self) -> Subnet:
        """Its /30 subnet."""
        return Subnet.number(self.subnet_number)

    def _node(self) -> daemons.Node:
        return daemons.Node(layout=self.plane.layout, subnet=self.subnet)

    def _files(self) -> dict[str, str]:
        return daemons.files(
            self._node(),
            server=f"https://{self.subnet.host}:{self.api_port}",
            pki=self.plane.layout.pki,
            cni=_cni() or CNI_DIRECTORIES[0],
            snapshotter="overlayfs" if _can_overlay(self.plane.layout.node) else "native",
            sandbox=SANDBOX_IMAGE,
        )

    def _archives(self) -> tuple[Path, ...]:
        busybox = self._static_busybox()
        images = (
            image.sandbox_image(SANDBOX_IMAGE, busybox),
            image.utility_image(UTILITY_IMAGE, busybox, self.plane.tool("kubectl")),
        )
        archives = tuple(self.plane.layout.node / f"image-{number}.tar" for number in range(len(images)))
        for item, archive in zip(images, archives, strict=True):
            image.write(item, archive)
        return archives

    def _static_busybox(self) -> Path:
        if (busybox := _busybox()) is None:
            raise EnvironmentFault("busybox is not static", hint="apt-get install busybox-static")
        return busybox

    def _run(self, command: Command, what: str) -> None:
        Program(runner=self.plane.runner, name="the real node").run(command, what)

    def _spawn(self, name: str, command: Command) -> None:
        self.plane.runner.spawn(command, self.plane.layout.node / "logs" / f"{name}.log")

    def _await(self, name: str, done: Callable[[], bool]) -> None:
        if wait_until(done, STARTS_IN, self.plane.cancel):
            return
        log = self.plane.layout.node / "logs" / f"{name}.log"
        text = log.read_text(errors="backslashreplace") if log.is_file() else ""
        last = " / ".join(text.splitlines()[-3:])[:600]
        message = f"{name} of the real node is not ready after {STARTS_IN:g} s: {last}"
        raise EnvironmentFault(message, hint=inotify_hint(text))


def _answers(path: Path) -> bool:
    """Return whether something accepts connections at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _can_overlay(directory: Path) -> bool:
    """Return whether overlayfs works there: not on another overlay (a container's root file system)."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        point = fields.split(" ")[4]
        if str(directory.resolve()).startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, source.split(" ")[0]
    return kind not in {"overlay", "ecryptfs", "nfs", "nfs4", "9p", "fuse"}


def _system(name: str) -> Path | None:
    found = shutil.which(name, path=daemons.PATH)
    return Path(found) if found else None


def found(name: str) -> Path:
    """Return a system program that `obstacle` has found before."""
    if (path := _system(name)) is None:
        raise EnvironmentFault(f"{name} is gone", hint=f"apt-get install {PACKAGES[name]}")
    return path


def _cni() -> Path | None:
    complete = (path for path in CNI_DIRECTORIES if all((path / plugin).is_file() for plugin in CNI_PLUGINS))
    return next(complete, None)


def _busybox() -> Path | None:
    path = _system("busybox")
    return path if path and image.is_static(path) else None
