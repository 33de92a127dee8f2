"""Repositories for tests that type commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtools.app.wiring import App
from devtools.clusters.base import Cluster
from tests.e2e.repo import Repo
from tests.run.kit import Bench


@pytest.fixture
def offline(tmp_path: Path, app: App, namespace: str) -> Repo:
    """A repository; whether there is a cluster does not matter."""
    return Repo(path=tmp_path / "repo", namespace=namespace, app=app).make()


@pytest.fixture
def repo(offline: Repo, cluster: Cluster, tool: Callable[[str], Path]) -> Iterator[Repo]:
    """A repository and the test run's cluster; all that it makes is in one namespace."""
    yield offline
    Bench(cluster=cluster, helm=tool("helm"), namespace=offline.namespace, root=offline.path).kube.delete(
        f"/api/v1/namespaces/{offline.namespace}"
    )
