"""Parses k3d's output: its lists, its errors, the kubeconfig it prints."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from devtools.base.machine_json import read_json
from devtools.clusters.k3d.config import LABEL
from devtools.process.runner import Result

T = TypeVar("T")
_PODS = ("server", "agent")  # roles of nodes that run pods
_NEVER_STARTED = "created"  # Docker's state of a container that was created and not started
_CRASHING = "restarting"  # of a container in a restart loop; Docker reports it as running, too
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_COLOURED = re.compile(r"^(?:ERRO|FATA)\[\d+\]\s+(.*)$")
_PLAIN = re.compile(r'level=(?:error|fatal) msg="?(.*?)"?$')


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One container of k3d: a server, an agent, a load balancer or a registry."""

    name: str
    role: str
    is_running: bool = False
    is_crashing: bool = False  # in a restart loop: starting it would not help
    is_started: bool = True  # it has run before
    digest: str = ""  # of the configuration it was created from; empty: devtools did not create it
    ports: tuple[int, ...] = ()  # of the host
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterListing:
    """One cluster of `cluster list`."""

    name: str
    nodes: tuple[Node, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the configuration it was created from; empty: devtools did not create it."""
        return next((node.digest for node in self.nodes if node.digest), "")

    @property
    def workers(self) -> tuple[str, ...]:
        """Containers that run pods: servers and agents."""
        return tuple(node.name for node in self.nodes if node.role in _PODS)

    @property
    def stopped(self) -> tuple[Node, ...]:
        """Containers that do not run, the load balancer among them."""
        return tuple(node for node in self.nodes if not node.is_running)

    @property
    def crashing(self) -> tuple[str, ...]:
        """Containers in a restart loop."""
        return tuple(node.name for node in self.nodes if node.is_crashing)

    @property
    def is_running(self) -> bool:
        """Whether every container runs, and there is a server; a half-running cluster must be started."""
        return any(node.role == "server" for node in self.nodes) and not self.stopped

    @property
    def is_complete(self) -> bool:
        """Whether its creation started every container; `cluster start` hangs on one that was never started."""
        return any(node.role == "server" for node in self.nodes) and all(node.is_started for node in self.nodes)


def parse_clusters(output: str) -> tuple[ClusterListing, ...]:
    """Parse `cluster list -o json`; raises ValueError if it is something else."""
    return _parsed(
        output, lambda item: ClusterListing(name=str(item["name"]), nodes=tuple(map(_node, item.get("nodes") or ())))
    )


def parse_registries(output: str) -> dict[str, Node]:
    """Parse `registry list -o json`: registries by their containers' names; raises ValueError."""
    return {node.name: node for node in _parsed(output, _node)}


def reason(result: Result) -> str:
    """Return why k3d failed; see `first_error`."""
    return first_error(result.stderr or result.stdout)


def first_error(output: str) -> str:
    """Return k3d's first error, without colours and time; the last line if there is none."""
    lines = [_ANSI.sub("", line).strip() for line in output.splitlines()]
    for line in lines:
        if found := _COLOURED.match(line) or _PLAIN.search(line):
            return found.group(1).replace('\\"', '"')
    return next((line for line in reversed(lines) if line), "no reason given")


def kubeconfig(output: str, server: str = "") -> str:
    """Return the kubeconfig in an output, with a usable address (0.0.0.0 fails behind proxies), or with `server`."""
    text = _ANSI.sub("", output)
    start_at = text.find("apiVersion:")
    if start_at < 0:
        raise ValueError("no kubeconfig")
    text = text[start_at:].replace("https://0.0.0.0:", "https://127.0.0.1:")
    return re.sub(r"(?m)^(\s*server:\s*).*$", rf"\g<1>{server}", text) if server else text


def _node(item: Mapping[str, Any]) -> Node:
    state = item.get("State") or {}
    return Node(
        name=str(item["name"]).lstrip("/"),
        role=str(item.get("role", "")),
        is_running=bool(state.get("Running")) and state.get("Status") != _CRASHING,
        is_crashing=state.get("Status") == _CRASHING,
        is_started=state.get("Status") != _NEVER_STARTED,
        digest=str((item.get("runtimeLabels") or {}).get(LABEL, "")),
        ports=tuple(sorted(_ports(item.get("portMappings") or {}))),
        networks=tuple(str(network) for network in item.get("Networks") or ()),
    )


def _ports(mappings: Mapping[str, Any]) -> set[int]:
    """Return the ports of the host in `{"5000/tcp": [{"HostIp": …, "HostPort": "5550"}]}`."""
    rows = [row for mapped in mappings.values() for row in mapped or ()]
    return {int(port) for row in rows if (port := str(row.get("HostPort") or "")).isascii() and port.isdecimal()}


def _parsed(output: str, parse: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    """Parse each item of the JSON array in an output that log lines may precede; raises ValueError."""
    text = _ANSI.sub("", output)
    start_at = 0 if text.lstrip().startswith("[{") or text.strip() in {"[]", "null"} else text.find("\n[")
    found = read_json(text[max(start_at, 0) :])
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        if isinstance(found, list | None):
            return tuple(map(parse, found or ()))
    raise ValueError("not a list of k3d's")
