"""Images in a Docker engine: finds, pulls, tags, pushes, saves and loads them.

Uses the engine's API through the SDK: https://docs.docker.com/reference/api/engine/. Building uses the docker program,
which contains the client side of BuildKit's protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from devtools.base.image_names import Reference, parse
from devtools.docker.engine import connect, error_text
from devtools.errors import DevtoolsError, EnvironmentFault, TimedOut
from devtools.process.runner import Cancel, Result
from devtools.process.waiting import Expired, within

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image of the engine: its id, and its digests in registries, `name@sha256:…`."""

    id: str
    digests: tuple[str, ...] = ()

    def digest(self, reference: Reference) -> str:
        """Return its digest in the registry of this name; empty if it is not from there."""
        found = (item.partition("@") for item in self.digests)
        return next((digest for name, _, digest in found if _same_name(name, reference)), "")


@dataclass(frozen=True, slots=True)
class DockerImages:
    """Images and containers of the engine that DOCKER_HOST or docker's context selects, or the local one.

    Every call takes at most `timeout` seconds, and raises EnvironmentFault if the engine refuses or cannot be reached,
    TimedOut or Interrupted.
    """

    environ: Mapping[str, str] = field(repr=False)
    cancel: Cancel

    def find(self, reference: Reference) -> StoredImage | None:
        """Return the image of this name and tag; None if the engine does not have it."""
        from docker.errors import ImageNotFound

        def look(api: Any) -> StoredImage | None:
            try:
                found = api.inspect_image(reference.tagged)
            except ImageNotFound:
                return None
            return StoredImage(id=str(found["Id"]), digests=tuple(found.get("RepoDigests") or ()))

        return self._bounded(f"look for image {reference}", 30, look)

    def pull(self, reference: Reference, *, timeout: float) -> None:
        """Pull it, by its digest if it has one."""
        version = reference.digest or reference.tag

        def pull(api: Any) -> None:
            _ended(api.pull(reference.name, tag=version, stream=True, decode=True))

        self._bounded(f"pull {reference}", timeout, pull)
        if reference.digest and reference.tag:
            self.tag(f"{reference.name}@{reference.digest}", reference.tagged)

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        name, _, tag = target.rpartition(":")
        self._bounded(f"tag {source}", 30, lambda api: api.tag(source, name, tag))

    def push(self, target: str, *, timeout: float) -> str:
        """Push it to the registry in its name; return its digest there."""
        name, _, tag = target.rpartition(":")
        answer = self._bounded(
            f"push {target}", timeout, lambda api: _ended(api.push(name, tag=tag, stream=True, decode=True))
        )
        digest = str(answer.get("Digest", ""))
        if not digest:
            raise EnvironmentFault(f"the Docker engine pushed {target} and did not report its digest")
        return digest

    def load(self, archive: Path, *, timeout: float) -> None:
        """Load the images of an archive."""

        def send(api: Any) -> None:
            with archive.open("rb") as file:
                _ended(api.load_image(file, quiet=False) or ())

        self._bounded(f"load {archive.name}", timeout, send)

    def save(self, name: str, archive: Path, *, timeout: float) -> None:
        """Write an image as an archive."""

        def fetch(api: Any) -> None:
            with archive.open("wb") as file:
                for part in api.get_image(name):
                    file.write(part)

        self._bounded(f"save {name}", timeout, fetch)

    def execute(self, container: str, argv: tuple[str, ...], *, timeout: float) -> Result:
        """Run a command in a running container."""

        def run(api: Any) -> Result:
            made = api.exec_create(container, list(argv))["Id"]
            stdout, stderr = _streams(api.exec_start(made, socket=True))
            code = api.exec_inspect(made)["ExitCode"]
            return Result(returncode=int(code), stdout=_text(stdout), stderr=_text(stderr))

        return self._bounded(f"run {argv[0]} in {container}", timeout, run)

    def _bounded(self, what: str, timeout: float, call: Callable[[Any], T]) -> T:
        """Make a call that ends in time or on cancel; the SDK's own limit covers only silence.

        An abandoned load continues in a thread that is not joined; the engine stops when its connection closes.
        """

        def work() -> T:
            with closing(connect(self.environ, timeout=round(timeout) + 5)) as client:
                return call(client.api)

        try:
            return within(timeout, self.cancel, work)
        except Expired as error:
            message = f"the Docker engine did not {what} in {timeout:g} s"
            raise TimedOut(message, hint="raise the limit with --timeout") from error
        except DevtoolsError:
            raise
        except Exception as error:
            answer = str(error) if isinstance(error, _Refused) else error_text(error)
            answer = " ".join(answer.split())[:400]
            raise EnvironmentFault(f"the Docker engine could not {what}: {answer}") from error


def _ended(lines: Iterable[Any]) -> Mapping[str, Any]:
    """Return the data in the lines of a stream, without progress; raises if a line reports a failure.

    A stream is always read to its end: the SDK closes its connection only then.
    """
    carried: dict[str, Any] = {}
    errors: list[str] = []
    for line in lines:
        if not isinstance(line, Mapping):
            continue
        if "error" in line:
            errors.append(str(line["error"]))
        if isinstance(line.get("aux"), Mapping):
            carried |= line["aux"]  # an engine may also report there that it pushed one platform of several
    if errors:
        raise _Refused(errors[0])
    return carried


class _Refused(Exception):
    """The engine reported an error in a stream that began without one."""


def _streams(connection: Any) -> tuple[bytes | None, bytes | None]:
    """Return a command's output until it ends; the SDK's own reader leaves the connection open."""
    from docker.utils.socket import consume_socket_output, demux_adaptor, frames_iter

    try:
        frames = (demux_adaptor(*frame) for frame in frames_iter(connection, tty=False))  # type: ignore[no-untyped-call]
        stdout, stderr = consume_socket_output(frames, demux=True)
    finally:
        response = getattr(connection, "_response", None)  # the response that owns the connection
        (response or connection).close()
    return stdout, stderr


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="backslashreplace")


def _same_name(name: str, reference: Reference) -> bool:
    """Return whether a name in the engine's form (`alpine/k8s`) is that of a reference."""
    try:
        return parse(name).name == reference.name
    except ValueError:
        return False
