"""kwokctl: commands that make, start and stop an embedded control plane, and the configuration file they read.

Flags and file format: https://kwok.sigs.k8s.io/docs/generated/apis/ (config.kwok.x-k8s.io/v1alpha1), for 0.7 and
0.8. Every binary is given by path and everything it writes by directory: nothing is downloaded, and neither the
user's kubeconfig nor `~/.kwok` is read or written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import json_for_yaml
from devtools.clusters.embedded.layout import Layout
from devtools.process.runner import Command

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
PORTS = 2  # that one control plane listens on: the API server and the simulated kubelet
SERVICE_ADDRESS = "10.0.0.1"  # of `kubernetes.default`: the first of the Service range
SERVICE_RANGE = "10.0.0.0/20"  # kube-apiserver's default, /24, is full with 254 Services
SIMULATED_PODS = "10.244.0.1/16"  # kwok's own default lies inside the Service range
# Their defaults, 20 and 50 requests in a second, are for clusters that many share: Deployments waited for pods.
_UNTHROTTLED = {"kube-api-qps": "500", "kube-api-burst": "1000"}
# There is one of each: renewing a lease every two seconds is most of what an idle control plane does, and one that
# could not in time, on a busy machine, would end itself.
_ALONE = {"leader-elect": "false"}
# A control plane of one's own is made of short bursts: half of the garbage collections for a third more memory.
_MEMORY = {"GOGC": "200"}
# Of the controller manager and the scheduler, which nothing needs to ask anything.
_CONTROLLER = {**_UNTHROTTLED, **_ALONE, "secure-port": "0"}
# In the working directory, because the paths of Unix sockets are limited to 107 bytes; etcd wants a port with them.
_ETCD, _ETCD_PEER = "unix://etcd.sock:0", "unix://etcd-peer.sock:0"
_SOCKETS = {
    "listen-client-urls": _ETCD,
    "advertise-client-urls": _ETCD,
    "listen-peer-urls": _ETCD_PEER,
    "initial-advertise-peer-urls": _ETCD_PEER,
    "initial-cluster": f"node0={_ETCD_PEER}",
}
FAKE_NODE = "kwok.x-k8s.io/node"  # annotation, value `fake`, of the nodes that kwok plays


def config(*, api_port: int, advertise: str, pki: Path) -> str:
    """The KwokctlConfiguration, as JSON (which is YAML): what it says beyond the defaults.

    `advertise` is the address of the API server that pods get (kube-apiserver finds none by itself without a default
    route); `pki` holds the files of `devtools.clusters.embedded.pki`.

    Admission webhooks are off because their servers are simulated pods that would never answer.

    Only the API server listens on a port, on 127.0.0.1, and it answers nobody without credentials. etcd has Unix
    sockets in the control plane's directory, where it and kube-apiserver run; the others do not serve at all: kwok's
    server, for one, answers everybody.
    """
    document = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {
            "runtime": "binary",
            "bindAddress": "127.0.0.1",
            "kubeApiserverPort": api_port,
        },
        "componentsPatches": [
            _patch(
                "kwok-controller",
                {
                    "manage-all-nodes": "false",
                    "manage-nodes-with-annotation-selector": f"{FAKE_NODE}=fake",
                    "node-ip": "127.0.0.1",
                    "cidr": SIMULATED_PODS,
                    "server-address": "",
                    "node-port": "0",
                },
                replaced=("manage-all-nodes", "node-ip", "server-address", "node-port"),
            ),
            _patch(
                "kube-apiserver",
                {
                    "advertise-address": advertise,
                    "anonymous-auth": "false",
                    "etcd-servers": _ETCD,
                    "tls-cert-file": str(pki / "apiserver.crt"),
                    "tls-private-key-file": str(pki / "apiserver.key"),
                    "service-account-key-file": str(pki / "service-accounts.key"),
                    "service-account-signing-key-file": str(pki / "service-accounts.key"),
                    "proxy-client-cert-file": str(pki / "apiserver-client.crt"),
                    "proxy-client-key-file": str(pki / "apiserver-client.key"),
                    "service-cluster-ip-range": SERVICE_RANGE,
                    "kubelet-preferred-address-types": "InternalIP",
                    "kubelet-certificate-authority": str(pki / "ca.crt"),
                    "kubelet-client-certificate": str(pki / "apiserver-client.crt"),
                    "kubelet-client-key": str(pki / "apiserver-client.key"),
                    "disable-admission-plugins": "MutatingAdmissionWebhook,ValidatingAdmissionWebhook",
                    "feature-gates": "MutatingAdmissionPolicy=true",
                    "runtime-config": "admissionregistration.k8s.io/v1beta1=true",
                },
                replaced=(
                    *("etcd-servers", "tls-cert-file", "tls-private-key-file"),
                    *("service-account-key-file", "service-account-signing-key-file"),
                    *("proxy-client-cert-file", "proxy-client-key-file"),
                ),
            ),
            _patch("etcd", _SOCKETS, replaced=tuple(_SOCKETS)),
            _patch(
                "kube-controller-manager",
                {**_CONTROLLER, "service-account-private-key-file": str(pki / "service-accounts.key")},
                replaced=("secure-port", "service-account-private-key-file"),
            ),
            _patch("kube-scheduler", _CONTROLLER, replaced=("secure-port",)),
        ],
    }
    return json_for_yaml(document) + "\n"


def create(kwokctl: Path, layout: Layout, binaries: Mapping[str, Path], wait: float) -> Command:
    """Make the cluster and wait up to `wait` seconds until it answers; `binaries` has every one of `BINARIES`.

    With a Stage among the enabled kinds kwok drops its built-in ones, so nodes and pods need Stages of ours.
    """
    return _command(
        kwokctl,
        layout,
        "create",
        *("--config", str(layout.config), "--kubeconfig", str(layout.kubeconfig)),
        *("--runtime", "binary", "--enable-crds=Stage"),
        *(word for name in BINARIES for word in (f"--{_flag(name)}-binary", str(binaries[name]))),
        *("--wait", f"{wait:g}s"),
        timeout=wait + 30,
    )


def kubeconfig(context: str, server: str, pki: Path) -> str:
    """A kubeconfig for the administrator, as JSON."""
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
    return _command(kwokctl, layout, "stop", timeout=30)


def messages(output: str) -> tuple[str, ...]:
    """The errors among kwokctl's log lines (JSON where it has no terminal), as `message: cause`."""
    found = []
    for line in output.splitlines():
        entry = _entry(line)
        if entry.get("level") == "ERROR":
            cause = str(entry.get("err", entry.get("error", "")))
            found.append(f"{entry.get('msg', '')}: {cause}" if cause else str(entry.get("msg", "")))
    return tuple(found)


def _command(kwokctl: Path, layout: Layout, verb: str, *words: str, timeout: float) -> Command:
    """`kwokctl VERB cluster --name NAME …` in its private home; its paths are absolute: it changes directory."""
    home = str(layout.workdir)  # its discovery cache goes to ~/.kube/cache
    env = {**layout.env, "KWOK_WORKDIR": home, "KUBECONFIG": str(layout.kubeconfig), "HOME": home}
    return Command(argv=(str(kwokctl), verb, "cluster", "--name", layout.name, *words), env=env, timeout=timeout)


def _patch(name: str, args: Mapping[str, str], replaced: tuple[str, ...]) -> dict[str, Any]:
    """One component's extra arguments and environment; arguments it already has must be marked as replaced."""
    extra = [
        {"key": key, "value": value, **({"override": True} if key in replaced else {})} for key, value in args.items()
    ]
    envs = [{"name": key, "value": value} for key, value in _MEMORY.items()]
    return {"name": name, "extraArgs": extra, "extraEnvs": envs}


def _flag(binary: str) -> str:
    """The flag's name for a binary."""
    return "kwok-controller" if binary == "kwok" else binary


def _entry(line: str) -> dict[str, Any]:
    """One JSON log line, empty where it is not one."""
    try:
        entry = read_json(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
