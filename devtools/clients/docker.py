"""The Docker engine, as far as we need it: does it answer, and are we a container of it.

The SDK is imported only when an engine may be there: it costs a fifth of a second.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from devtools.errors import EnvironmentFault

SOCKET = Path("/var/run/docker.sock")
TIMEOUT = 2  # seconds


class Engine(Protocol):
    """A Docker engine."""

    def answers(self) -> bool:
        """Whether it can be used now."""

    def own_container(self) -> str:
        """The id of the container we run in, where this engine runs it; empty otherwise."""

    def join(self, network: str, container: str) -> None:
        """Attach a container to a network; fine when it is."""


def docker_answers(environ: Mapping[str, str]) -> bool:
    """Whether the engine that `environ` names, or the local one, can be used now; takes `TIMEOUT` at most."""
    return DockerEngine(environ).answers()


class DockerEngine:
    """The engine that DOCKER_HOST names, or the local one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Nothing is connected to yet; `environ` may hold DOCKER_HOST and its companions."""
        self._environ = dict(environ)

    def answers(self) -> bool:
        """See `Engine`; never raises, and takes `TIMEOUT` at most."""
        host = self._environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
        if host.startswith("unix://") and not Path(host.removeprefix("unix://")).exists():
            return False
        try:
            client = self._client()
        except EnvironmentFault:
            return False
        client.close()
        return True

    def own_container(self) -> str:
        """See `Engine`: a container's host name is its id unless someone changed it."""
        from docker.errors import DockerException  # noqa: PLC0415 - see the module

        client = self._client()
        try:
            return str(client.containers.get(socket.gethostname()).id)
        except DockerException:
            return ""
        finally:
            client.close()

    def join(self, network: str, container: str) -> None:
        """See `Engine`."""
        from docker.errors import DockerException  # noqa: PLC0415 - see the module

        client = self._client()
        try:
            found = client.networks.get(network)
            if container not in (found.attrs.get("Containers") or {}):
                found.connect(container)
        except DockerException as error:
            raise EnvironmentFault(f"cannot join Docker network {network}: {error}") from error
        finally:
            client.close()

    def _client(self) -> Any:
        """A client whose engine has just answered."""
        import docker  # noqa: PLC0415 - see the module
        from docker.errors import DockerException  # noqa: PLC0415 - see the module

        client: Any = None
        try:
            client = docker.from_env(environment=self._environ, timeout=TIMEOUT)
            client.ping()
        except (DockerException, OSError, ValueError) as error:
            if client is not None:
                client.close()
            raise EnvironmentFault("no Docker engine answers") from error
        return client
