"""Clusters of these tests' own: one that knows the operators' CRDs, one whose platform may be broken."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devtools.releases.crds import CRDS
from tests.kits.real_charts import Kinds, kinds_of
from tests.platform.broken_platform import broken_platform
from tests.platform.control_plane import control_plane
from tests.platform.support import CHARTS, Kubectl, Tool, run

ALONE = ("--disable-kube-scheduler", "--disable-kube-controller-manager")


@pytest.fixture(scope="session")
def kinds(tool: Tool) -> Kinds:
    """The CRDs of the kinds that our charts use."""
    return kinds_of(tool("helm"), named_kinds())


def is_established(crd: dict[str, Any]) -> bool:
    """Whether objects of it can be stored."""
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def named_kinds() -> set[str]:
    """Every word in our charts that could be a kind: CRDs of other kinds would only cost the API server its time."""
    files = [file for file in CHARTS.rglob("*") if file.suffix in {".yaml", ".tpl"}]
    return {word for file in files for word in re.findall(r"\b[A-Z]\w+", file.read_text("utf-8"))}


@pytest.fixture(scope="session")
def kinds_server(kinds: Kinds, tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl on an API server that knows the CRDs of the kinds that we use, and runs nothing."""
    home = tmp_path_factory.mktemp("crds")
    with control_plane(f"crds-{os.getpid()}", home, tool, *ALONE) as cluster:
        kubectl = Kubectl.on(cluster, tool)
        kube = kubectl.kube()
        with ThreadPoolExecutor(4) as pool:  # an API server needs no kubectl, which would ask what there is each time
            list(pool.map(lambda item: kube.apply(f"{CRDS}/{item['metadata']['name']}", item), kinds.crds))
        deadline = time.monotonic() + 300
        while not all(map(is_established, kube.items(CRDS))):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        kube.discover()
        yield kubectl


@pytest.fixture(scope="session")
def slice_of_local(tool: Tool) -> Kubectl:
    """kubectl on a cluster that `invoke up` made: what these tests break would be seen by every other.

    Workers share it: the second to come waits for the first one's lock and finds nothing to do.
    """
    up = run([sys.executable, "-m", "invoke", "up", "--no-test"], env=broken_platform(), timeout=400)
    assert up.ok, up.stdout + up.stderr
    name = broken_platform()["DEVTOOLS_CLUSTER"]
    kubeconfig = Path(broken_platform()["DEVTOOLS_STATE"]) / "clusters" / name / "kubeconfig"
    return Kubectl(tool("kubectl"), kubeconfig, f"kwok-{name}")
