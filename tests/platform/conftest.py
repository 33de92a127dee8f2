"""Clusters of these tests' own: one that knows the operators' CRDs, one whose platform may be broken."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.clusters.embedded.provider import KwokProvider
from devtools.releases.crds import CRDS
from tests.kits.real_charts import Kinds, kinds_of
from tests.platform.broken_platform import broken_platform
from tests.platform.control_plane import control_plane
from tests.platform.support import CHARTS, ROOT, Kubectl, Tool, run

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


@pytest.fixture(scope="package")  # an API server that nobody asks any more costs a core's fiftieth
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


@pytest.fixture(scope="package")
def slice_of_local(tool: Tool) -> Iterator[Kubectl]:
    """kubectl on a cluster that `invoke up` made: what these tests break would be seen by every other."""
    platform = App(environ=broken_platform(), cwd=ROOT, out=sys.stdout, err=sys.stderr)
    provider = KwokProvider(
        platform.cluster_name,
        runner=platform.runner,
        tool=tool,
        state=platform.folders.state / "clusters" / platform.cluster_name,
        nodes=platform.cluster_settings.nodes,
        stages=tuple(sorted(platform.settings.simulation.glob("*.yaml"))),
        real_node="off",  # nothing of this runs on one
    )
    cluster = provider.ensure(print)
    up = run([sys.executable, "-m", "invoke", "up", "--no-test"], env=broken_platform(), timeout=900)
    assert up.ok, up.stdout + up.stderr
    yield Kubectl.on(cluster, tool)
    if "DEVTOOLS_TEST_KEEP" not in os.environ:
        provider.delete(print)
        shutil.rmtree(platform.folders.state)
