"""The programs of a real node: the files they read and the commands that start them, all inside the node's namespaces.

Formats: containerd's config.toml version 2 (read by 1.6 and 2.x), CNI 0.4.0 network configuration lists,
kubelet.config.k8s.io/v1beta1, kubeconfig v1.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.clusters.ctr import Ctr
from devtools.clusters.embedded.kwokctl import kubeconfig
from devtools.clusters.embedded.layout import Layout, Subnet
from devtools.clusters.embedded.names import REAL_LABEL, REAL_NODE
from devtools.clusters.embedded.template import filled
from devtools.process.runner import Command

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # root's, whatever the user's is
TUNABLES = {  # settings that kubelet would change for the whole machine; it sees files that already have its values
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_PROXY_HEALTH = "127.0.0.1:10256"  # kube-proxy's default listens on all addresses, also on that of the link
PRIVATE = ("/var/lib/kubelet", "/var/lib/cni", "/run/containerd")  # fixed paths that every node would write to


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The real node of a cluster; it reaches the API server at the host's end of its subnet."""

    layout: Layout
    subnet: Subnet

    @property
    def home(self) -> Path:
        """The directory of its files."""
        return self.layout.node

    @property
    def runtime(self) -> Path:
        """The directory of its sockets and namespaces; a short path."""
        return self.layout.runtime

    @property
    def socket(self) -> Path:
        """Containerd's socket."""
        return self.runtime / "containerd.sock"

    @property
    def mount_namespace(self) -> Path:
        """A file that keeps the mount namespace alive."""
        return self.runtime / "ns" / "mnt"

    @property
    def net_namespace(self) -> Path:
        """A file that keeps the network namespace alive."""
        return self.runtime / "ns" / "net"


def make_namespaces(node: Node) -> Command:
    """Create the mount and network namespaces, with private places where programs would write to fixed ones.

    Mounts in there vanish with the last process, so there is nothing to unmount after a crash.
    """
    ns = shlex.quote(str(node.runtime / "ns"))
    inside = [
        "mount --make-rshared /",
        "mount -t tmpfs devtools-log /var/log",
        "mkdir -p /var/log/pods /var/log/containers",
        *(f"mkdir -p {path}; mount --bind {_private(node, path)} {path}" for path in PRIVATE),
        *(f"mount --bind {shlex.quote(str(node.home / 'tunables' / key))} /proc/sys/{key}" for key in TUNABLES),
        f"[ ! -e /etc/resolv.conf ] || mount --bind {shlex.quote(str(node.home / 'resolv.conf'))} /etc/resolv.conf",
        "ip link set lo up",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    ]
    script = [
        f"mkdir -p {ns}",
        f"mount --bind {ns} {ns}",
        f"mount --make-private {ns}",
        f"touch {ns}/mnt {ns}/net",
        f"exec unshare --mount={ns}/mnt --net={ns}/net sh -euc {shlex.quote('; '.join(inside))}",
    ]
    return _script(node, script)


def make_link(node: Node, service_range: str, simulated_range: str) -> Command:
    """Join the network namespace to the host by a veth pair; the host's firewall and routes stay as they are.

    There is no default route: connections to anything but the API server and pods fail at once, not after a timeout.
    """
    inside = [
        f"ip addr add {node.subnet.node}/30 dev eth0",
        "ip link set eth0 up",
        f"ip route add {service_range} via {node.subnet.host}",
        f"ip route add unreachable {simulated_range}",
    ]
    net = shlex.quote(str(node.net_namespace))
    return _script(
        node,
        [
            f"ip link add {node.layout.veth} type veth peer name eth0 netns {net}",
            f"ip addr add {node.subnet.host}/30 dev {node.layout.veth}",
            f"ip link set {node.layout.veth} up",
            f"exec nsenter --net={net} sh -euc {shlex.quote('; '.join(inside))}",
        ],
    )


def containerd(node: Node, program: Path) -> Command:
    """Start containerd."""
    return _inside(node, str(program), "--config", str(node.home / "containerd.toml"))


def import_image(node: Node, ctr: Path, archive: Path) -> Command:
    """Load a docker-archive for the kubelet's use."""
    return Command(argv=Ctr(program=ctr, socket=node.socket).load(archive), env={"PATH": PATH}, timeout=300)


def kubelet(node: Node, program: Path) -> Command:
    """Start the kubelet; /var/lib/kubelet in the namespace is the node's own, and short enough for its sockets."""
    return _inside(
        node,
        *(str(program), "--config", str(node.home / "kubelet.yaml"), "--kubeconfig", str(node.home / "kubeconfig")),
        *("--hostname-override", REAL_NODE, "--node-ip", node.subnet.node, "--node-labels", f"{REAL_LABEL}=true"),
    )


def api_gateway(program: Path, *, listen: str, server: str, env: Mapping[str, str]) -> Command:
    """Forward TCP connections with `etcd gateway`, because the API server listens on loopback only.

    `program` is a link to etcd with the intended process name. TLS is end to end.
    """
    words = ("gateway", "start", "--listen-addr", listen, "--endpoints", server, "--retry-delay", "500ms")
    return Command(argv=(str(program), *words), env=env)


def await_kube_proxy(node: Node, busybox: Path, seconds: float) -> Command:
    """Wait until kube-proxy has written its rules once, by its health endpoint inside the namespace."""
    ask = f"{shlex.quote(str(busybox))} wget -q -O /dev/null http://{_PROXY_HEALTH}/healthz"
    script = f"unset http_proxy HTTP_PROXY; until {ask} 2>/dev/null; do sleep 0.05; done"
    enter = ("nsenter", f"--net={node.net_namespace}", "--", "sh", "-euc", script)
    return Command(argv=enter, env={**node.layout.env, "PATH": PATH}, timeout=seconds)


def kube_proxy(node: Node, program: Path) -> Command:
    """Start kube-proxy; its rules are in the node's network namespace, connection tracking is not changed."""
    return _inside(
        node,
        *(str(program), "--kubeconfig", str(node.home / "kubeconfig"), "--hostname-override", REAL_NODE),
        *("--proxy-mode", "iptables", "--healthz-bind-address", _PROXY_HEALTH),
        *("--conntrack-max-per-core", "0", "--conntrack-min", "0"),
        *("--conntrack-tcp-timeout-established", "0", "--conntrack-tcp-timeout-close-wait", "0"),
    )


def files(node: Node, *, server: str, pki: Path, cni: Path, snapshotter: str, sandbox: str) -> dict[str, str]:
    """Return every file that the node's programs read, by path below its home.

    `server` is the API server's URL as the node sees it, `pki` has the files of `devtools.clusters.embedded.pki`.
    """
    values = {"HOME": node.home, "RUNTIME": node.runtime, "SOCKET": node.socket, "PKI": pki}
    own = {"ADDRESS": node.subnet.node, "CGROUP": node.layout.cgroup, "REAL_LABEL": REAL_LABEL}
    runtime = {"CNI": cni, "SNAPSHOTTER": snapshotter, "SANDBOX": sandbox}
    return {
        "containerd.toml": filled("containerd.toml", **values, **runtime),
        "cni/10-devtools.conflist": filled("cni.json", **values),
        "kubelet.yaml": filled("kubelet.yaml", **values, **own),
        "kubeconfig": kubeconfig("node", server, pki),
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",  # refuses at once: no DNS here
        **{f"tunables/{key}": f"{value}\n" for key, value in TUNABLES.items()},
    }


def _private(node: Node, path: str) -> str:
    """Return the directory that replaces a fixed path; below `runtime` for sockets."""
    base = node.runtime if path.startswith("/run") else node.home
    return shlex.quote(str(base / "private" / path.strip("/").replace("/", "-")))


def directories(node: Node) -> tuple[Path, ...]:
    """Return the directories that must exist before anything starts."""
    private = tuple(Path(shlex.split(_private(node, path))[0]) for path in PRIVATE)
    return (*private, node.home / "volume-plugins")


def _inside(node: Node, *argv: str) -> Command:
    """Run a program in the node's namespaces; `ip netns exec` would remount /sys and hide the control groups."""
    enter = ("nsenter", f"--mount={node.mount_namespace}", f"--net={node.net_namespace}", "--")
    return Command(argv=(*enter, *argv), env={**node.layout.env, "PATH": PATH, "HOME": str(node.home)}, cwd=node.home)


def _script(node: Node, lines: list[str]) -> Command:
    """Run several system commands, each of which must succeed."""
    text = "".join(f"{line}\n" for line in lines)
    return Command(argv=("sh", "-eu"), stdin=text.encode(), env={**node.layout.env, "PATH": PATH}, timeout=120)
