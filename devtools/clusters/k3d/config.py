"""The configuration of a k3d cluster: k3d.io/v1alpha5, kind Simple, https://k3d.io/stable/usage/configfile/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LABEL = "k3d-devtools.config"
"""Runtime label of every container of a cluster: the digest of its configuration.

k3d lists only labels that begin with `k3d`, and reserves those that begin with `k3d.` for itself.
"""
API_VERSION = "k3d.io/v1alpha5"
KIND = "Simple"
REGISTRY_PORT = 5000  # inside the cluster's network; the host port may differ
_NODES = ("server:*", "agent:*", "loadbalancer")  # node filter for every container of a cluster


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
    """The cluster to create. `ports` are `HOST:CONTAINER[/PROTOCOL]`, published by the load balancer.

    `mirrors` are URLs by registry, `volumes` are `SOURCE:TARGET[:ro]`. `base` is the user's configuration file, over
    which all this is merged; relative paths in it are relative to `directory`.
    """

    name: str
    api_port: int
    registry: Registry
    servers: int | None = None  # as `base` says, else 1
    agents: int | None = None  # as `base` says, else 0
    image: str = ""  # of k3s; empty: as `base` says, else the default of this k3d
    ports: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    traefik: bool = False
    base: Mapping[str, Any] = field(default_factory=dict)
    directory: Path | None = None
    timeout: int = 180  # seconds

    @property
    def context(self) -> str:
        """Its context's name in a kubeconfig."""
        return f"k3d-{self.name}"

    @property
    def own_network(self) -> str:
        """The Docker network that k3d creates for it."""
        return f"k3d-{self.name}"

    @property
    def network(self) -> str:
        """The Docker network of its containers."""
        return str(self.base.get("network") or self.own_network)

    @property
    def balancer(self) -> str:
        """Its load balancer's host name inside its network."""
        return f"k3d-{self.name}-serverlb"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The containers of its servers and its agents."""
        made = document(self)
        return tuple(f"k3d-{self.name}-{role}-{n}" for role in ("server", "agent") for n in range(made[f"{role}s"]))

    @property
    def host_ports(self) -> tuple[int, ...]:
        """Ports of the host that it uses, the API server's first."""
        published = [str(item.get("port", "")).split("@")[0].split(":") for item in document(self)["ports"]]
        found = [parts[-2] for parts in published if len(parts) > 1]
        return (self.api_port, *(int(port) for port in found if port.isascii() and port.isdecimal()))


def document(config: Config) -> dict[str, Any]:
    """Return the configuration file's content: generated keys merged over the user's file.

    Everything listens on 127.0.0.1 unless that file names another address. Nothing is written to the user's
    kubeconfig. The load balancer's name is among the certificate's, for clients that are containers on the same
    network. k3s's Traefik is off, because it would hold ports 80 and 443 of the load balancer.
    """
    registry = config.registry
    mirrors = {
        **{host: {"endpoint": list(urls)} for host, urls in config.mirrors.items()},
        f"localhost:{registry.port}": {"endpoint": [f"http://{registry.host}:{REGISTRY_PORT}"]},
    }
    arguments = [f"--tls-san={config.balancer}", *(() if config.traefik else ("--disable=traefik",))]
    own: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": config.name},
        **{key: value for key, value in (("servers", config.servers), ("agents", config.agents)) if value is not None},
        **({"image": config.image} if config.image else {}),
        "kubeAPI": {"host": "127.0.0.1", "hostIP": "127.0.0.1", "hostPort": str(config.api_port)},
        "ports": [{"port": port, "nodeFilters": ["loadbalancer"]} for port in config.ports],
        "volumes": [{"volume": volume, "nodeFilters": ["server:*", "agent:*"]} for volume in config.volumes],
        "registries": {"use": [f"{registry.host}:{registry.port}"]},
        "options": {
            "k3d": {"wait": True, "timeout": f"{config.timeout}s"},
            "k3s": {"extraArgs": [{"arg": argument, "nodeFilters": ["server:*"]} for argument in arguments]},
            "kubeconfig": {"updateDefaultKubeconfig": False, "switchCurrentContext": False},
        },
    }
    made: dict[str, Any] = merged({"servers": 1, "agents": 0, **config.base}, own)
    made["ports"] = [{**item, "port": _local(str(item.get("port", "")))} for item in made["ports"]]
    theirs = read_registries(made["registries"].get("config"))
    # k3d would read text without a line break as a file's path
    made["registries"]["config"] = json.dumps(merged(theirs, {"mirrors": mirrors}), indent=2) + "\n"
    return made


def merged(base: Any, over: Any) -> Any:
    """Merge `over` into `base`: maps key by key, lists concatenated; any other value replaces."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        both = {key: merged(base[key], over[key]) for key in base if key in over}
        return {**base, **over, **both}
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *(item for item in over if item not in base)]
    return over


def read_registries(text: object) -> Mapping[str, Any]:
    """Return the registries.yaml embedded in a configuration; empty if it is invalid."""
    if not isinstance(text, str) or "\n" not in text:
        return {}
    from devtools.base.machine_yaml import read_yaml

    found = read_yaml(text.encode())
    return found if isinstance(found, Mapping) else {}


def digest(config: Config) -> str:
    """Return the digest of the configuration, 16 characters, for use as a label's value."""
    return hashlib.sha256(json.dumps(document(config), sort_keys=True).encode()).hexdigest()[:16]


def labelled(config: Config) -> dict[str, Any]:
    """Return the document with its own digest as a runtime label."""
    content = document(config)
    label = {"label": f"{LABEL}={digest(config)}", "nodeFilters": list(_NODES)}
    return dict(merged(content, {"options": {"runtime": {"labels": [label]}}}))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> tuple[str, ...]:
    """Return the differences of two configuration documents, each as `key: old → new`."""
    found: list[str] = []
    for key in sorted({*old, *new}):
        place = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, place)
        elif before != after:
            found.append(f"{place}: {_shown(before)} → {_shown(after)}")
    return tuple(found)


def _local(port: str) -> str:
    """Return a port mapping that listens on 127.0.0.1 unless it names another address."""
    mapping = port.split("@", maxsplit=1)[0]
    return f"127.0.0.1:{port}" if mapping.count(":") == 1 else port


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value)
