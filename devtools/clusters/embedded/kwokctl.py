"""kwokctl: commands that create, start and stop an embedded control plane, and the configuration file they read.

Flags and file format: https://kwok.sigs.k8s.io/docs/generated/apis/ (config.kwok.x-k8s.io/v1alpha1), for 0.7 and
0.8. Every binary is passed by path, and every output directory is explicit: nothing is downloaded, and neither the
user's kubeconfig nor `~/.kwok` is read or written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import json_for_yaml
from devtools.clusters.embedded.layout import Layout
from devtools.clusters.embedded.template import filled
from devtools.process.runner import Command

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
_FLAGS = {"kwok": "kwok-controller"}  # the part of a binary's flag that is not its name
PORTS = 2  # ports of one control plane: of the API server and the simulated kubelet
SERVICE_ADDRESS = "10.0.0.1"  # of `kubernetes.default`: the first of the Service range
SERVICE_RANGE = "10.0.0.0/20"  # kube-apiserver's default, /24, is full with 254 Services
SIMULATED_PODS = "10.244.0.1/16"  # kwok's own default lies inside the Service range
FAKE_NODE = "kwok.x-k8s.io/node"  # annotation, value `fake`, of the nodes that kwok simulates


def config(*, api_port: int, advertise: str, pki: Path) -> str:
    """Return the configuration file; `advertise` is the API server's address for pods, `pki` has the `.pki` files."""
    return filled(
        "kwokctl.yaml",
        API_PORT=api_port,
        ADVERTISE=advertise,
        PKI=pki,
        FAKE_NODE=FAKE_NODE,
        SERVICE_RANGE=SERVICE_RANGE,
        SIMULATED_PODS=SIMULATED_PODS,
    )


def create(kwokctl: Path, layout: Layout, binaries: Mapping[str, Path], wait: float) -> Command:
    """Create the cluster and wait up to `wait` seconds until it answers; `binaries` has all of `BINARIES`.

    With a Stage among the enabled kinds kwok drops its built-in ones, so devtools provides those of nodes and pods.
    """
    return _command(
        kwokctl,
        layout,
        "create",
        *("--config", str(layout.config), "--kubeconfig", str(layout.kubeconfig)),
        *("--runtime", "binary", "--enable-crds=Stage"),
        *(word for name in BINARIES for word in (f"--{_FLAGS.get(name, name)}-binary", str(binaries[name]))),
        *("--wait", f"{wait:g}s"),
        timeout=wait + 30,
    )


def kubeconfig(context: str, server: str, pki: Path) -> str:
    """Return a kubeconfig for the administrator, as JSON."""
    user = {"client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}
    cluster = {"server": server, "certificate-authority": str(pki / "ca.crt")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return json_for_yaml(document) + "\n"


def start(kwokctl: Path, layout: Layout, wait: float) -> Command:
    """Start a stopped cluster and wait up to `wait` seconds until it answers."""
    return _command(kwokctl, layout, "start", "--wait", f"{wait:g}s", timeout=wait + 30)


def stop(kwokctl: Path, layout: Layout) -> Command:
    """Stop every component, keeping what etcd holds."""
    return _command(kwokctl, layout, "stop", timeout=120)


def messages(output: str) -> tuple[str, ...]:
    """Return the errors among kwokctl's log lines (JSON without a terminal), as `message: cause`."""
    found = []
    for line in output.splitlines():
        entry = _entry(line)
        if entry.get("level") == "ERROR":
            cause = str(entry.get("err", entry.get("error", "")))
            found.append(f"{entry.get('msg', '')}: {cause}" if cause else str(entry.get("msg", "")))
    return tuple(found)


def _command(kwokctl: Path, layout: Layout, verb: str, *words: str, timeout: float) -> Command:
    """Return `kwokctl VERB cluster --name NAME …` in its private home, with absolute paths: it changes directory."""
    home = str(layout.workdir)  # it writes its discovery cache to ~/.kube/cache
    env = {**layout.env, "KWOK_WORKDIR": home, "KUBECONFIG": str(layout.kubeconfig), "HOME": home}
    return Command(argv=(str(kwokctl), verb, "cluster", "--name", layout.name, *words), env=env, timeout=timeout)


def _entry(line: str) -> dict[str, Any]:
    """Parse one JSON log line; empty if it is something else."""
    try:
        entry = read_json(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
