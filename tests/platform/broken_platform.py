"""A second cluster, whose platform may be broken: the test run's own is everybody's."""

from __future__ import annotations

import os


def broken_platform() -> dict[str, str]:
    """The environment in which this process's second cluster is the cluster."""
    name = f"{os.environ['DEVTOOLS_TEST_RUN']}-platform{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    env = {key: value for key, value in os.environ.items() if not key.startswith("DEVTOOLS_")}
    cache = {key: os.environ[key] for key in ("DEVTOOLS_CACHE",) if key in os.environ}
    state = f"/tmp/devtools-{name}"
    return {**env, **cache, "DEVTOOLS_CLUSTER": name, "DEVTOOLS_STATE": state, "DEVTOOLS_PROVIDER": "kwok"}
