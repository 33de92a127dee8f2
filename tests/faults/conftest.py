"""Faults are made on the test run's cluster, behind a door that can be shut, or on a cluster of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.app.environment import App
from devtools.clusters.embedded.provider import KwokProvider
from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

NIGHTLY = bool(os.environ.get("DEVTOOLS_NIGHTLY"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A repository with a control plane of its own, that may be harmed."""

    repo: Repo
    cluster: Cluster

    @property
    def kube(self) -> Kube:
        return Kube(self.cluster.kubeconfig, self.cluster.context, Cancel())


@pytest.fixture
def own(offline: Repo, tmp_path: Path, app: App, tool: Callable[[str], Path]) -> Iterator[Own]:
    """A repository and a cluster for it alone, without a real node."""
    name, state = f"f{uuid4().hex[:8]}", tmp_path / "state"
    offline.env = {"DEVTOOLS_CLUSTER": name, "DEVTOOLS_STATE": str(state)}
    stages = tuple(sorted(app.settings.simulation.glob("*.yaml")))
    place = state / "clusters" / name
    provider = KwokProvider(name, runner=app.runner, tool=tool, state=place, stages=stages, real_node="off")
    try:
        yield Own(repo=offline, cluster=provider.ensure(print))
    finally:
        provider.delete(print)
