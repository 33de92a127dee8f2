"""Gets declared images into a Docker engine: pulls them, builds them, or loads them from an archive."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from devtools.base.image_names import Reference
from devtools.docker.images import DockerImages, StoredImage
from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted, TimedOut
from devtools.images.catalog import Build, Pinned
from devtools.process.runner import Command, Runner

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFetcher:
    """Gets images; each step may take `timeout` seconds. `docker` is the program that builds them."""

    engine: DockerImages
    runner: Runner
    docker: Path
    timeout: float
    say: Progress

    def __call__(self, image: Pinned) -> StoredImage:
        """Pull, build or load an image, and return it as the engine has it.

        A build runs each time; it is quick if nothing changed. Raises EnvironmentFault if the image is
        not available, DevtoolsError if its build fails.
        """
        if image.build:
            self._build(image, image.build)
        elif image.archive:
            self._load(image, image.archive)
        else:
            self._pull(image)
        held = self.engine.find(image.reference)
        if held is None:
            raise EnvironmentFault(f"the Docker engine has no image {image}, although it reported no error")
        return held

    def commands(self, image: Pinned) -> tuple[Command, ...]:
        """Return the equivalent docker commands."""
        if image.build:
            return (build(self.docker, image.reference, image.build, timeout=self.timeout),)
        if image.archive:
            return (self.docker_command("load", "--input", str(image.archive)),)
        if not image.digest:
            return (self.docker_command("pull", str(image)),)
        exact = f"{image.reference.name}@{image.digest}"
        return (self.docker_command("pull", exact), self.docker_command("tag", exact, str(image)))

    def docker_command(self, *words: str) -> Command:
        """Return the docker command for an operation of the engine."""
        return Command(argv=(str(self.docker), *words), timeout=self.timeout)

    def _pull(self, image: Pinned) -> None:
        """Pull the image unless the engine has it, with the pinned digest if there is one."""
        held = self.engine.find(image.reference)
        if held and (not image.digest or held.digest(image.reference) == image.digest):
            return
        self.say(f"pulling {image}")
        self.engine.pull(replace(image.reference, digest=image.digest), timeout=self.timeout)

    def _load(self, image: Pinned, archive: Path) -> None:
        if not archive.is_file():
            hint = f"docker save --output {shlex.quote(str(archive))} {image}"
            raise EnvironmentFault(f"archive {archive} of image {image} does not exist", hint=hint)
        self.say(f"loading {image} from {archive.name}")
        self.engine.load(archive, timeout=self.timeout)

    def _build(self, image: Pinned, how: Build) -> None:
        self.say(f"building {image}")
        command = build(self.docker, image.reference, how, timeout=self.timeout)
        result = self.runner.run(command)
        if result.cancelled:
            raise Interrupted(f"interrupted: {image} is not built")
        if result.timed_out:
            message = f"building {image} took longer than {self.timeout:g} s"
            raise TimedOut(message, hint="raise the limit with --timeout")
        if not result.ok:
            reason = _reason(result.stderr or result.stdout)
            raise DevtoolsError(f"{image} cannot be built: {reason}", hint=command.display())


def build(docker: Path, reference: Reference, how: Build, *, timeout: float) -> Command:
    """`docker build`, https://docs.docker.com/reference/cli/docker/buildx/build/; plain lines, no terminal tricks."""
    target = ("--target", how.target) if how.target else ()
    build_args = tuple(word for key, value in how.args.items() for word in ("--build-arg", f"{key}={value}"))
    words = ("build", "--tag", reference.tagged, "--file", str(how.file), *target, *build_args, str(how.context))
    return Command(argv=(str(docker), *words), env={"BUILDKIT_PROGRESS": "plain"}, timeout=timeout)


def _reason(output: str) -> str:
    """Return the builder's error: its last line with ERROR, otherwise its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "error"))]
    return (errors or lines or ["docker gave no reason"])[-1][:400]
