"""Files of one k3d cluster: they go with it, but for the lock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_state
from devtools.clusters.k3d.config import Config, differences, document


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """All in the cluster's own directory, `state`."""

    state: Path

    @property
    def lock(self) -> Path:
        """Beside the directory."""
        return self.state.with_name(f".{self.state.name}.lock")

    @property
    def kubeconfig(self) -> Path:
        """Our own; the user's is never written."""
        return self.state / "kubeconfig"

    @property
    def creating(self) -> Path:
        """Exists while the cluster is being created."""
        return self.state / "creating"

    def begin(self) -> None:
        """Note that the creation begins."""
        write_whole(self.creating, "", mode=0o600)

    def end(self, config: Config) -> None:
        """Note that the cluster was made, and from which configuration, to name differences later."""
        write_whole(self._made_from, json.dumps(document(config), indent=2) + "\n", mode=0o600)
        self.creating.unlink()

    def changes(self, config: Config) -> str:
        """How `config` differs from the one that the cluster was made from."""
        old = read_state(self._made_from)
        found = differences(old, document(config)) if old else ()
        return "; ".join(found) or "unknown"

    @property
    def _made_from(self) -> Path:
        return self.state / "k3d.json"
