"""Restores a release's Helm record that tests running in parallel would truncate."""

from __future__ import annotations

import contextlib
from threading import Lock

from devtools.errors import DevtoolsError
from devtools.kube.client import Kube
from devtools.model import ReleaseId


class RecordGuard:
    """A copy of a release's newest Helm record, from which it is restored.

    `helm test --filter` leaves only the selected test in the record while it runs (for ever, if it is killed), so that
    another `helm test` that reads it then does not find its own test, runs nothing, and succeeds.
    """

    def __init__(self, kube: Kube, release: ReleaseId) -> None:
        """Copy the record, in memory only, because it holds the release's values."""
        path = f"/api/v1/namespaces/{release.namespace}/secrets"
        found = kube.items(path, labelSelector=f"owner=helm,name={release.name}")
        newest = max(found, key=lambda item: int(item["metadata"]["labels"]["version"]), default=None)
        self._kube, self._path = kube, f"{path}/{newest['metadata']['name']}" if newest else ""
        self._data = newest["data"] if newest else {}
        self.turn = Lock()  # held while a `helm test` reads and rewrites the record

    def restore(self) -> None:
        """Write the record back; labels and annotations are not changed."""
        self._restore(self._kube)

    def restore_after_cancel(self) -> None:
        """Write the record back even if the run was cancelled; an API server that does not answer is left alone."""
        with contextlib.suppress(DevtoolsError):
            self._restore(self._kube.beyond_cancel())

    def _restore(self, kube: Kube) -> None:
        if self._path:
            kube.merge(self._path, {"data": self._data})
