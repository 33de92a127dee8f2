"""A release's Helm record, kept whole while its tests run."""

from __future__ import annotations

from threading import Lock

from devtools.kube.client import Kube
from devtools.model import ReleaseId


class RecordGuard:
    """A release's newest Helm record as it was, to be made whole again.

    `helm test --filter` keeps only the chosen test in the record while it runs (and for ever, when it is killed), so
    that another one which reads it then finds no test of its own, runs nothing, and succeeds.
    """

    def __init__(self, kube: Kube, release: ReleaseId) -> None:
        """Remember it; it holds the release's values, so it stays in memory."""
        path = f"/api/v1/namespaces/{release.namespace}/secrets"
        found = kube.items(path, labelSelector=f"owner=helm,name={release.name}")
        newest = max(found, key=lambda item: int(item["metadata"]["labels"]["version"]), default=None)
        self._kube, self._path = kube, f"{path}/{newest['metadata']['name']}" if newest else ""
        self._data = newest["data"] if newest else {}
        self.turn = Lock()  # held while a `helm test` reads and rewrites the record

    def restore(self) -> None:
        """Write it back; labels and annotations are left alone."""
        if self._path:
            self._kube.merge(self._path, {"data": self._data})
