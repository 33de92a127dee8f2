"""Files of one k3d cluster: all but the lock are deleted with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_state
from devtools.clusters.k3d.config import Config, differences, document


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The paths; all but the lock are in the cluster's own directory, `state`."""

    state: Path

    @property
    def lock(self) -> Path:
        """The lock, next to the directory."""
        return self.state.with_name(f".{self.state.name}.lock")

    @property
    def kubeconfig(self) -> Path:
        """The cluster's own kubeconfig; the user's is never written."""
        return self.state / "kubeconfig"

    @property
    def creating(self) -> Path:
        """Exists while the cluster is being created."""
        return self.state / "creating"

    def end(self, config: Config) -> None:
        """Record that the cluster was created, and its configuration, to name differences later."""
        write_whole(self._made_from, json.dumps(document(config), indent=2) + "\n", mode=0o600)
        self.creating.unlink()

    def changes(self, config: Config) -> str:
        """Return how `config` differs from the configuration that the cluster was created from."""
        old = read_state(self._made_from)
        found = differences(old, document(config)) if old else ()
        return "; ".join(found) or "unknown"

    @property
    def _made_from(self) -> Path:
        return self.state / "k3d.json"
