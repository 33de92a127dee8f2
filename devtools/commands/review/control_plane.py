"""An embedded control plane for one check, and the OpenAPI of its API server, which is cached."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_json
from devtools.base.open_file import read_source
from devtools.checks.schemas import built_in
from devtools.clusters.embedded.provider import KwokProvider
from devtools.errors import EnvironmentFault
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from devtools.toolchain.versions import tool


@contextlib.contextmanager
def control_plane(app: App) -> Iterator[Kube]:
    """Yield a client of a private API server, which is removed afterwards."""
    app.toolchain.ensure(progress=app.say)
    app.folders.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="check-", dir=app.folders.state) as home:

        def provider(cancel: Cancel) -> KwokProvider:
            return KwokProvider(
                f"check-{os.getpid()}",
                runner=app.runner.under(cancel),
                tool=app.toolchain.path,
                state=Path(home) / "cluster",
                nodes=0,
                real_node="off",
                cancel=cancel,
            )

        try:
            cluster = provider(app.cancel).ensure(app.say)
            yield Kube(cluster.kubeconfig, cluster.context, app.cancel, say=app.say)
        finally:
            provider(Cancel()).delete(lambda _: None)  # works after Ctrl-C, too, which has set the app's own flag


def definitions(app: App) -> Mapping[str, Any]:
    """Return the OpenAPI definitions of the pinned Kubernetes: from the cache, else from an API server."""
    version = tool("kube-apiserver").version
    path = app.folders.cache / "openapi" / f"v{version}.json"
    with contextlib.suppress(OSError, ValueError):
        known: Mapping[str, Any] = read_json(read_source(path))
        return known
    app.say(f"reading the schemas of Kubernetes {version} from its API server, once")
    with control_plane(app) as kube:
        found = built_in(kube.get("/openapi/v2") or {})
    if not found:
        raise EnvironmentFault("the API server has no OpenAPI document", hint="invoke toolchain")
    write_whole(path, json.dumps(found).encode())
    return found
