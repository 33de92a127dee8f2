"""Tilt 0.37: commands to give it, and what its answers mean.

Commands: https://docs.tilt.dev/cli/tilt.html, objects: https://api.tilt.dev/. Tilt writes the kubeconfig's context down
when it starts, so both are given, and the cluster is there first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.process.runner import Command

PORT = 10350  # Tilt's own default
_ASKING = 20.0  # seconds
TILTFILE = "(Tiltfile)"  # the resource that stands for the Tiltfile itself
_STRANGE = "not a list of Tilt's objects"
_UP = ("up", "--stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class TiltResource:
    """One resource of a running Tilt.

    `update` is `ok`, `error`, `pending`, `in_progress`, `none` or `not_applicable`; `runtime` the same without
    `in_progress`; `waiting_on` are the resources it waits for; `error` is why its last build failed.
    """

    name: str
    update: str
    runtime: str
    error: str = ""
    waiting_on: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Its last build, or what it runs, failed."""
        return "error" in {self.update, self.runtime}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tilt:
    """One tilt program in one repository on one cluster; its UI listens on `host` and `port`."""

    program: Path
    root: Path  # where the Tiltfile is
    kubeconfig: Path
    context: str
    host: str = "127.0.0.1"
    port: int = PORT

    @property
    def url(self) -> str:
        """Where its UI is, for a browser on this machine."""
        host = "127.0.0.1" if self.host in {"", "0.0.0.0"} else self.host  # noqa: S104 - compared, not listened on
        return f"http://{host}:{self.port}/"

    def up(self, *args: str) -> Command:
        """Start Tilt, to be spawned: it streams logs, because it has no terminal. `args` are the Tiltfile's own."""
        return self._command(*_UP, *self._server(), "--context", self.context, args=args, timeout=None)

    def resources(self) -> Command:
        """Print the running Tilt's resources; see `resources`."""
        return self._get("uiresources")

    def file_watches(self) -> Command:
        """Print what the running Tilt watches; see `dead_watches`."""
        return self._get("filewatches")

    def session(self) -> Command:
        """Print the running Tilt's session; see `pid`. Fails where no Tilt listens."""
        return self._get("session")

    def cluster(self) -> Command:
        """Print the cluster that the running Tilt works on; see `context`."""
        return self._get("cluster", "default")

    def _get(self, *words: str) -> Command:
        return self._command("get", *words, "--output", "json", *self._server())

    def _server(self) -> tuple[str, ...]:
        return ("--host", self.host, "--port", str(self.port))

    def _command(self, *words: str, args: tuple[str, ...] = (), timeout: float | None = _ASKING) -> Command:
        argv = (str(self.program), *words, *(("--", *args) if args else ()))
        return Command(argv=argv, env={"KUBECONFIG": str(self.kubeconfig)}, cwd=self.root, timeout=timeout)


def resources(output: str) -> tuple[TiltResource, ...]:
    """The resources in what `get uiresources` printed, as the UI orders them. ValueError where it is something else."""
    try:
        items = sorted(_items(output), key=lambda item: (item.get("status") or {}).get("order") or 0)
        return tuple(_resource(item) for item in items)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(_STRANGE) from error


def tiltfile_error(output: str) -> str | None:
    """Return why the Tiltfile did not load, from what `get uiresources` printed; empty if it did, None while it loads.

    ValueError if it is something else.
    """
    found = next((item for item in resources(output) if item.name == TILTFILE), None)
    if found is None or found.update not in {"ok", "error"}:
        return None
    return _reason_first(found.error) if found.update == "error" else ""


def _reason_first(error: str) -> str:
    """Return Starlark's error with the reason before the places, the innermost of which is the first."""
    lines = error.splitlines()
    if not error.startswith("Traceback"):
        return error or "no reason given"
    places = [line for line in lines[1:] if line.startswith("  ")]
    return "\n".join([*(line for line in lines[1:] if line not in places), *reversed(places)])


def dead_watches(output: str) -> dict[str, str]:
    """Return which resources do not notice changed files, and why, from what `get filewatches` printed.

    At the limits of inotify(7) Tilt goes on without a watcher. ValueError if it is something else.
    """
    found: dict[str, str] = {}
    for item in _items(output):
        status, metadata = item.get("status") or {}, item.get("metadata") or {}
        if isinstance(status, dict) and isinstance(metadata, dict) and status.get("error"):
            found[str((metadata.get("annotations") or {}).get("tilt.dev/resource", ""))] = str(status["error"])
    return dict(sorted(found.items()))


def is_server(command: Sequence[str]) -> bool:
    """Report whether a command line is that of a Tilt which `Tilt.up` started.

    What Tilt runs has the same environment, and a session of its own (Tilt calls setsid(2) for every command), so
    only the command line distinguishes Tilt from it.
    """
    return _UP in pairwise(command)


def pid(output: str) -> int | None:
    """The process number in what `get session` printed; None where it has none."""
    for item in _items(output):
        status = item.get("status")
        number = status.get("pid") if isinstance(status, dict) else None
        if isinstance(number, int) and number > 0:
            return number
    return None


def context(output: str) -> str:
    """The kube context in what `get cluster` printed; empty where it is connected to none.

    `status.connection.kubernetes.context` of https://api.tilt.dev/core/cluster-v1alpha1.html. ValueError where it is
    something else.
    """
    try:
        connection = read_json(output)["status"].get("connection") or {}
        return str((connection.get("kubernetes") or {}).get("context") or "")
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError("not one of Tilt's clusters") from error


def _resource(item: dict[str, Any]) -> TiltResource:
    status = item.get("status") or {}
    history = status.get("buildHistory") or [{}]
    waiting = status.get("waiting") or {}
    return TiltResource(
        name=str(item["metadata"]["name"]),
        update=str(status.get("updateStatus") or "none"),
        runtime=str(status.get("runtimeStatus") or "none"),
        error=str(history[0].get("error") or ""),  # the last build comes first
        waiting_on=tuple(str(on.get("name", "")) for on in waiting.get("on") or ()),
    )


def _items(output: str) -> list[dict[str, Any]]:
    data = read_json(output)
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(_STRANGE)
    return items
