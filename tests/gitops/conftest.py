"""What tests that check objects on the test run's API server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from filelock import FileLock

from devtools.app.environment import App
from devtools.clusters.provider import Cluster


@pytest.fixture
def schemas_lock(app: App, cluster: Cluster) -> Iterator[None]:
    """A check creates the CRDs that it needs and removes them: one test at a time, whatever process runs it."""
    with FileLock(app.folders.state / "schemas.lock"):
        yield
