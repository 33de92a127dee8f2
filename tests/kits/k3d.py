"""A double of k3d 5.9.0 as a program: `install` puts it on a PATH, with its containers in a JSON file.

It refuses what the real one refuses and writes where the real one writes; tests/clusters/test_real_k3d.py compares the
two. Environment:
FAKE is its directory (`calls`, `k3d.json`, `config.json`, `kubeconfig`); K3D_FAILS names commands that fail
(`cluster-create`), K3D_HANGS those that stop half-way and never end.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

TYPE_CHECKING = False  # mypy knows it by its name; typing itself takes as long to import as the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

DEFAULT_IMAGE = "docker.io/rancher/k3s:v1.34.4-k3s1"


def home() -> Path:
    return Path(os.environ["FAKE"])


def main(words: list[str]) -> None:
    state = home() / "k3d.json"
    with (home() / "calls").open("a") as calls:
        calls.write(f"k3d {' '.join(words)}\n")
    name = "-".join(words[:2])
    if name in os.environ.get("K3D_FAILS", "").split():
        fatal("k3d is out of order", level="ERRO")
    nodes = json.loads(state.read_text()) if state.exists() else []
    verbs: dict[str, Callable[[], object]] = {
        "cluster-list": lambda: show(clusters(nodes)),
        "cluster-create": lambda: create(nodes),
        "cluster-start": lambda: start(nodes, words[2]),
        "cluster-stop": lambda: mark(of(nodes, words[2]), "exited"),
        "cluster-delete": lambda: delete(nodes, words[2]),
        "registry-list": lambda: show([node for node in nodes if node["role"] == "registry"]),
        "registry-create": lambda: create_registry(nodes, words),
        "registry-delete": lambda: nodes.remove(found(nodes, words[2], f"failed to get node '{words[2]}': ")),
        "node-start": lambda: start_node(nodes, words[2]),
        "kubeconfig-get": lambda: kubeconfig(nodes, words[2]),
    }
    if name not in verbs:
        fatal(f'unknown command "{" ".join(words)}" for "k3d"')
    verbs[name]()
    save(nodes)


def create(nodes: list[dict[str, Any]]) -> None:
    config = json.loads(sys.stdin.read())
    (home() / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    info("Using config file - (k3d.io/v1alpha5#simple)")
    name, options = config["metadata"]["name"], config.get("options", {})
    registries = config.get("registries", {})
    embedded = registries.get("config", "")
    if embedded and "\n" not in embedded:
        fatal(f"failed to open registry config file at {embedded}: open {embedded}: no such file or directory")
    labels = [item["label"].split("=", 1) for item in options.get("runtime", {}).get("labels", [])]
    for key, _ in labels:
        if key.startswith(("k3s.", "k3d.")) or key == "app":
            fatal(f'runtime label "{key}" is reserved for internal usage')
    if of(nodes, name):
        fatal(f"Failed to create cluster '{name}' because a cluster with that name already exists")
    info("Prep: Network")
    used = [item.split(":")[0] for item in registries.get("use", [])]
    for host in used:
        what = f"Failed Cluster Preparation: Failed to find registry node '{host}': "
        found(nodes, host, what)["Networks"].append(f"k3d-{name}")
    api = {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": config["kubeAPI"]["hostPort"]}]}
    for item in config.get("ports", []):
        ip, host, port = item["port"].split(":")
        api[f"{port}/tcp"] = [{"HostIp": ip, "HostPort": host}]
    made = [node(f"k3d-{name}-server-{index}", "server", name) for index in range(config["servers"])]
    made += [node(f"k3d-{name}-agent-{index}", "agent", name) for index in range(config["agents"])]
    made.append(node(f"k3d-{name}-serverlb", "loadbalancer", name, ports=api))
    for item in made:
        item["image"] = config.get("image", DEFAULT_IMAGE)
        item["labels"] |= dict(labels)
    nodes += made
    save(nodes)
    if "cluster-create" in os.environ.get("K3D_HANGS", "").split():
        time.sleep(300)  # its containers are there, and none was started
    mark(made, "running")


def start(nodes: list[dict[str, Any]], name: str) -> None:
    if not of(nodes, name):
        fatal("No nodes found for given cluster")
    if any(item["status"] == "created" for item in of(nodes, name)):
        time.sleep(300)  # what create puts into a container before its first start is missing: k3s never gets ready
    mark(of(nodes, name), "running")


def start_node(nodes: list[dict[str, Any]], name: str) -> None:
    item = found(nodes, name)
    if gone := set(item["Networks"]) - {"bridge", *(f"k3d-{other['cluster']}" for other in nodes)}:
        reason = f"Error response from daemon: network {min(gone)} not found"
        fatal(f"docker failed to start container for node '{name}': {reason}")
    mark([item], "running")


def delete(nodes: list[dict[str, Any]], name: str) -> None:
    if not of(nodes, name):
        info(f"No nodes found for cluster '{name}', nothing to delete.")
        return
    nodes[:] = [item for item in nodes if item["cluster"] != name]
    for item in nodes:
        if item["status"] == "running":
            item["Networks"] = [network for network in item["Networks"] if network != f"k3d-{name}"]
    info("Removing cluster details from default kubeconfig...")
    user = Path(os.environ["HOME"])
    default = Path(os.environ.get("KUBECONFIG") or user / ".kube/config")
    if default.is_file():
        default.write_text(re.sub(rf"current-context: k3d-{name}\b", "current-context: another", default.read_text()))
        default.write_text(default.read_text() + "# written by k3d\n")
    Path(os.environ.get("XDG_CONFIG_HOME") or user / ".config/k3d").mkdir(parents=True, exist_ok=True)


def create_registry(nodes: list[dict[str, Any]], words: list[str]) -> None:
    name = f"k3d-{words[2]}"
    if any(item["name"] == name for item in nodes):
        fatal("Failed to create registry: A registry node with that name already exists")
    ip, port = words[words.index("--port") + 1].split(":")
    made = node(name, "registry", "", ports={"5000/tcp": [{"HostIp": ip, "HostPort": port}]})
    mark([made], "running")
    nodes.append({**made, "Networks": ["bridge"]})


def kubeconfig(nodes: list[dict[str, Any]], name: str) -> None:
    if not of(nodes, name):
        fatal("No nodes found for given cluster")
    sys.stdout.write((home() / "kubeconfig").read_text())


def node(name: str, role: str, cluster: str, ports: dict[str, Any] | None = None) -> dict[str, Any]:
    labels = {"app": "k3d", "k3d.cluster": cluster, "k3d.role": role, "k3d.version": "v5.9.0"}
    networks = [f"k3d-{cluster}"]
    ports = ports or {}
    return {
        "name": name,
        "role": role,
        "cluster": cluster,
        "status": "created",
        "image": "",
        "labels": labels,
        "ports": ports,
        "Networks": networks,
    }


def clusters(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As `cluster list -o json` prints them."""
    result = []
    for name in sorted({item["cluster"] for item in nodes if item["cluster"]}):
        mine = of(nodes, name)
        counts = {}
        for role in ("server", "agent"):
            those = [item for item in mine if item["role"] == role]
            counts[f"{role}sCount"] = len(those)
            counts[f"{role}sRunning"] = sum(item["status"] == "running" for item in those)
        result.append({"name": name, "nodes": mine, **counts})
    return result


def show(items: list[dict[str, Any]]) -> None:
    rows = [{**item, "nodes": [*map(shown, item["nodes"])]} if "nodes" in item else shown(item) for item in items]
    sys.stdout.write(json.dumps(rows) + "\n")


def shown(item: dict[str, Any]) -> dict[str, Any]:
    """One node, in k3d's mixture of cases; of its labels only those that begin with `k3d`."""
    return {
        "name": item["name"],
        "role": item["role"],
        "image": item["image"],
        "portMappings": item["ports"],
        "runtimeLabels": {key: value for key, value in item["labels"].items() if key.startswith("k3d")},
        "Networks": item["Networks"],
        "State": {"Running": item["status"] in {"running", "restarting"}, "Status": item["status"], "Started": ""},
    }


def of(nodes: list[dict[str, Any]], cluster: str) -> list[dict[str, Any]]:
    return [item for item in nodes if item["cluster"] == cluster]


def found(nodes: list[dict[str, Any]], name: str, what: str = "") -> dict[str, Any]:
    item = next((item for item in nodes if item["name"] == name), None)
    return item or fatal(f"{what}failed to get container for node '{name}': Didn't find container for node '{name}'")


def mark(nodes: list[dict[str, Any]], status: str) -> None:
    for item in nodes:
        item["status"] = status


def save(nodes: list[dict[str, Any]]) -> None:
    draft = home() / f"k3d.{os.getpid()}"
    draft.write_text(json.dumps(nodes))
    draft.replace(home() / "k3d.json")


def info(text: str) -> None:
    sys.stdout.write(f"\x1b[36mINFO\x1b[0m[0000] {text}\n")


def fatal(text: str, level: str = "FATA") -> NoReturn:
    sys.stderr.write(f"\x1b[31m{level}\x1b[0m[0000] {text}\n")
    sys.exit(1)


def install(directory: Path) -> Path:
    """Put the double into a directory as `k3d`."""
    from tests.kits import double_server

    return double_server.install(directory, "k3d", Path(__file__).stem)
