"""Control planes for as long as a test session needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtools.clusters.base import Cluster
from tests.platform.support import Tool, run

CONFIG = """\
apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokctlConfiguration
componentsPatches:
- name: kwok-controller
  extraArgs:
  - {key: manage-all-nodes, value: "false"}
  - {key: manage-nodes-with-annotation-selector, value: "kwok.x-k8s.io/node=fake"}
"""
BINARIES = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")


def simulated(home: Path) -> tuple[str, ...]:
    """Words for a cluster that plays Stages, and no node but those that say so."""
    config = home / "kwokctl.yaml"
    config.write_text(CONFIG)
    return (f"--config={config}", "--enable-crds=Stage,ClusterLogs")


@contextmanager
def control_plane(name: str, home: Path, tool: Tool, *more: str) -> Iterator[Cluster]:
    """A cluster of kwokctl under `home`; `more` are further words of `kwokctl create cluster`."""
    kubeconfig = home / "kubeconfig"
    env = {"KWOK_WORKDIR": str(home / "kwok"), "KUBECONFIG": str(kubeconfig)}
    binaries = [f"--{name}-binary={tool(name)}" for name in BINARIES]
    kwokctl = [tool("kwokctl"), "--name", name]
    created = run(
        [*kwokctl, "create", "cluster", "--runtime=binary", *binaries, f"--kwok-controller-binary={tool('kwok')}",
         f"--kubeconfig={kubeconfig}", "--wait=60s", *more],
        env=env,
    )  # fmt: skip
    try:
        assert created.ok, created.stderr
        yield Cluster(name=name, provider="kwok", context=f"kwok-{name}", kubeconfig=kubeconfig, simulated=True)
    finally:
        run([*kwokctl, "delete", "cluster"], env=env)
