"""Clusters of these tests' own: one that knows the operators' real CRDs, one whose platform may be broken."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.platform.control_plane import control_plane
from tests.platform.support import ROOT, Kubectl, Tool, run

REAL_CRDS = (
    "altinity-clickhouse-operator-*.yaml",
    "cert-manager-*.yaml",
    "cloudnative-pg-*.yaml",
    "envoy-gateway-*.yaml",
    "external-secrets-*.yaml",
    "gateway-api-standard-*.yaml",
    "keycloak-operator-*.yaml",
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
def slice_of_local(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl on a cluster that `invoke up` made: what these tests break would be seen by every other."""
    name, state = f"stages-{uuid4().hex[:8]}", tmp_path_factory.mktemp("stages") / "state"
    env = {key: value for key, value in os.environ.items() if not key.startswith("DEVTOOLS_")}
    env |= {"DEVTOOLS_CLUSTER": name, "DEVTOOLS_STATE": str(state), "DEVTOOLS_PROVIDER": "kwok"}
    invoke = [sys.executable, "-m", "invoke"]
    try:
        up = run([*invoke, "up", "--no-test"], env=env, timeout=400)
        assert up.ok, up.stdout + up.stderr
        yield Kubectl(tool("kubectl"), state / "clusters" / name / "kubeconfig", f"kwok-{name}")
    finally:
        run([*invoke, "cluster.delete"], env=env)
