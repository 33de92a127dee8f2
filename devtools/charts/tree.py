"""The files of a chart's directory, as helm's loader finds them: by way of links, too, and nothing but files.

As `Walk` in Helm's `internal/sympath` and `LoadDir` in its `pkg/chart/v2/loader`. Helm waits for ever for whoever
writes into a pipe called Chart.yaml or .helmignore, and refuses any other only when it installs: here all are refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.errors import Location, Problem, config_error

_Directory = tuple[int, int]  # device and inode
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_AWAY = "helm takes files and directories only: move it out of the chart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Every file by its path in the chart, sorted; and what helm could not read."""

    files: Mapping[str, Path]
    problems: tuple[Problem, ...] = ()


def tree_of(directory: Path) -> Tree:
    """Look at everything in a chart's directory, and open none of it; problems name it as `directory` does."""
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for name, found in _below(str(directory), "", ()):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            files[name] = found
    return Tree(files=dict(sorted(files.items())), problems=tuple(problems))


def files_of_tree(directory: Path) -> Mapping[str, Path]:
    """Every file; raises ConfigError with all that helm could not read."""
    tree = tree_of(directory)
    if tree.problems:
        raise config_error(tree.problems)
    return tree.files


def _below(path: str, name: str, around: tuple[_Directory, ...]) -> Iterator[tuple[str, Path | Problem]]:
    """What is in a directory; `around` are those that it lies in, where a link must not lead back to."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each directory costs more than all the rest
        if (own := (status.st_dev, status.st_ino)) in around:
            yield name, _problem(path, "is a link to a directory that it lies in", _AWAY)
            return
        with os.scandir(path) as entries:
            found = list(entries)
    except OSError as error:
        yield name, _problem(path, f"cannot be read: {error.strerror}", "check its owner and mode")
        return
    for entry in found:
        yield from _at(entry, f"{name}{entry.name}", (*around, own))


def _at(entry: os.DirEntry[str], name: str, around: tuple[_Directory, ...]) -> Iterator[tuple[str, Path | Problem]]:
    """A file, everything in a directory, or what is wrong with an entry."""
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        link = f"is a link to nothing: {os.readlink(entry.path)}" if entry.is_symlink() else ""  # noqa: PTH115 - a str
        yield name, _problem(entry.path, link or f"cannot be read: {error.strerror}", _AWAY)
        return
    if stat.S_ISDIR(mode):
        yield from _below(entry.path, f"{name}/", around)
    elif stat.S_ISREG(mode):
        yield name, Path(entry.path)
    else:
        yield name, _problem(entry.path, f"is {_KINDS.get(stat.S_IFMT(mode), 'no file')}", _AWAY)


def _problem(path: str, message: str, hint: str) -> Problem:
    return Problem(where=Location(file=Path(path)), message=message, hint=hint)
