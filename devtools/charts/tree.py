"""Finds the files of a chart's directory as helm's loader does: following links, except files that .helmignore names.

Like `Walk` in Helm's `internal/sympath`, `LoadDir` in its `pkg/chart/v2/loader`, and its `pkg/ignore`. Helm waits
for ever for input from a pipe named Chart.yaml or .helmignore, and refuses other pipes only when it installs: here
all pipes are refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from devtools.base.open_file import LARGEST_FILE, check_inside, read_source, too_large
from devtools.errors import Location, Problem, config_error

_Directory = tuple[int, int]  # device and inode
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_AWAY = "helm takes files and directories only: move it out of the chart"
_TOO_LARGE = "move it out of the chart, or name it in .helmignore"
IGNORE = ".helmignore"
_ALWAYS = "templates/.?*"  # files whose names begin with a dot
_GLOB = re.compile(r"\[(?P<not>\^?)(?P<set>(?:\\.|[^\]\\])+)\]|\\.|[^\[\\]", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A line of .helmignore; `pattern` is matched with the path, or with the name alone if it has no slash."""

    pattern: re.Pattern[str]
    is_negated: bool
    of_directories: bool
    of_paths: bool

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches a path in the chart."""
        return bool(self.pattern.fullmatch(path if self.of_paths else path.rpartition("/")[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Every file by its path in the chart, sorted; and the problems of entries that helm could not read."""

    files: Mapping[str, Path]
    problems: tuple[Problem, ...] = ()


def tree_of(directory: Path) -> Tree:
    """List everything in a chart's directory, opening only .helmignore; problems name paths as `directory` does."""
    files: dict[str, Path] = {}
    try:
        check_inside(directory)
    except OSError as error:
        return Tree(files={}, problems=(_leads_out(str(directory), error),))
    rules, problems = _rules_of(directory / IGNORE)
    for name, found in _below(str(directory), "", (), rules):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            files[name] = found
    return Tree(files=dict(sorted(files.items())), problems=tuple(problems))


def is_archive_of(chart: str, file: str) -> bool:
    """Return whether a file is a packed chart of that name: `redis-1.2.3.tgz`, but not `redis-cluster-1.2.3.tgz`."""
    return re.fullmatch(rf"{re.escape(chart)}-v?\d.*\.tgz", file) is not None


def files_of_tree(directory: Path) -> Mapping[str, Path]:
    """Return every file; raises ConfigError with every entry that helm could not read."""
    tree = tree_of(directory)
    if tree.problems:
        raise config_error(tree.problems)
    return tree.files


def _below(
    path: str, name: str, around: tuple[_Directory, ...], rules: Sequence[_Rule]
) -> Iterator[tuple[str, Path | Problem]]:
    """Collect the content of a directory; `around` are its parents, to which a link must not lead back."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each directory costs more than all the rest
        if (own := (status.st_dev, status.st_ino)) in around:
            yield name, _problem(path, "is a link to one of its parent directories", _AWAY)
            return
        with os.scandir(path) as entries:
            found = list(entries)
    except OSError as error:
        yield name, _problem(path, f"cannot be read: {error.strerror}", "check its owner and mode")
        return
    for entry in found:
        yield from _at(entry, f"{name}{entry.name}", (*around, own), rules)


def _at(
    entry: os.DirEntry[str], name: str, around: tuple[_Directory, ...], rules: Sequence[_Rule]
) -> Iterator[tuple[str, Path | Problem]]:
    """Collect a file, everything in a directory, or an entry's problem; nothing if a rule ignores it."""
    try:
        status = entry.stat()
    except OSError as error:
        link = f"is a link to nothing: {os.readlink(entry.path)}" if entry.is_symlink() else ""  # noqa: PTH115 - a str
        yield name, _problem(entry.path, link or f"cannot be read: {error.strerror}", _AWAY)
        return
    mode = status.st_mode
    if _is_ignored(rules, name, is_directory=stat.S_ISDIR(mode)):
        return
    if entry.is_symlink() and stat.S_IFMT(mode) not in _KINDS:
        try:
            check_inside(Path(entry.path))
        except OSError as error:
            yield name, _leads_out(entry.path, error)
            return
    if stat.S_ISDIR(mode):
        yield from _below(entry.path, f"{name}/", around, rules)
    elif stat.S_ISREG(mode) and status.st_size > LARGEST_FILE:
        yield name, _problem(entry.path, f"is {too_large()}, which is the limit for a chart", _TOO_LARGE)
    elif stat.S_ISREG(mode):
        yield name, Path(entry.path)
    else:
        yield name, _problem(entry.path, f"is {_KINDS.get(stat.S_IFMT(mode), 'not a file')}", _AWAY)


def _is_ignored(rules: Sequence[_Rule], name: str, *, is_directory: bool) -> bool:
    """Return whether helm ignores a path: the first matching rule ignores it, and so does an unmatched `!` rule."""
    for rule in rules:
        is_other_kind = rule.of_directories and not is_directory
        if rule.is_negated:
            if is_other_kind or not rule.matches(name):
                return True
        elif not is_other_kind and rule.matches(name):
            return True
    return False


def _rules_of(file: Path) -> tuple[list[_Rule], list[Problem]]:
    """Return the rules of a .helmignore and helm's built-in rule, and each line that helm refuses."""
    rules, problems = [], []
    try:
        text = read_source(file).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace") if file.is_file() else ""
    except OSError as error:
        return [], [_problem(str(file), f"cannot be read: {error.strerror}", "check its owner and mode")]
    for number, line in enumerate((*text.split("\n"), _ALWAYS), 1):
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        try:
            rules.append(_rule(pattern))
        except ValueError as error:
            where = Location(file=file, line=number)
            problems.append(Problem(where=where, message=f"{pattern!r} {error}", hint="helm would refuse the chart"))
    return rules, problems


@lru_cache(maxsize=256)  # many charts have the same lines
def _rule(line: str) -> _Rule:
    """Return the rule of a line; raises ValueError if helm refuses it."""
    if "**" in line:
        raise ValueError("holds `**`, which helm does not support")
    pattern = line.removeprefix("!")
    path = pattern.removesuffix("/")
    return _Rule(
        pattern=_glob(path.removeprefix("/")),
        is_negated=pattern != line,
        of_directories=path != pattern,
        of_paths="/" in path,
    )


def _glob(pattern: str) -> re.Pattern[str]:
    """Translate a pattern of Go's filepath.Match; raises ValueError if it is malformed.

    As in Go, the text after a `*` matches at its first occurrence only, without backtracking, except for the last `*`.
    """
    parts: list[str] = []
    chunks, at = [parts], 0  # between the `*`s
    while at < len(pattern):
        match = _GLOB.match(pattern, at)
        if match is None:
            raise ValueError("is not a pattern that helm can read")
        at = match.end()
        if match[0] == "*":
            chunks.append(parts := [])
        elif match["set"]:
            inside = re.sub(r"\\(.)|([\[\]&~|])", lambda one: re.escape(one[1] or one[2]), match["set"])
            parts.append(f"[{match['not']}{inside}]")
        else:
            parts.append("[^/]" if match[0] == "?" else re.escape(match[0][-1]))
    first, *others = ("".join(chunk) for chunk in chunks)
    last = f"[^/]*{others.pop()}" if others else ""
    try:
        return re.compile(first + "".join(f"(?>[^/]*?{chunk})" for chunk in others if chunk) + last, re.DOTALL)
    except re.error as error:
        raise ValueError("is not a pattern that helm can read") from error


def _leads_out(path: str, error: OSError) -> Problem:
    return _problem(
        path, f"cannot be used: {error.strerror}", "copy the files that the chart needs into the repository"
    )


def _problem(path: str, message: str, hint: str) -> Problem:
    return Problem(where=Location(file=Path(path)), message=message, hint=hint)
