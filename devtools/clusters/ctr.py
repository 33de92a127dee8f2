"""ctr, containerd's own client: its commands for a node's images, and how to read its output.

Commands: containerd 1.6 to 2.x, https://github.com/containerd/containerd/tree/main/cmd/ctr; k3s has it under the same
name. The kubelet sees those images of namespace k8s.io that containerd's CRI plugin has registered and labelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.base.machine_json import read_json

NAMESPACE = "k8s.io"
_MANAGED = "io.cri-containerd.image=managed"
_COLUMNS = 3  # REF, TYPE, DIGEST; later columns may contain blanks


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """One image of a node: the digest of its manifest or index, and whether the kubelet sees it."""

    digest: str
    managed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ctr:
    """One ctr program; `socket` is containerd's, if it is not at the usual path."""

    program: Path = Path("ctr")
    socket: Path | None = None

    def list(self) -> tuple[str, ...]:
        """List every image; see `parse_images`."""
        return self._words("images", "ls")

    def pull(self, reference: str) -> tuple[str, ...]:
        """Pull from the cluster's own registry, which has no certificate."""
        return self._words("images", "pull", "--plain-http", reference)

    def tag(self, source: str, target: str) -> tuple[str, ...]:
        """Give an image another name, even if another image had it before."""
        return self._words("images", "tag", "--force", source, target)

    def load(self, archive: Path) -> tuple[str, ...]:
        """Import a docker-archive or an OCI archive."""
        return self._words("images", "import", str(archive))

    def content(self, digest: str) -> tuple[str, ...]:
        """Print a manifest; see `config_of`."""
        return self._words("content", "get", digest)

    def _words(self, *words: str) -> tuple[str, ...]:
        where = ("--address", str(self.socket)) if self.socket else ()
        return (str(self.program), *where, "--namespace", NAMESPACE, *words)


def parse_images(output: str) -> Mapping[str, OnNode]:
    """Parse the table of `images ls`, by name; raises ValueError if it is something else."""
    lines = output.splitlines()
    if not lines or lines[0].split()[:_COLUMNS] != ["REF", "TYPE", "DIGEST"]:
        raise ValueError("not a table of images")
    found = {}
    for line in lines[1:]:
        fields = line.split()
        if len(fields) >= _COLUMNS:
            found[fields[0]] = OnNode(digest=fields[2], managed=_MANAGED in line)
    return found


def config_of(manifest: str) -> str:
    """Return the digest of the configuration that a manifest names; empty for an index or anything else."""
    try:
        found = read_json(manifest)["config"]["digest"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(found)
