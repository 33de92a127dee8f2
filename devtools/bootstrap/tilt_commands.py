"""Tilt 0.37: its commands, and how to read its output.

Commands: https://docs.tilt.dev/cli/tilt.html, objects: https://api.tilt.dev/. Tilt stores the kubeconfig's context when
it starts, so both are passed explicitly, and the cluster must exist before.
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
_ASKING = 60.0  # seconds
TILTFILE = "(Tiltfile)"  # the resource of the Tiltfile itself
_STRANGE = "not a list of Tilt's objects"
_UP = ("up", "--stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tilt:
    """One tilt program for one repository and one cluster; its UI listens on `host` and `port`."""

    program: Path
    root: Path  # the directory of the Tiltfile
    kubeconfig: Path
    context: str
    host: str = "127.0.0.1"
    port: int = PORT

    @property
    def url(self) -> str:
        """The URL of its UI, for a browser on this machine."""
        host = "127.0.0.1" if self.host in {"", "0.0.0.0"} else self.host  # noqa: S104 - compared, not listened on
        return f"http://{host}:{self.port}/"

    def up(self, *args: str) -> Command:
        """Start Tilt, in the background: it streams logs, because it has no terminal. `args` go to the Tiltfile."""
        return self._command(*_UP, *self._server(), "--context", self.context, args=args, timeout=None)

    def resources(self) -> Command:
        """Print the running Tilt's resources; see `tiltfile_error`."""
        return self._get("uiresources")

    def file_watches(self) -> Command:
        """Print the file watches of the running Tilt; see `dead_watches`."""
        return self._get("filewatches")

    def session(self) -> Command:
        """Print the running Tilt's session; see `pid`. Fails if no Tilt listens."""
        return self._get("session")

    def cluster(self) -> Command:
        """Print the cluster that the running Tilt uses; see `context`."""
        return self._get("cluster", "default")

    def _get(self, *words: str) -> Command:
        return self._command("get", *words, "--output", "json", *self._server())

    def _server(self) -> tuple[str, ...]:
        return ("--host", self.host, "--port", str(self.port))

    def _command(self, *words: str, args: tuple[str, ...] = (), timeout: float | None = _ASKING) -> Command:
        argv = (str(self.program), *words, *(("--", *args) if args else ()))
        return Command(argv=argv, env={"KUBECONFIG": str(self.kubeconfig)}, cwd=self.root, timeout=timeout)


def tiltfile_error(output: str) -> str | None:
    """Return why the Tiltfile did not load, by `get uiresources`; empty if it did, None while it loads.

    ValueError if it is something else.
    """
    try:
        found = (item.get("status") or {} for item in _items(output) if item["metadata"]["name"] == TILTFILE)
        status = next(found, {})
        if status.get("updateStatus") != "error":
            return "" if status.get("updateStatus") == "ok" else None
        newest, *_ = status.get("buildHistory") or [{}]
        return _reason_first(str(newest.get("error") or ""))
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(_STRANGE) from error


def _reason_first(error: str) -> str:
    """Return Starlark's error with the reason first, then the places, innermost first."""
    lines = error.splitlines()
    if not error.startswith("Traceback"):
        return error or "no reason given"
    places = [line for line in lines[1:] if line.startswith("  ")]
    return "\n".join([*(line for line in lines[1:] if line not in places), *reversed(places)])


def dead_watches(output: str) -> dict[str, str]:
    """Return which resources do not notice changed files, and why, from the output of `get filewatches`.

    At the limits of inotify(7) Tilt continues without a watcher. ValueError if it is something else.
    """
    found: dict[str, str] = {}
    for item in _items(output):
        status, metadata = item.get("status") or {}, item.get("metadata") or {}
        if isinstance(status, dict) and isinstance(metadata, dict) and status.get("error"):
            found[str((metadata.get("annotations") or {}).get("tilt.dev/resource", ""))] = str(status["error"])
    return dict(sorted(found.items()))


def is_server(command: Sequence[str]) -> bool:
    """Return whether a command line belongs to a Tilt that `Tilt.up` started.

    Commands that Tilt runs have the same environment, and their own sessions (Tilt calls setsid(2) for each), so
    only the command line distinguishes Tilt from it.
    """
    return _UP in pairwise(command)


def pid(output: str) -> int | None:
    """Return the process number in the output of `get session`; None if it has none."""
    for item in _items(output):
        status = item.get("status")
        number = status.get("pid") if isinstance(status, dict) else None
        if isinstance(number, int) and number > 0:
            return number
    return None


def context(output: str) -> str:
    """Return the kube context in the output of `get cluster`; empty if Tilt is not connected to a cluster.

    `status.connection.kubernetes.context` of https://api.tilt.dev/core/cluster-v1alpha1.html. ValueError if it is
    something else.
    """
    try:
        connection = read_json(output)["status"].get("connection") or {}
        return str((connection.get("kubernetes") or {}).get("context") or "")
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError("not one of Tilt's clusters") from error


def _items(output: str) -> list[dict[str, Any]]:
    data = read_json(output)
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(_STRANGE)
    return items
