"""Lists and loads images of the real node of an embedded cluster.

The node never pulls. It has the utility image of the smoke Jobs from the start; images of other pods are loaded from
a Docker engine or an archive on this machine. Simulated pods need no images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.base.atomic_write import private_directory
from devtools.clusters.ctr import Ctr, OnNode, parse_images
from devtools.clusters.embedded.node.daemons import PATH
from devtools.clusters.external_program import Program
from devtools.clusters.k3d.images import Preloaded, attempted
from devtools.errors import EnvironmentFault
from devtools.images.catalog import Pinned
from devtools.images.fetch import ImageFetcher, Progress
from devtools.process.runner import Command, Runner

_NOT_AT_HAND = "neither a Docker engine nor an archive on this machine has it"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeImages:
    """The images of one real node; `obtain` gets them from a Docker engine, if one answers."""

    node: str
    ctr: Ctr
    runner: Runner
    fetch: ImageFetcher | None
    timeout: float
    say: Progress

    def there(self) -> tuple[str, ...]:
        """Return the names of the node's images, sorted, without digests and ids."""
        return tuple(sorted(name for name in self._images() if "@" not in name and not name.startswith("sha256:")))

    def load(self, image: Pinned, *, asked: bool) -> Preloaded:
        """Load one image; unless it was requested by name, only if that needs neither a pull nor a build."""

        def load() -> Preloaded:
            with private_directory("image") as directory:
                return self._loaded(image, self._archive(image, directory, asked=asked), asked=asked)

        return attempted(image, load)

    def _archive(self, image: Pinned, directory: Path, *, asked: bool) -> Path | None:
        """Return the image as a file; None if it is not available."""
        if image.archive and image.archive.is_file():
            return image.archive
        if self.fetch is None or not (asked or self.fetch.engine.find(image.reference)):
            return None
        if asked:
            self.fetch(image)
        archive = directory / "image.tar"
        self.fetch.engine.save(str(image), archive, timeout=self.timeout)
        return archive

    def _loaded(self, image: Pinned, archive: Path | None, *, asked: bool) -> Preloaded:
        before = self._images().get(str(image))
        if archive is None:
            if before is not None:
                return Preloaded(image=image, state="unchanged", nodes=(self.node,))
            if not asked:
                return Preloaded(image=image, state="not needed", problem="pods that want it are simulated here")
            hint = f"put an archive of it where images.yaml says, or start Docker: invoke images.preload --name {image}"
            raise EnvironmentFault(f"image {image} is not available: {_NOT_AT_HAND}", hint=hint)
        self.say(f"loading {image} into {self.node}")
        self._run(self.ctr.load(archive), f"load {image}")
        after = self._images().get(str(image))
        if after is None:
            hint = f"docker save --output {archive.name} {image}"
            raise EnvironmentFault(f"archive {archive.name} holds no image {image}", hint=hint)
        return Preloaded(image=image, state="unchanged" if after == before else "loaded", nodes=(self.node,))

    def _images(self) -> Mapping[str, OnNode]:
        try:
            return parse_images(self._run(self.ctr.list(), "list its images"))
        except ValueError as error:
            raise EnvironmentFault(f"node {self.node} cannot list its images: {error}") from error

    def _run(self, argv: tuple[str, ...], what: str) -> str:
        node = Program(runner=self.runner, name=f"node {self.node}", longer="raise the limit with --timeout")
        return node.run(Command(argv=argv, env={"PATH": PATH}, timeout=self.timeout), what).stdout
