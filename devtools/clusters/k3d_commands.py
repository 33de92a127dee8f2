"""k3d 5: commands, the cluster configuration it reads on stdin, and what its answers mean.

Configuration: k3d.io/v1alpha5, kind Simple, https://k3d.io/stable/usage/configfile/. `cluster list -o json` gives
`serversRunning` and `serversCount` per cluster; it also holds the cluster's token, so it is never shown or logged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import json_for_yaml
from devtools.process.runner import Command, Result

LABEL = "devtools.ameide.io/config"  # runtime label of the server containers: the configuration's digest
REGISTRY_PORT = 5000  # inside the cluster's network, whatever it is outside
_STRANGE = "not a list of k3d's"
_PODS = ("server", "agent")  # roles of nodes that run pods
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_COLOURED = re.compile(r"^(?:ERRO|FATA)\[\d+\]\s+(.*)$")
_PLAIN = re.compile(r'level=(?:error|fatal) msg="?(.*?)"?$')


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
    """What a cluster is to be. `ports` are `HOST:CONTAINER[/PROTOCOL]`, published by the load balancer."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One cluster as `cluster list` gives it."""

    name: str
    servers_running: int
    servers: int
    agents_running: int
    agents: int
    digest: str = ""  # of the configuration it was made from
    nodes: tuple[str, ...] = ()  # containers that run pods: servers and agents

    @property
    def is_running(self) -> bool:
        """Every server and agent runs; a half-running cluster wants to be started."""
        return 0 < self.servers == self.servers_running and self.agents == self.agents_running


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
            "config": json.dumps({"mirrors": mirror}),
        },
        "options": {
            "k3d": {"wait": True, "timeout": f"{config.timeout}s"},
            "k3s": {"extraArgs": [{"arg": f"--tls-san={config.balancer}", "nodeFilters": ["server:*"]}]},
            "kubeconfig": {"updateDefaultKubeconfig": False, "switchCurrentContext": False},
        },
    }


def digest(config: Config) -> str:
    """What the configuration says, in 16 characters: a label's value."""
    return hashlib.sha256(json.dumps(document(config), sort_keys=True).encode()).hexdigest()[:16]


def create(k3d: Path, config: Config) -> Command:
    """Make the cluster; its configuration, with its digest as a runtime label, goes in on stdin."""
    content = document(config)
    label = {"label": f"{LABEL}={digest(config)}", "nodeFilters": ["server:*"]}
    content["options"]["runtime"] = {"labels": [label]}
    stdin = (json_for_yaml(content) + "\n").encode()
    argv = (str(k3d), "cluster", "create", "--config", "-")
    return Command(argv=argv, stdin=stdin, timeout=config.timeout + 30)


def start(k3d: Path, config: Config) -> Command:
    """Start a stopped cluster."""
    argv = (str(k3d), "cluster", "start", config.name, "--wait", "--timeout", f"{config.timeout}s")
    return Command(argv=argv, timeout=config.timeout + 30)


def stop(k3d: Path, name: str) -> Command:
    """Stop a cluster; stopping and starting also brings back `host.k3d.internal` after a restart of Docker."""
    return Command(argv=(str(k3d), "cluster", "stop", name), timeout=60)


def delete(k3d: Path, name: str) -> Command:
    """Remove a cluster; fine when absent."""
    return Command(argv=(str(k3d), "cluster", "delete", name), timeout=120)


def list_clusters(k3d: Path) -> Command:
    """All clusters; a failure does not mean that there are none."""
    return Command(argv=(str(k3d), "cluster", "list", "-o", "json"), timeout=30)


def list_registries(k3d: Path) -> Command:
    """All registries of k3d's."""
    return Command(argv=(str(k3d), "registry", "list", "-o", "json"), timeout=30)


def create_registry(k3d: Path, registry: Registry) -> Command:
    """Make a registry that listens on 127.0.0.1."""
    argv = (str(k3d), "registry", "create", registry.name, "--port", f"127.0.0.1:{registry.port}", "--no-help")
    return Command(argv=argv, timeout=180)


def delete_registry(k3d: Path, registry: Registry) -> Command:
    """Remove a registry with what was pushed to it; it is called by its container's name."""
    return Command(argv=(str(k3d), "registry", "delete", registry.host), timeout=60)


def start_node(k3d: Path, name: str) -> Command:
    """Start a stopped container of k3d's: a registry."""
    return Command(argv=(str(k3d), "node", "start", name), timeout=60)


def import_images(k3d: Path, cluster: str, images: tuple[str, ...], *, timeout: float) -> Command:
    """Copy images from the engine into every node; that it ends well does not mean that they are there (k3d#1484).

    By a tools container, because `direct` can hang.
    """
    argv = (str(k3d), "image", "import", *images, "--cluster", cluster, "--mode", "tools-node")
    return Command(argv=argv, timeout=timeout)


def get_kubeconfig(k3d: Path, name: str) -> Command:
    """Print the cluster's kubeconfig; it holds a private key, so its output is not for logs."""
    return Command(argv=(str(k3d), "kubeconfig", "get", name), timeout=30)


def parse_clusters(output: str) -> tuple[Listed, ...]:
    """From `cluster list -o json`; raises ValueError where that is not what it is."""
    try:
        return tuple(_listed(item) for item in _array(output))
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(_STRANGE) from error


def _listed(item: Mapping[str, Any]) -> Listed:
    """One element of the list."""
    return Listed(
        name=str(item["name"]),
        servers_running=int(item.get("serversRunning", 0)),
        servers=int(item.get("serversCount", 0)),
        agents_running=int(item.get("agentsRunning", 0)),
        agents=int(item.get("agentsCount", 0)),
        digest=_digest_of(item),
        nodes=tuple(str(node["name"]) for node in item.get("nodes") or () if node.get("role") in _PODS),
    )


def parse_registries(output: str) -> dict[str, bool]:
    """From `registry list -o json`: each registry's container name, and whether it runs; raises ValueError."""
    try:
        return {
            str(item["name"]).lstrip("/"): bool((item.get("State") or item.get("state") or {}).get("Running"))
            for item in _array(output)
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(_STRANGE) from error


def reason(result: Result) -> str:
    """Why k3d failed: see `first_error`."""
    return first_error(result.stderr or result.stdout)


def first_error(output: str) -> str:
    """The first error k3d gave, without colours and time; the last line where there is none."""
    lines = [_ANSI.sub("", line).strip() for line in output.splitlines()]
    for line in lines:
        if found := _COLOURED.match(line) or _PLAIN.search(line):
            return found.group(1).replace('\\"', '"')
    return next((line for line in reversed(lines) if line), "no reason given")


def kubeconfig(output: str, server: str = "") -> str:
    """What `kubeconfig get` printed, from its first key on, with an address that works.

    0.0.0.0 breaks behind proxies and is no address to connect to; `server` replaces the whole URL where it is given.
    """
    text = _ANSI.sub("", output)
    start_at = text.find("apiVersion:")
    if start_at < 0:
        raise ValueError("no kubeconfig")
    text = text[start_at:].replace("https://0.0.0.0:", "https://127.0.0.1:")
    return re.sub(r"(?m)^(\s*server:\s*).*$", rf"\g<1>{server}", text) if server else text


def server_url(config: Config, *, beside: bool) -> str:
    """Where a client finds the API server.

    `beside` is docker-outside-of-docker: the client is a container next to the cluster's, to which 127.0.0.1 is
    its own; it joins the cluster's network and uses the load balancer's name. On the host, and in
    docker-in-docker, 127.0.0.1 is right.
    """
    return f"https://{config.balancer}:6443" if beside else f"https://127.0.0.1:{config.api_port}"


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


def _array(output: str) -> list[dict[str, Any]]:
    """The JSON array in an output that log lines may precede."""
    text = _ANSI.sub("", output)
    start_at = 0 if text.lstrip().startswith("[{") or text.strip() in {"[]", "null"} else text.find("\n[")
    found = read_json(text[max(start_at, 0) :])
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError("not a list of objects")
    return found


def _digest_of(item: Mapping[str, Any]) -> str:
    """The configuration's digest, from any server's labels."""
    for node in item.get("nodes") or ():
        if value := (node.get("runtimeLabels") or {}).get(LABEL):
            return str(value)
    return ""


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value)
