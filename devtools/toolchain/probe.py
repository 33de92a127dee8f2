"""Reads the versions of tools on PATH, and caches them while their files stay the same."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_state
from devtools.base.open_file import opened
from devtools.errors import EnvironmentFault
from devtools.process.runner import Command, Runner
from devtools.toolchain.versions import Tool, read_version

OFFLINE = {"HELMFILE_UPGRADE_NOTICE_DISABLED": "true"}  # so that a version command contacts no server
_PATIENCE = 60.0  # seconds a tool may take to print its version


@dataclass
class Probe:
    """Looks for tools on PATH."""

    runner: Runner
    path: str  # PATH
    memory: Path  # the file that caches versions by path, modification time and size

    @cached_property
    def _known(self) -> dict[str, Any]:
        return read_state(self.memory)

    def look(self, tool: Tool) -> tuple[Path, str] | None:
        """Return the program on PATH for the tool, suitable or not, and its version, empty if it prints none.

        It is started only if it changed since the last time.
        """
        found = shutil.which(tool.name, path=self.path)
        if found is None:
            return None
        stat = Path(found).stat()
        stamp = [stat.st_mtime_ns, stat.st_size, list(tool.ask)]
        known = self._known.get(found)
        if isinstance(known, dict) and known.get("stamp") == stamp and _is_version(known.get("version")):
            return Path(found), known["version"]
        version = self._ask(found, tool)
        if version and not _is_script(found):  # a version manager's shim stays the same while what it starts changes
            self._remember(found, {"stamp": stamp, "version": version})
        return Path(found), version

    def _ask(self, path: str, tool: Tool) -> str:
        """Return the version that the program prints, or an empty text."""
        try:
            result = self.runner.run(Command(argv=(path, *tool.ask), env=OFFLINE, timeout=_PATIENCE))
        except EnvironmentFault:  # not a program for this machine
            return ""
        return read_version(result.stdout + "\n" + result.stderr) if result.ok else ""

    def _remember(self, path: str, answer: dict[str, Any]) -> None:
        """Cache a version; if the cache cannot be written, that only costs time."""
        self._known = {**self._known, path: answer}
        with contextlib.suppress(OSError):
            write_whole(self.memory, json.dumps(self._known))


def _is_version(value: Any) -> bool:
    """Return whether text has the form of a version that was read from a tool's output."""
    return isinstance(value, str) and value != "" and read_version(value) == value


def _is_script(path: str) -> bool:
    """Return whether the file starts with `#!`."""
    with contextlib.suppress(OSError), opened(Path(path)) as file:
        return file.read(2) == b"#!"
    return False
