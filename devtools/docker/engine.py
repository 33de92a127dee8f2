"""The Docker engine, as far as we need it: does it answer, are we a container of it, which ports has it given away.

The SDK is imported only when an engine may be there: it costs a fifth of a second.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devtools.docker.endpoint import SOCKET, find_endpoint
from devtools.errors import EnvironmentFault

TIMEOUT = 2  # seconds
_K3D = "app=k3d"  # label of all that k3d makes


class DockerEngine:
    """The engine that DOCKER_HOST or docker's context names, or the local one."""

    def __init__(self, environ: Mapping[str, str], local: Path = SOCKET) -> None:
        """Nothing is connected to yet; `environ` may hold DOCKER_HOST and its companions."""
        self._environ = dict(environ)
        self._local = local

    def answers(self) -> bool:
        """Whether it can be used now; never raises, and takes `TIMEOUT` at most."""
        return self.problem() is None

    def problem(self) -> EnvironmentFault | None:
        """Why it cannot be used, with what to do about it; None where it answers. Takes `TIMEOUT` at most."""
        try:
            connect(self._environ, local=self._local).close()
        except EnvironmentFault as error:
            return error
        return None

    def published(self) -> dict[int, str]:
        """Ports of the host that running containers have, and the containers' names; raises EnvironmentFault."""
        with self._client("list Docker's containers") as client:
            return {
                int(port["PublicPort"]): str((row.get("Names") or ["?"])[0]).lstrip("/")
                for row in client.api.containers()
                for port in row.get("Ports") or ()
                if port.get("PublicPort")
            }

    def own_container(self) -> str:
        """The id of the container we run in, where this engine runs it; empty otherwise.

        A container's host name is its id unless someone changed it.
        """
        client = connect(self._environ, local=self._local)
        try:
            return str(client.containers.get(socket.gethostname()).id)
        except Exception:  # noqa: BLE001 - see `error_text`; what cannot be asked for is not known to be ours
            return ""
        finally:
            client.close()

    def join(self, network: str, container: str) -> None:
        """Attach a container to a network; fine when it is. Raises EnvironmentFault."""
        with self._client(f"join Docker network {network}") as client:
            found, member = client.networks.get(network), client.containers.get(container)
            if member.id not in (found.attrs.get("Containers") or {}):
                found.connect(member.id)

    def leave(self, network: str, container: str) -> None:
        """Detach a container from a network, which may not exist any more. Raises EnvironmentFault."""
        with self._client(f"leave Docker network {network}") as client:
            client.api.disconnect_container_from_network(container, network, force=True)

    def remove_network(self, network: str) -> None:
        """Remove a network that k3d made and no container uses, leave any other alone. Raises EnvironmentFault."""
        with self._client(f"remove Docker network {network}") as client:
            for found in client.networks.list(names=[network], filters={"label": _K3D}, greedy=True):
                if found.name == network and not found.attrs.get("Containers"):
                    found.remove()

    @contextmanager
    def _client(self, what: str) -> Iterator[Any]:
        """A client whose engine has just answered; whatever goes wrong is an EnvironmentFault: it cannot do `what`."""
        client = connect(self._environ, local=self._local)
        try:
            yield client
        except Exception as error:
            raise EnvironmentFault(f"cannot {what}: {error_text(error)}") from error
        finally:
            client.close()


def connect(environ: Mapping[str, str], timeout: int = TIMEOUT, local: Path = SOCKET) -> Any:
    """A client of the SDK whose engine has just answered; EnvironmentFault where none does.

    `timeout` is how long the engine may be silent, in seconds.
    """
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
    """What the engine or its connection said, in one line.

    The SDK believes what it is answered: where that is of another shape, or ends half-way, it raises what comes of it
    (KeyError, AttributeError, urllib3's own errors, a bare Exception), so its callers catch any.
    """
    from docker.errors import DockerException

    text = " ".join(str(getattr(error, "explanation", "") or error).split())[:400]
    return text if isinstance(error, DockerException | OSError) else f"{type(error).__name__}: {text}"


def _probe_socket(path: Path, source: str) -> None:
    """Tell a socket's three troubles apart, without importing the SDK: a machine without Docker is common."""
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
    except (OSError, ValueError) as error:  # the second: a path that can be none
        reason = str(getattr(error, "strerror", "") or error).lower()
        hint = "start Docker; docker info says more"
        raise EnvironmentFault(f"no Docker engine answers {where}: {reason}", hint=hint) from error
