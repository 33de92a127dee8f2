"""Names of images, as container runtimes read them.

Grammar and defaults: https://github.com/distribution/reference (`busybox` is `docker.io/library/busybox:latest`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HUB = "docker.io"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = rf"(?:localhost|{_LABEL}(?:\.{_LABEL})+)(?::[0-9]+)?|{_LABEL}:[0-9]+"
REPOSITORY = rf"^(?:(?:{_REGISTRY})/)?{_PART}(?:/{_PART})*$"
TAG = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
DIGEST = r"^sha256:[0-9a-f]{64}$"
LONGEST = 255  # characters of a repository, its registry included


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reference:
    """The full name of one image; `tag` or `digest` may be empty, but not both."""

    registry: str
    repository: str  # without the registry
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The registry and the repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def short(self) -> str:
        """The last part of the repository, which people use as its name."""
        return self.repository.rpartition("/")[2]

    @property
    def tagged(self) -> str:
        """Its name with the tag, or with the digest if it has no tag."""
        return f"{self.name}:{self.tag}" if self.tag else str(self)

    def __str__(self) -> str:
        """Return the full name: `docker.io/library/busybox:1.36@sha256:…`."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    def name_in_registry(self, host: str) -> str:
        """Return its path in a registry that mirrors several others: paths of different registries do not collide."""
        origin = self.registry.replace(":", "-").lower()
        return f"{host}/{origin}/{self.repository}:{self.tag or self.digest.removeprefix('sha256:')}"


def parse(text: str) -> Reference:
    """Parse the image name in a chart or on the command line; raises ValueError if it is not an image name."""
    rest, _, digest = text.partition("@")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, ""
    fine = re.fullmatch(REPOSITORY, head) and len(head) <= LONGEST
    tagged = ":" in rest.rpartition("/")[2]
    if not fine or (tagged and not re.fullmatch(TAG, tag)) or ("@" in text and not re.fullmatch(DIGEST, digest)):
        raise ValueError(f"'{text}' is not an image's name")
    registry, slash, repository = head.partition("/")
    if not slash or not ({".", ":"} & set(registry) or registry == "localhost"):
        registry, repository = _HUB, head
    if registry == "index.docker.io":
        registry = _HUB
    if registry == _HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry=registry, repository=repository, tag=tag or ("" if digest else "latest"), digest=digest)
