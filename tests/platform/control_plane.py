"""Control planes for as long as a test session needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtools.clusters.provider import Cluster
from tests.kits.ports import free_port
from tests.platform.support import Tool, run

BINARIES = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")
PORTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "controller")


@contextmanager
def control_plane(name: str, home: Path, tool: Tool, *more: str) -> Iterator[Cluster]:
    """A cluster of kwokctl under `home`; `more` are further words of `kwokctl create cluster`."""
    kubeconfig = home / "kubeconfig"
    # A server of a few minutes: a third of its work at the start is to collect garbage.
    env = {"KWOK_WORKDIR": str(home / "kwok"), "KUBECONFIG": str(kubeconfig), "GOGC": "400"}
    binaries = [f"--{name}-binary={tool(name)}" for name in BINARIES]
    kwokctl = [tool("kwokctl"), "--name", name]
    # kwokctl looks for ports from the same one on, so that two of them that start at once choose the same
    ports = [f"--{name}-port={free_port()}" for name in PORTS]
    created = run(
        [*kwokctl, "create", "cluster", "--runtime=binary", *binaries, *ports,
         f"--kwok-controller-binary={tool('kwok')}", f"--kubeconfig={kubeconfig}", "--wait=300s",
         "--extra-args=etcd=unsafe-no-fsync=true", *more],
        env=env, timeout=600,
    )  # fmt: skip
    try:
        assert created.ok, created.stderr
        yield Cluster(name=name, provider="kwok", context=f"kwok-{name}", kubeconfig=kubeconfig, simulated=True)
    finally:
        run([*kwokctl, "delete", "cluster"], env=env)
