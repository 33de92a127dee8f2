"""Determines the Docker engine to use, as the docker program does.

DOCKER_HOST, else the context that DOCKER_CONTEXT or `docker context use` selects, else the local socket: the order of
`resolveContextName` in https://github.com/docker/cli/blob/master/cli/command/cli.go.

The SDK's ContextAPI is not used: it reads the environment of the process instead of the one that is passed in, ignores
DOCKER_CONTEXT, falls back to the local socket if it cannot read the configuration, and takes 0.2 s to import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.base.machine_json import read_json, read_state
from devtools.base.open_file import read_file
from devtools.errors import EnvironmentFault

SOCKET = Path("/var/run/docker.sock")
_DEFAULT = "default"  # the context that has no file


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An engine's address, its origin, and the directory of its TLS files, if any."""

    host: str
    source: str  # "DOCKER_HOST", "context NAME" or "default"
    tls: Path | None = None

    @property
    def socket(self) -> Path | None:
        """The socket's path, if the address is one."""
        return Path(self.host.removeprefix("unix://")) if self.host.startswith("unix://") else None

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return `environ` for the SDK: with DOCKER_HOST, and the TLS files if the context has them."""
        more = {"DOCKER_CERT_PATH": str(self.tls), "DOCKER_TLS_VERIFY": "1"} if self.tls else {}
        return {**environ, **more, "DOCKER_HOST": self.host}


def find_endpoint(environ: Mapping[str, str], socket: Path = SOCKET) -> Endpoint:
    """Return the endpoint that `environ` and docker's configuration select; EnvironmentFault if it cannot be read."""
    if host := environ.get("DOCKER_HOST"):
        return Endpoint(host=host, source="DOCKER_HOST")
    config = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "/nonexistent", ".docker"))
    name = environ.get("DOCKER_CONTEXT") or str(read_state(config / "config.json").get("currentContext") or "")
    if not name or name == _DEFAULT:
        return Endpoint(host=f"unix://{socket}", source="default")
    # a context's directory is named by the digest of its name
    key = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    path = config / "contexts" / "meta" / key / "meta.json"
    try:
        host = read_json(read_file(path))["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "docker context ls shows which there are; docker context use default goes back"
        raise EnvironmentFault(f"Docker's context {name!r} cannot be read", hint=hint) from error
    tls = config / "contexts" / "tls" / key / "docker"
    return Endpoint(host=str(host), source=f"context {name}", tls=tls if tls.is_dir() else None)
