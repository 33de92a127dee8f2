"""Clusters of these tests' own: one that knows the operators' real CRDs, one whose platform may be broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.clusters.kwok import KwokProvider
from devtools.process import Cancel, SubprocessRunner
from tests.platform.control_plane import control_plane
from tests.platform.support import ROOT, Kubectl, Tool, releases, run

REAL_CRDS = (
    "altinity-clickhouse-operator-*.yaml",
    "external-secrets-*.yaml",
    "spotahome-redis-operator-*.yaml",
    "strimzi-*.yaml",
)

ALONE = ("--disable-kube-scheduler", "--disable-kube-controller-manager")


@pytest.fixture(scope="session")
def crds() -> list[Path]:
    """Files with the operators' own CRDs; they are not part of this repository."""
    place = Path(os.environ.get("DEVTOOLS_CRDS") or ROOT.parent / "shared" / "crds")
    files = [file for pattern in REAL_CRDS for file in sorted(place.glob(pattern))]
    if len(files) < len(REAL_CRDS):
        pytest.skip("the operators' own CRDs are not here: DEVTOOLS_CRDS names the directory that holds them")
    return files


@pytest.fixture(scope="session")
def real_crds(crds: list[Path], tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl on an API server that knows the operators' own CRDs and runs nothing."""
    home = tmp_path_factory.mktemp("crds")
    with control_plane(f"crds-{os.getpid()}", home, tool, *ALONE) as cluster:
        kubectl = Kubectl.on(cluster, tool)
        for file in crds:
            kubectl("apply", "--server-side", "-f", str(file))
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield kubectl


@pytest.fixture(scope="session")
def stages(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl on a cluster of its own, simulated only: what these tests break would be seen by every other."""
    cancel = Cancel()
    provider = KwokProvider(
        f"stages-{uuid4().hex[:8]}",
        runner=SubprocessRunner({"PATH": os.environ["PATH"]}, cancel),
        tool=tool,
        state=tmp_path_factory.mktemp("stages") / "state",
        nodes=1,
        stages=tuple(sorted((ROOT / "simulation").glob("*.yaml"))),
        real_node="off",
        cancel=cancel,
    )
    try:
        yield Kubectl.on(provider.ensure(lambda line: None), tool)
    finally:
        provider.delete(lambda line: None)


@pytest.fixture(scope="session")
def slice_of_local(stages: Kubectl, tool: Tool) -> Kubectl:
    """The cluster with every release of the environment `local` on it."""
    for release in releases("local"):
        files = [word for file in release.overlays for word in ("-f", file)]
        where = ["--kubeconfig", stages.kubeconfig, "--kube-context", stages.context, "-n", release.namespace]
        more = ["--set", "waitSeconds=2"] if release.smoke else []
        installed = run([tool("helm"), "install", release.name, release.chart, *where, *files, *more])
        assert installed.ok, installed.stderr
    return stages
