"""What the peers are given, from the same stack: a helmfile.yaml, and scripts of `helm upgrade --install`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.graphs import batches

TIMEOUT = 300  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One release for the peers: a packed chart, its merged values in a file, and the plan's edges."""

    name: str
    namespace: str
    chart: Path
    values: Path
    needs: tuple[str, ...] = ()  # namespace/name, declared before it

    @property
    def id(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The cluster and the helm to reach it with."""

    helm: Path
    kubeconfig: Path
    context: str


def write_values(directory: Path, release: str, values: Mapping[str, Any]) -> Path:
    """A release's merged values as a file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{release.replace('/', '_')}.json"
    path.write_text(json.dumps(values), "utf-8")
    return path


def helmfile_yaml(items: Sequence[Item], context: str) -> str:
    """The state file of helmfile 1.x: no repositories, no dependency builds, readiness waited for as we do."""
    releases = [
        {
            "name": item.name,
            "namespace": item.namespace,
            "chart": str(item.chart),
            "values": [str(item.values)],
            **({"needs": list(item.needs)} if item.needs else {}),
        }
        for item in items
    ]
    defaults = {
        "kubeContext": context,
        "createNamespace": True,
        "wait": True,
        "timeout": TIMEOUT,
        "historyMax": 5,
        "skipDeps": True,
    }
    return yaml.safe_dump({"helmDefaults": defaults, "releases": releases}, sort_keys=False)


def loop_script(items: Sequence[Item], target: Target) -> str:
    """One after the other, in an order that respects every edge."""
    return "#!/bin/sh\nset -eu\n" + "".join(f"{_line(item, target)} >/dev/null\n" for item in items)


def xargs_script(items: Sequence[Item], target: Target, lists: Path, at_once: int) -> str:
    """Level by level, `at_once` of a level at the same time; writes the lists that xargs reads into `lists`."""
    lists.mkdir(parents=True, exist_ok=True)
    known = {item.id: item for item in items}
    lines = ["#!/bin/sh", "set -eu"]
    for number, names in enumerate(batches({item.id: item.needs for item in items})):
        path = lists / f"level-{number}"
        path.write_text("".join(f"{_line(known[name], target)}\n" for name in names), "utf-8")
        lines.append(f"xargs -P {at_once} -I LINE sh -c 'LINE >/dev/null' < {shlex.quote(str(path))}")
    return "\n".join(lines) + "\n"


def _line(item: Item, target: Target) -> str:
    """One helm command."""
    words = (
        *(target.helm, "upgrade", item.name, item.chart, "--install", "--namespace", item.namespace),
        *("--create-namespace", "--values", item.values, "--wait", "--timeout", f"{TIMEOUT}s", "--history-max", 5),
        *("--kubeconfig", target.kubeconfig, "--kube-context", target.context),
    )
    return " ".join(str(word) for word in words)
