"""docker buildx 0.15 or newer: commands for a builder in the cluster, and how to read their output.

Commands: https://docs.docker.com/reference/cli/docker/buildx/. The kubernetes driver stores the value of KUBECONFIG at
creation in the builder's endpoint and uses the current context of that file: devtools passes the cluster's own file,
never the user's. buildx refuses to create an existing builder, so existing ones are listed first.

Version 0.13 added `--buildkitd-config` and `ls --format`, 0.15 the driver's option `timeout`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from devtools.base.machine_json import read_json
from devtools.process.runner import Command, Result

DRIVER = "kubernetes"
# A row for each builder and, under it, for each of its nodes; JSON, because names and errors are arbitrary text.
_FORMAT = "[{{json .Builder.Name}},{{json .Name}},{{json .DriverEndpoint}},{{json .Status}},{{json .Error}}]"
_ASKING = 60.0  # seconds; buildx itself waits 20 for nodes
OLDEST = (0, 15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a builder: `status` is `running`, `inactive`, … or `error`."""

    name: str
    endpoint: str
    status: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """One builder of `buildx ls`."""

    name: str
    driver: str
    nodes: tuple[Node, ...] = ()
    error: str = ""

    @property
    def is_running(self) -> bool:
        """Whether there are nodes, and all of them run."""
        return not self.error and bool(self.nodes) and all(node.status == "running" for node in self.nodes)

    def is_for(self, kubeconfig: Path) -> bool:
        """Return whether it was created for the cluster of that file; if not, it must be removed and created again."""
        found = [parse_qs(urlsplit(node.endpoint).query).get("kubeconfig") for node in self.nodes]
        return self.driver == DRIVER and bool(found) and all(item == [str(kubeconfig)] for item in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildx:
    """One docker program, and the cluster that builders are made in."""

    program: Path
    kubeconfig: Path

    def version(self) -> Command:
        """Print buildx's version; fails if docker has no buildx."""
        return self._command("version", timeout=_ASKING)

    def list(self) -> Command:
        """Print every builder and node; see `builders`."""
        return self._command("ls", "--format", _FORMAT, timeout=_ASKING)

    def create(self, name: str, namespace: str, *, timeout: int, config: Path) -> Command:
        """Create a builder in the cluster and wait `timeout` seconds for its pod.

        `config` is BuildKit's own configuration; see `registry_config`. Options of the driver:
        https://docs.docker.com/build/builders/drivers/kubernetes/. It does not become the current builder: the user's
        own `docker build` is not affected.
        """
        options = ("--driver-opt", f"namespace={namespace}", "--driver-opt", f"timeout={timeout}s")
        return self._command(
            *("create", "--name", name, "--driver", DRIVER, *options, "--buildkitd-config", str(config), "--bootstrap"),
            timeout=timeout + _ASKING,
        )

    def boot(self, name: str, *, timeout: int) -> Command:
        """Start an existing builder and wait for it."""
        return self._command("inspect", name, "--bootstrap", timeout=timeout + _ASKING)

    def remove(self, name: str, *, keep_daemon: bool = False) -> Command:
        """Remove a builder, which must exist, and its objects; with `keep_daemon` without contacting its cluster."""
        return self._command("rm", *(("--keep-daemon",) if keep_daemon else ()), name, timeout=2 * _ASKING)

    def _command(self, *words: str, timeout: float) -> Command:
        env = {"KUBECONFIG": str(self.kubeconfig)}
        return Command(argv=(str(self.program), "buildx", *words), env=env, timeout=timeout)


def obstacle(result: Result) -> str:
    """Return why there can be no builder, from the output of `version`; an unreadable version is new enough."""
    if not result.ok:
        return "docker has no buildx plugin"
    found = re.search(r"\bv?(\d+)\.(\d+)(\.\d+)?", result.stdout.partition(" ")[2])
    if found and (int(found[1]), int(found[2])) < OLDEST:
        return f"docker buildx is {found[0].removeprefix('v')}, and {OLDEST[0]}.{OLDEST[1]} is the oldest that works"
    return ""


def registry_config(registry: str) -> str:
    """Return BuildKit's configuration for pushing to a plain HTTP registry: `host:port` as seen in the cluster.

    https://github.com/moby/buildkit/blob/master/docs/buildkitd.toml.md
    """
    return f"[registry.{json.dumps(registry)}]\n  http = true\n"


def builders(output: str) -> tuple[Builder, ...]:
    """Parse the builders in the output of `list`. ValueError if it is something else."""
    found: dict[str, tuple[str, str, list[Node]]] = {}
    for line in output.splitlines():
        if not line.strip():
            continue
        owner, name, endpoint, status, error = _row(line)
        if owner not in found:  # a builder's own row precedes those of its nodes, which may have the same name
            found[owner] = (endpoint, error or (status if status == "error" else ""), [])
        else:
            found[owner][2].append(Node(name=name, endpoint=endpoint, status=status, error=error))
    return tuple(
        Builder(name=name, driver=driver, nodes=tuple(nodes), error=error)
        for name, (driver, error, nodes) in found.items()
    )


def find(listed: Iterable[Builder], name: str) -> Builder | None:
    """Return the builder of that name."""
    return next((builder for builder in listed if builder.name == name), None)


def _row(line: str) -> list[str]:
    row = read_json(line)
    if not isinstance(row, list) or [type(item) for item in row] != [str] * 5:
        raise ValueError(f"not a row of buildx ls: {line}")
    return row
