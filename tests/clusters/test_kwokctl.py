"""kwokctl: exact words, its configuration, its errors."""

from __future__ import annotations

from pathlib import Path

import yaml

from devtools.clusters.embedded import kwokctl
from devtools.clusters.embedded.layout import CLUSTER_VARIABLE, Layout

KWOKCTL = Path("/t/kwokctl")
LAYOUT = Layout(name="dev", state=Path("/s"))
CONFIG = yaml.safe_load(kwokctl.config(api_port=1, advertise="10.200.0.1", pki=Path("/s/pki")))


def test_create_names_every_binary_and_writes_nowhere_else() -> None:
    binaries = {name: Path("/t", name) for name in kwokctl.BINARIES}
    command = kwokctl.create(KWOKCTL, LAYOUT, binaries, 60)
    assert command.argv == (
        *("/t/kwokctl", "create", "cluster", "--name", "dev"),
        *("--config", "/s/kwokctl.yaml", "--kubeconfig", "/s/kubeconfig", "--runtime", "binary"),
        "--enable-crds=Stage",
        *("--etcd-binary", "/t/etcd"),
        *("--kube-apiserver-binary", "/t/kube-apiserver"),
        *("--kube-controller-manager-binary", "/t/kube-controller-manager"),
        *("--kube-scheduler-binary", "/t/kube-scheduler"),
        *("--kwok-controller-binary", "/t/kwok"),
        *("--wait", "60s"),
    )
    assert command.env == {
        CLUSTER_VARIABLE: "/s",
        "KWOK_WORKDIR": "/s/kwok",
        "KUBECONFIG": "/s/kubeconfig",
        "HOME": "/s/kwok",
    }
    assert command.timeout == 90


def test_start_and_stop() -> None:
    assert kwokctl.start(KWOKCTL, LAYOUT, 60).argv == (
        "/t/kwokctl",
        "start",
        "cluster",
        "--name",
        "dev",
        "--wait",
        "60s",
    )
    assert kwokctl.stop(KWOKCTL, LAYOUT).argv == ("/t/kwokctl", "stop", "cluster", "--name", "dev")


def test_configuration() -> None:
    document = CONFIG
    assert document["options"]["bindAddress"] == "127.0.0.1"
    assert document["options"]["kubeApiserverPort"] == 1
    patches = {
        patch["name"]: {entry["key"]: entry["value"] for entry in patch["extraArgs"]}
        for patch in document["componentsPatches"]
    }
    assert patches["kwok-controller"]["manage-nodes-with-annotation-selector"] == "kwok.x-k8s.io/node=fake"
    # the real node routes there, too
    assert patches["kube-apiserver"]["service-cluster-ip-range"] == kwokctl.SERVICE_RANGE
    webhooks = patches["kube-apiserver"]["disable-admission-plugins"]
    assert webhooks == "MutatingAdmissionWebhook,ValidatingAdmissionWebhook"
    assert patches["kube-apiserver"]["advertise-address"] == "10.200.0.1"
    assert set(patches) == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller"}
    assert all({"name": "GOGC", "value": "200"} in patch["extraEnvs"] for patch in document["componentsPatches"])
    assert {patches[name]["leader-elect"] for name in ("kube-controller-manager", "kube-scheduler")} == {"false"}


def test_nothing_but_the_api_server_listens_on_a_port() -> None:
    entries = {patch["name"]: patch["extraArgs"] for patch in CONFIG["componentsPatches"]}
    args = {name: {entry["key"]: entry["value"] for entry in found} for name, found in entries.items()}
    replaced = {name: {entry["key"] for entry in found if entry.get("override")} for name, found in entries.items()}
    assert args["etcd"].pop("unsafe-no-fsync") == "true"
    assert all("unix://etcd" in value for value in args["etcd"].values())
    assert set(args["etcd"]) == replaced["etcd"]
    assert args["kube-apiserver"]["etcd-servers"] == args["etcd"]["listen-client-urls"]
    assert args["kube-apiserver"]["anonymous-auth"] == "false"
    assert "bind-address" not in args["kube-apiserver"]  # kwokctl's bindAddress
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert args[name]["secure-port"] == "0"
        assert "secure-port" in replaced[name]
    assert (args["kwok-controller"]["server-address"], args["kwok-controller"]["node-port"]) == ("", "0")


def test_each_purpose_has_a_key_of_its_own() -> None:
    args = {entry["key"]: entry["value"] for patch in CONFIG["componentsPatches"] for entry in patch["extraArgs"]}
    assert args["tls-private-key-file"] == "/s/pki/apiserver.key"
    assert args["kubelet-client-key"] == args["proxy-client-key-file"] == "/s/pki/apiserver-client.key"
    assert args["service-account-signing-key-file"] == args["service-account-private-key-file"]
    assert args["service-account-signing-key-file"] == "/s/pki/service-accounts.key"
    document = yaml.safe_load(kwokctl.kubeconfig("kwok-dev", "https://127.0.0.1:1", Path("/s/pki")))
    assert document["users"][0]["user"]["client-key"] == "/s/pki/admin.key"
    assert document["current-context"] == "kwok-dev"


def test_errors_are_found_among_log_lines() -> None:
    output = '{"level":"INFO","msg":"a"}\n{"level":"ERROR","msg":"Failed to start","err":"no such file"}\nplain\n[1]\n'
    assert kwokctl.messages(output) == ("Failed to start: no such file",)
