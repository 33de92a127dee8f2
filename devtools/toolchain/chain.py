"""The toolchain: finds each pinned tool, and builds the missing ones."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devtools.errors import EnvironmentFault
from devtools.process.runner import Cancel, Runner
from devtools.toolchain.go import GoBuilder, go_platform, key
from devtools.toolchain.probe import Probe
from devtools.toolchain.store import Store
from devtools.toolchain.versions import FAMILIES, TOOLS, Family, Tool, family, parts, tool

if TYPE_CHECKING:
    from devtools.toolchain.prune import Decision

Source = Literal["PATH", "cache", "PyPI", "missing"]
Progress = Callable[[str], None]

TICK = 10.0  # seconds between two lines of progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """Where a tool comes from. `version` is the pinned one if it is missing; `note` says why PATH's is not used."""

    name: str
    version: str
    source: Source
    path: Path | None = None
    note: str = ""


class Toolchain:
    """Finds the pinned tools on PATH, in the cache or next to the interpreter; builds missing ones."""

    def __init__(
        self,
        *,
        cache: Path,
        runner: Runner,
        path: str,
        sources: Path,
        cancel: Cancel,
        beside: Path | None = None,
        tick: float = TICK,
    ) -> None:
        """Neither run nor write anything yet.

        `cache` is the directory of devtools in the user's cache, `path` the user's PATH, `sources` the directory of the
        families' go.mod files, `beside` where PyPI's programs are (default: next to the interpreter), `tick` the
        seconds between two lines of progress.
        """
        self._root = root = cache / "toolchain"
        self._sources = sources
        self._beside = beside or Path(sys.executable).parent
        self._store = Store(root, cancel, tick)
        self._probe = Probe(runner, path, root / "path.json")
        self._builder = GoBuilder(runner, path, self._beside, sources, tick)
        self._logs = root / "logs"
        self._found: dict[str, ToolRow] = {}

    def path(self, name: str) -> Path:
        """Return the path of a program. Raises EnvironmentFault if it is missing, KeyError for an unknown name."""
        row = self._row(tool(name))
        if row.path is None:
            why = f" ({row.note})" if row.note else ""
            raise EnvironmentFault(f"{name} {row.version} is not there yet{why}", hint=_cure(tool(name)))
        return row.path

    def ensure(self, names: Iterable[str] | None = None, progress: Progress = lambda _: None) -> None:
        """Build the missing tools among `names`; `progress` gets a line for each step.

        The default is every tool that this machine can use and that is not lazy. Raises EnvironmentFault, Interrupted
        or TimedOut; tools that were built before stay.
        """
        eager = (item for item in _usable() if not item.lazy)
        chosen = tuple(eager if names is None else map(tool, names))
        missing = [item for item in chosen if self._row(item).path is None]
        for name in dict.fromkeys(item.family for item in missing if item.family):
            programs = tuple(item.name for item in missing if item.family == name)
            self._make(family(name), partial(self._are_built, family(name), programs), progress)
        for item in missing:
            self.path(item.name)

    def renew(self, progress: Progress = lambda _: None) -> None:
        """Rebuild tools that an older Go built, for its security fixes; without a Go do nothing. Raises as `ensure`."""
        cached = {item.family for item in TOOLS if self._row(item).source == "cache"}
        built = [item for item in FAMILIES if item.name in cached]
        try:
            go = self._builder.find_go(built)[1] if built else ""
        except EnvironmentFault:
            return
        for item in built:
            if not self._is_built_with(item, go):
                old = self._store.built_with(self._entry(item))
                progress(f"{item.name} was built with {f'Go {old}' if old else 'an unknown Go'}; here is Go {go}")
                self._make(item, partial(self._is_built_with, item, go), progress)

    def _is_built_with(self, group: Family, go: str) -> bool:
        """Return whether this Go or a newer one built a family."""
        old = self._store.built_with(self._entry(group))
        return bool(old) and parts(old) >= parts(go)

    def table(self) -> tuple[ToolRow, ...]:
        """Return a row for each tool that this machine can use."""
        return tuple(self._row(item) for item in _usable())

    def prune(self, users: Mapping[Path, str], *, days: int, dry_run: bool) -> tuple[Decision, ...]:
        """Remove builds unpinned and unused for `days`; `users` are programs that another program will start again."""
        from devtools.toolchain.prune import Pruner

        pinned = frozenset(map(self._entry, FAMILIES))
        return Pruner(root=self._root, pinned=pinned, users=users, days=days).run(dry_run=dry_run)

    def _row(self, item: Tool) -> ToolRow:
        """Look for one tool in PATH, cache and PyPI's directory; cache the result."""
        if known := self._found.get(item.name):
            return known
        row = self._locate(item)
        if row.path is not None:
            self._found[item.name] = row
        return row

    def _locate(self, item: Tool) -> ToolRow:
        note = ""
        probed = None if item.same == "never" else self._probe.look(item)
        if probed is not None:
            path, version = probed
            if item.accepts(version):
                source: Source = "PyPI" if path.parent == self._beside else "PATH"
                return ToolRow(name=item.name, version=version, source=source, path=path)
            note = f"{path} is {version or 'of unknown version'}, not {item.rule}"
        if item.family:
            found = self._store.find(self._entry(family(item.family)), item.name)
        else:
            script = shutil.which(item.name, path=str(self._beside))
            found = None if script is None else Path(script)
        source = "missing" if found is None else "cache" if item.family else "PyPI"
        return ToolRow(name=item.name, version=item.version, source=source, path=found, note=note)

    def _are_built(self, group: Family, programs: tuple[str, ...]) -> bool:
        """Return whether these programs of a family are in the cache."""
        return all(self._store.find(self._entry(group), program) for program in programs)

    def _make(self, group: Family, is_done: Callable[[], bool], progress: Progress) -> None:
        """Build one family, unless another process did during the wait for the lock."""
        entry = self._entry(group)
        with self._store.claim(entry, progress):
            if is_done():
                return
            started = time.monotonic()
            with self._store.scratch(entry) as scratch:
                go = self._builder.build(group, scratch / "bin", self._logs / f"{group.name}.log", progress)
                seconds = time.monotonic() - started
                facts = {"family": group.name, "version": group.version, "go": go, "seconds": round(seconds, 1)}
                self._store.publish(scratch, entry, facts)
        progress(f"built {group.name} {group.version} in {seconds:.0f} s")

    def _entry(self, group: Family) -> str:
        return f"{group.name}-{key(group, self._sources)}"


def _usable() -> tuple[Tool, ...]:
    linux = go_platform()[0] == "linux"
    return tuple(item for item in TOOLS if linux or not item.linux_only)


def _cure(item: Tool) -> str:
    """Return how to get a missing tool."""
    if item.lazy:
        return "the commands that need it build it"
    package = f"in the environment of invoke, type: pip install {item.name}-bin=={item.version}"
    return "type: invoke toolchain" if item.family else package
