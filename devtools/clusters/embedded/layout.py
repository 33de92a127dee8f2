"""Paths of one embedded cluster on this machine, and the machine-wide names that it uses."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CLUSTER_VARIABLE = "DEVTOOLS_CLUSTER_STATE"  # environment variable of every process of a cluster: its state directory
RUN = Path("/run")
POOL = ipaddress.IPv4Network("10.200.0.0/16")  # cut into /30s: one link between host and real node each


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A /30 between the host and the real node's network namespace."""

    network: ipaddress.IPv4Network

    @property
    def host(self) -> str:
        """The host's end."""
        return str(self.network.network_address + 1)

    @property
    def node(self) -> str:
        """The node's end."""
        return str(self.network.network_address + 2)

    @classmethod
    def number(cls, index: int) -> Subnet:
        """Return the subnet with this index, modulo the pool's size."""
        count = POOL.num_addresses // 4
        return cls(network=ipaddress.IPv4Network((int(POOL.network_address) + 4 * (index % count), 30)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of 127.0.0.1 on which one cluster listens."""

    api: int
    kubelet: int  # of the simulated kubelet

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.api}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All paths and names of one cluster, derived from its name and state directory.

    `runtime` is short because it contains Unix sockets, whose paths are limited to 107 bytes.
    """

    name: str
    state: Path

    @property
    def key(self) -> str:
        """Eight characters that distinguish this cluster from all others on the machine."""
        return hashlib.sha256(str(self.state.resolve()).encode()).hexdigest()[:8]

    @property
    def number(self) -> int:
        """The key as a number: the start of the search for free ports and addresses."""
        return int(self.key, 16)

    @property
    def mark(self) -> str:
        """The value of `CLUSTER_VARIABLE`."""
        return str(self.state.resolve())

    @property
    def env(self) -> dict[str, str]:
        """The environment that marks a process as this cluster's."""
        return {CLUSTER_VARIABLE: self.mark}

    @property
    def lock(self) -> Path:
        """The lock for changing the cluster; outside the state, which is deleted with the cluster."""
        return self.state.with_name(f".{self.state.name}.lock")

    @property
    def ready(self) -> Path:
        """The record that is written last: without it the cluster is incomplete."""
        return self.state / "ready.json"

    @property
    def kubeconfig(self) -> Path:
        """The cluster's own kubeconfig; the user's is never touched."""
        return self.state / "kubeconfig"

    @property
    def workdir(self) -> Path:
        """The home directory of kwokctl, to which it writes everything."""
        return self.state / "kwok"

    @property
    def config(self) -> Path:
        """The configuration file that kwokctl reads."""
        return self.state / "kwokctl.yaml"

    @property
    def plane(self) -> Path:
        """The control plane's directory, laid out by kwokctl: bin, etcd, logs, pids, pki."""
        return self.workdir / "clusters" / self.name

    @property
    def pki(self) -> Path:
        """The directory in which kwokctl looks for keys and certificates."""
        return self.plane / "pki"

    @property
    def node(self) -> Path:
        """The real node's files."""
        return self.state / "node"

    @property
    def runtime(self) -> Path:
        """The real node's sockets and namespaces."""
        return RUN / f"devtools-{self.key}"

    @property
    def veth(self) -> str:
        """The name of the link's interface on the host; at most 15 characters."""
        return f"dt{self.key}"

    @property
    def cgroup(self) -> str:
        """The parent of all of the real node's containers."""
        return f"devtools-{self.key}"

    @property
    def context(self) -> str:
        """The context's name, as kwokctl sets it."""
        return f"kwok-{self.name}"


def programs(clusters: Path) -> Mapping[Path, str]:
    """Return the programs of all clusters, stopped ones too, each with its cluster: kwokctl starts them again."""
    found = clusters.glob("*/kwok/clusters/*/bin/*")
    return {link.resolve(): f"cluster {link.parent.parent.name}" for link in sorted(found)}
