"""ctr, containerd's own client: what is typed on a node about its images, and what the answers mean.

Words: containerd 1.6 to 2.x, https://github.com/containerd/containerd/tree/main/cmd/ctr; k3s has it under the same
name. The kubelet's images are those of namespace k8s.io that containerd's CRI plugin has taken note of: it labels them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.base.machine_json import read_json

NAMESPACE = "k8s.io"
_MANAGED = "io.cri-containerd.image=managed"
_COLUMNS = 3  # REF, TYPE, DIGEST; what follows may hold blanks


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """One image of a node: the digest of its manifest or index, and whether the kubelet sees it."""

    digest: str
    managed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ctr:
    """One ctr program; `socket` is containerd's, where that is not at the usual place."""

    program: Path = Path("ctr")
    socket: Path | None = None

    def list(self) -> tuple[str, ...]:
        """Every image; see `parse_images`."""
        return self._words("images", "ls")

    def pull(self, reference: str) -> tuple[str, ...]:
        """Fetch from a registry on a network of our own, which has no certificate."""
        return self._words("images", "pull", "--plain-http", reference)

    def tag(self, source: str, target: str) -> tuple[str, ...]:
        """Give an image another name, whatever had that before."""
        return self._words("images", "tag", "--force", source, target)

    def load(self, archive: Path) -> tuple[str, ...]:
        """Import a docker-archive or an OCI one."""
        return self._words("images", "import", str(archive))

    def content(self, digest: str) -> tuple[str, ...]:
        """Print a manifest; see `config_of`."""
        return self._words("content", "get", digest)

    def _words(self, *words: str) -> tuple[str, ...]:
        where = ("--address", str(self.socket)) if self.socket else ()
        return (str(self.program), *where, "--namespace", NAMESPACE, *words)


def parse_images(output: str) -> Mapping[str, OnNode]:
    """The table of `images ls`, by name; raises ValueError where it is none."""
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
    """The digest of the configuration that a manifest names; empty where it is an index, or no manifest."""
    try:
        found = read_json(manifest)["config"]["digest"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(found)
