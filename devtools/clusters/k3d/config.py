"""The configuration of a k3d cluster: k3d.io/v1alpha5, kind Simple, https://k3d.io/stable/usage/configfile/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LABEL = "k3d-devtools.config"
"""Runtime label of every container of a cluster: the digest of its configuration.

k3d lists only labels that begin with `k3d`, and keeps those that begin with `k3d.` for itself.
"""
REGISTRY_PORT = 5000  # inside the cluster's network, whatever it is outside
_NODES = ("server:*", "agent:*", "loadbalancer")  # node filters: every container of a cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A registry of its own, which outlives the clusters that use it."""

    name: str  # without k3d's prefix
    port: int  # on the host

    @property
    def host(self) -> str:
        """Its container's name, and its host name inside clusters."""
        return f"k3d-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The wanted cluster. `ports` are `HOST:CONTAINER[/PROTOCOL]`, published by the load balancer."""

    name: str
    api_port: int
    registry: Registry
    agents: int = 0
    image: str = ""  # of k3s; empty: the one this k3d is made for
    ports: tuple[str, ...] = ()
    timeout: int = 180  # seconds

    @property
    def context(self) -> str:
        """Its context's name in a kubeconfig."""
        return f"k3d-{self.name}"

    @property
    def network(self) -> str:
        """The Docker network of its containers."""
        return f"k3d-{self.name}"

    @property
    def balancer(self) -> str:
        """Its load balancer's host name inside its network."""
        return f"k3d-{self.name}-serverlb"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The containers of its server and its agents."""
        return (f"k3d-{self.name}-server-0", *(f"k3d-{self.name}-agent-{number}" for number in range(self.agents)))

    @property
    def host_ports(self) -> tuple[int, ...]:
        """Ports of the host that it takes, the API server's first."""
        return (self.api_port, *(int(port.split(":")[0]) for port in self.ports))


def document(config: Config) -> dict[str, Any]:
    """The configuration file's content.

    Everything listens on 127.0.0.1 only. Nothing is written to the user's kubeconfig. The load balancer's name is
    among the certificate's, for clients that are containers on the same network.
    """
    registry = config.registry
    mirror = {f"localhost:{registry.port}": {"endpoint": [f"http://{registry.host}:{REGISTRY_PORT}"]}}
    return {
        "apiVersion": "k3d.io/v1alpha5",
        "kind": "Simple",
        "metadata": {"name": config.name},
        "servers": 1,
        "agents": config.agents,
        **({"image": config.image} if config.image else {}),
        "kubeAPI": {"hostIP": "127.0.0.1", "hostPort": str(config.api_port)},
        "ports": [{"port": f"127.0.0.1:{port}", "nodeFilters": ["loadbalancer"]} for port in config.ports],
        "registries": {
            "use": [f"{registry.host}:{registry.port}"],
            "config": _embedded({"mirrors": mirror}),
        },
        "options": {
            "k3d": {"wait": True, "timeout": f"{config.timeout}s"},
            "k3s": {"extraArgs": [{"arg": f"--tls-san={config.balancer}", "nodeFilters": ["server:*"]}]},
            "kubeconfig": {"updateDefaultKubeconfig": False, "switchCurrentContext": False},
        },
    }


def digest(config: Config) -> str:
    """Digest of the configuration, 16 characters: a label's value."""
    return hashlib.sha256(json.dumps(document(config), sort_keys=True).encode()).hexdigest()[:16]


def labelled(config: Config) -> dict[str, Any]:
    """The document with its own digest as a runtime label."""
    content = document(config)
    label = {"label": f"{LABEL}={digest(config)}", "nodeFilters": list(_NODES)}
    content["options"]["runtime"] = {"labels": [label]}
    return content


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> tuple[str, ...]:
    """How two configuration documents differ, one `key: old → new` each."""
    found: list[str] = []
    for key in sorted({*old, *new}):
        place = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, place)
        elif before != after:
            found.append(f"{place}: {_shown(before)} → {_shown(after)}")
    return tuple(found)


def _embedded(registries: Mapping[str, Any]) -> str:
    """A registries.yaml as k3d takes it: text without a line break would be the path of a file."""
    return json.dumps(registries, indent=2) + "\n"


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value)
