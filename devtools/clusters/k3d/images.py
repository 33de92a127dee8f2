"""Loads images into every node of a k3d cluster, and verifies them there.

By registry: pushed to the cluster's own registry, pulled from it by each node, and tagged with their own names there;
the digests prove that a node has the pushed bytes. By import: `k3d image import`, whose success proves nothing
(k3d#1484).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeVar

from devtools.clusters.ctr import Ctr, OnNode, config_of, parse_images
from devtools.clusters.external_program import Program, last_line
from devtools.clusters.k3d.commands import K3d
from devtools.clusters.k3d.config import REGISTRY_PORT, Config
from devtools.clusters.k3d.output import parse_clusters, reason
from devtools.docker.images import DockerImages, StoredImage
from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode, Interrupted
from devtools.images.catalog import Pinned
from devtools.images.fetch import ImageFetcher, Progress
from devtools.process.runner import Cancel, Command, Runner
from devtools.process.waiting import wait_until

T = TypeVar("T")
Via = Literal["registry", "import"]
_NOTICED_IN = 60.0  # seconds until containerd's CRI plugin sees images that ctr added
_QUICK = 120.0  # seconds for commands that copy nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Preloaded:
    """The result of loading one image; `digest` is the registry's, `code` the exit code of a failure."""

    image: Pinned
    state: Literal["loaded", "unchanged", "not needed", "failed"]
    nodes: tuple[str, ...] = ()
    digest: str = ""
    problem: str = ""
    hint: str = ""
    code: ExitCode = ExitCode.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class K3dImages:
    """The images of one running k3d cluster; each external command takes `timeout` seconds at most."""

    config: Config
    runner: Runner
    tool: K3d
    engine: DockerImages
    fetch: ImageFetcher
    timeout: float
    say: Progress
    cancel: Cancel
    registry: str = ""  # its address inside the cluster's network; empty: as k3d sets it
    ctr: Ctr = field(default_factory=Ctr)

    def load(self, images: Iterable[Pinned], via: Via) -> tuple[Preloaded, ...]:
        """Try to load every image; results include failures. Raises EnvironmentFault without a running cluster."""
        nodes = self._nodes()
        if via == "registry":
            return tuple(attempted(image, partial(self._pushed, image, nodes)) for image in images)
        return self._imported(tuple(images), nodes)

    def commands(self, images: Iterable[Pinned], via: Via) -> tuple[Command, ...]:
        """Return the commands that `load` would run on a cluster without any of the images."""
        chosen = tuple(images)
        found = [command for image in chosen for command in self.fetch.commands(image)]
        looks = [self._typed(node, self.ctr.list()) for node in self.config.nodes]
        if via == "import":
            names = tuple(map(str, chosen))
            return (*found, self.tool.import_images(self.config.name, names, timeout=self.timeout), *looks)
        for image in chosen:
            outside, inside = self._names_in_registry(image)
            found += [self.fetch.docker_command("tag", str(image), outside)]
            found += [self.fetch.docker_command("push", outside)]
            for node in self.config.nodes:
                found += [self._typed(node, self.ctr.pull(inside)), self._typed(node, self.ctr.tag(inside, str(image)))]
        return (*found, *looks) if chosen else ()

    def _typed(self, node: str, argv: tuple[str, ...]) -> Command:
        return self.fetch.docker_command("exec", node, *argv)

    def lacking(self, images: Iterable[Pinned]) -> tuple[Pinned, ...]:
        """Return the images that a node lacks by name; changes nothing. EnvironmentFault without a running cluster."""
        there = [self._images(node) for node in self._nodes()]
        return tuple(image for image in images if any(str(image) not in names for names in there))

    def _pushed(self, image: Pinned, nodes: tuple[str, ...]) -> Preloaded:
        """Load an image through the registry: each node must have the digest that the push returned."""
        held = self.fetch(image)
        outside, inside = self._names_in_registry(image)
        self.engine.tag(str(image), outside)
        self.say(f"pushing {image}")
        digest = self.engine.push(outside, timeout=self.timeout)
        new = [node for node in nodes if not _is(digest, self._images(node).get(str(image)))]
        for node in new:
            self.say(f"loading {image} into {node}")
            self._on(node, self.ctr.pull(inside), f"pull {inside}", self.timeout)
            self._on(node, self.ctr.tag(inside, str(image)), f"tag {inside}")
            self._await(node, image, partial(_is, digest))
        return _done(image, nodes, held, changed=bool(new))

    def _imported(self, images: tuple[Pinned, ...], nodes: tuple[str, ...]) -> tuple[Preloaded, ...]:
        """Load all images with one `k3d image import`, which starts a container for each call."""
        fetched: dict[str, StoredImage] = {}

        def find(image: Pinned) -> Preloaded | None:
            held = fetched[str(image)] = self.fetch(image)
            is_there = all(self._has(node, held, self._images(node).get(str(image))) for node in nodes)
            return _done(image, nodes, held, changed=False) if is_there else None

        def verify(image: Pinned) -> Preloaded:
            held = fetched[str(image)]
            for node in nodes:
                self._await(node, image, partial(self._has, node, held), "invoke images.preload --via registry")
            return _done(image, nodes, held, changed=True)

        results = {str(image): attempted(image, partial(find, image)) for image in images}
        if missing := [image for image in images if results[str(image)] is None]:
            names = tuple(map(str, missing))
            self.say(f"importing {', '.join(names)} into cluster {self.config.name}")
            command = self.tool.import_images(self.config.name, names, timeout=self.timeout)
            done = attempted(missing[0], partial(self._k3d.run, command, "import images"))
            for image in missing:
                if isinstance(done, Preloaded):
                    results[str(image)] = replace(done, image=image)
                else:
                    results[str(image)] = attempted(image, partial(verify, image))
        return tuple(result for result in results.values() if result)

    def _await(self, node: str, image: Pinned, arrived: Callable[[OnNode | None], bool], hint: str = "") -> None:
        """Wait until a node has the image and its kubelet sees it; EnvironmentFault if that does not happen."""
        if wait_until(lambda: arrived(self._images(node).get(str(image))), _NOTICED_IN, self.cancel, 0.2):
            return
        found = self._images(node).get(str(image))
        what = "does not have it" if found is None else "has another" if found.managed else "hides it from pods"
        raise EnvironmentFault(f"loading {image} reported no error, but node {node} {what}", hint=hint)

    def _has(self, node: str, held: StoredImage, found: OnNode | None) -> bool:
        """Return whether node and engine have the same image: the engine's id is that of the manifest or its config."""
        if found is None or not found.managed:
            return False
        return held.id in {found.digest, config_of(self._on(node, self.ctr.content(found.digest), "read a manifest"))}

    def _images(self, node: str) -> Mapping[str, OnNode]:
        try:
            return parse_images(self._on(node, self.ctr.list(), "list its images"))
        except ValueError as error:
            raise EnvironmentFault(f"node {node} cannot list its images: {error}") from error

    def _on(self, node: str, argv: tuple[str, ...], what: str, timeout: float = _QUICK) -> str:
        """Return a command's output on a node; EnvironmentFault if it fails."""
        done = self.engine.execute(node, argv, timeout=timeout)
        if not done.ok:
            raise EnvironmentFault(f"node {node} could not {what}: {last_line(done)}")
        return done.stdout

    def _names_in_registry(self, image: Pinned) -> tuple[str, str]:
        """Return the image's name in the registry, as the engine and as a node reach it."""
        registry = self.config.registry
        inside = self.registry or f"{registry.host}:{REGISTRY_PORT}"
        return image.reference.name_in_registry(f"localhost:{registry.port}"), image.reference.name_in_registry(inside)

    def _nodes(self) -> tuple[str, ...]:
        """Return the cluster's nodes; EnvironmentFault unless all of them run."""
        clusters = self._k3d.read(self.tool.list_clusters(), "list clusters", parse_clusters)
        found = next((cluster for cluster in clusters if cluster.name == self.config.name), None)
        if found is None or not found.is_running:
            state = "stopped" if found else "not there"
            raise EnvironmentFault(f"cluster {self.config.name} is {state}", hint="invoke cluster.create")
        return found.workers

    @property
    def _k3d(self) -> Program:
        return Program(runner=self.runner, name="k3d", reason=reason, longer="raise the limit with --timeout")


def attempted(image: Pinned, load: Callable[[], T]) -> T | Preloaded:
    """Return the result of `load`, or that of an image whose loading failed; raises Interrupted."""
    try:
        return load()
    except Interrupted:
        raise
    except DevtoolsError as error:
        return Preloaded(image=image, state="failed", problem=error.message, hint=error.hint, code=error.exit_code)


def _done(image: Pinned, nodes: tuple[str, ...], held: StoredImage, *, changed: bool) -> Preloaded:
    digest = held.digest(image.reference) if image.source == "pull" else ""
    return Preloaded(image=image, state="loaded" if changed else "unchanged", nodes=nodes, digest=digest)


def _is(digest: str, found: OnNode | None) -> bool:
    return found is not None and found.digest == digest and found.managed
