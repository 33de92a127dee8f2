"""The Docker engine: whether it answers, whether this process is in one of its containers, which ports are in use.

The SDK is imported only if an engine may exist, because that takes 0.2 s.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.docker.endpoint import SOCKET, find_endpoint
from devtools.errors import EnvironmentFault

TIMEOUT = 10  # seconds
_K3D = "app=k3d"  # label of all objects that k3d creates


@dataclass(frozen=True)
class DockerEngine:
    """The engine that DOCKER_HOST or docker's context selects, or the local one."""

    environ: Mapping[str, str] = field(repr=False)
    local: Path = SOCKET

    def answers(self) -> bool:
        """Return whether it can be used now; never raises, and takes at most `TIMEOUT`."""
        return self.problem() is None

    def problem(self) -> EnvironmentFault | None:
        """Return why it cannot be used, with a hint; None if it answers. Takes at most `TIMEOUT`."""
        try:
            connect(self.environ, local=self.local).close()
        except EnvironmentFault as error:
            return error
        return None

    def published(self) -> dict[int, str]:
        """Return the host's ports of running containers, with the containers' names; raises EnvironmentFault."""
        with self._client("list Docker's containers") as client:
            return {
                int(port["PublicPort"]): str((row.get("Names") or ["?"])[0]).lstrip("/")
                for row in client.api.containers()
                for port in row.get("Ports") or ()
                if port.get("PublicPort")
            }

    def own_container(self) -> str:
        """Return the id of this process's container, by its host name, if this engine runs it; empty otherwise."""
        with closing(connect(self.environ, local=self.local)) as client:
            try:
                return str(client.containers.get(socket.gethostname()).id)
            except Exception:  # noqa: BLE001 - see `error_text`; what cannot be asked for is not known to be ours
                return ""

    def join(self, network: str, container: str) -> None:
        """Attach a container to a network; no error if it is attached already. Raises EnvironmentFault."""
        with self._client(f"join Docker network {network}") as client:
            found, member = client.networks.get(network), client.containers.get(container)
            if member.id not in (found.attrs.get("Containers") or {}):
                found.connect(member.id)

    def leave(self, network: str, container: str) -> None:
        """Detach a container from a network; no error if the network is gone. Raises EnvironmentFault."""
        with self._client(f"leave Docker network {network}") as client:
            client.api.disconnect_container_from_network(container, network, force=True)

    def remove_network(self, network: str) -> None:
        """Remove a network if k3d created it and no container uses it. Raises EnvironmentFault."""
        with self._client(f"remove Docker network {network}") as client:
            for found in client.networks.list(names=[network], filters={"label": _K3D}, greedy=True):
                if found.name == network and not found.attrs.get("Containers"):
                    found.remove()

    @contextmanager
    def _client(self, what: str) -> Iterator[Any]:
        """Yield a client whose engine has just answered; any error is an EnvironmentFault: it cannot do `what`."""
        with closing(connect(self.environ, local=self.local)) as client:
            try:
                yield client
            except Exception as error:
                raise EnvironmentFault(f"cannot {what}: {error_text(error)}") from error


def connect(environ: Mapping[str, str], timeout: int = TIMEOUT, local: Path = SOCKET) -> Any:
    """Return a client of an engine that has just answered; EnvironmentFault after `timeout` seconds of silence."""
    endpoint = find_endpoint(environ, local)
    if path := endpoint.socket:
        _probe_socket(path, endpoint.source)
    import docker
    from docker.errors import DockerException

    client: Any = None
    try:
        client = docker.from_env(environment=endpoint.environ(environ), timeout=timeout)
        client.ping()
    except (DockerException, OSError, ValueError) as error:
        if client is not None:
            client.close()
        message = f"no Docker engine answers at {endpoint.host} ({endpoint.source})"
        raise EnvironmentFault(message, hint="start Docker; docker info says more") from error
    return client


def error_text(error: Exception) -> str:
    """Return the error of the engine or its connection, in one line.

    The SDK does not validate responses: malformed or truncated ones raise arbitrary errors (KeyError, AttributeError,
    urllib3's own errors, a bare Exception), so its callers catch every exception.
    """
    from docker.errors import DockerException

    text = " ".join(str(getattr(error, "explanation", "") or error).split())[:400]
    return text if isinstance(error, DockerException | OSError) else f"{type(error).__name__}: {text}"


def _probe_socket(path: Path, source: str) -> None:
    """Distinguish the three faults of a socket without importing the SDK: machines without Docker are common."""
    where = f"at unix://{path} ({source})"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT)
            probe.connect(str(path))
    except FileNotFoundError as error:
        hint = "install or start Docker; in a container, add docker-in-docker or mount the socket"
        raise EnvironmentFault(f"no Docker engine {where}: there is no such socket", hint=hint) from error
    except PermissionError as error:
        hint = "sudo usermod -aG docker $USER, then log in again"
        raise EnvironmentFault(f"this user may not talk to the Docker engine {where}", hint=hint) from error
    except (OSError, ValueError) as error:  # ValueError: the path is invalid
        reason = str(getattr(error, "strerror", "") or error).lower()
        hint = "start Docker; docker info says more"
        raise EnvironmentFault(f"no Docker engine answers {where}: {reason}", hint=hint) from error
