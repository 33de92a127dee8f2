"""The source files of a packaged chart, read once, and their digest."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from devtools.base.open_file import LARGEST_FILE, read_source, relative, too_large
from devtools.charts.tree import tree_of
from devtools.errors import Location, Problem

MANIFESTS = "manifests"
KUSTOMIZE = "kustomize"
KINDS = (MANIFESTS, KUSTOMIZE)
MANIFEST = (".yaml", ".yml", ".json")
_NOT_READ = (".", "_")  # files and directories with these prefixes are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The sources of a chart: files by their path from the repository's root, and their problems."""

    entry: PurePosixPath  # the chart's source directory, from the repository's root
    files: Mapping[PurePosixPath, bytes]
    directories: tuple[PurePosixPath, ...]  # directories that contain the files
    problems: tuple[Problem, ...] = ()
    manifests: tuple[PurePosixPath, ...] = ()  # for a kustomization, the files that must be YAML

    @property
    def digest(self) -> str:
        """The sha256 of the path, size and bytes of every file, and of the source directory's path."""
        return digest_of(((str(path), content) for path, content in sorted(self.files.items())), str(self.entry))


def digest_of(files: Iterable[tuple[str, bytes]], first: str = "") -> str:
    """Return the sha256 of files by path, size and bytes, in hexadecimal."""
    digest = hashlib.sha256(first.encode())
    for name, content in files:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def manifests_in(root: Path, directory: PurePosixPath) -> Sources:
    """Read every manifest in and below a directory; hidden files and those that begin with `_` are left out."""
    tree = tree_of(root / directory)
    files: dict[PurePosixPath, bytes] = {}
    problems = [
        replace(item, where=replace(item.where, file=relative(item.where.file, root))) for item in tree.problems
    ]
    for name, path in tree.files.items():
        shown = PurePosixPath(name)
        if not name.endswith(MANIFEST) or any(part.startswith(_NOT_READ) for part in shown.parts):
            continue
        add_file(files, directory / shown, path, problems)
    if not (files or problems):
        hint = f"put {', '.join(MANIFEST)} files there"
        problems.append(Problem(where=Location(file=Path(directory)), message="has no manifests", hint=hint))
    return Sources(entry=directory, files=files, directories=(directory,), problems=tuple(problems))


def add_file(files: dict[PurePosixPath, bytes], path: PurePosixPath, place: Path, problems: list[Problem]) -> bool:
    """Read a file unless it is there; return whether it could be read, and all files are not too large for a chart."""
    try:
        if path not in files:
            files[path] = read_source(place)
            if sum(map(len, files.values())) > LARGEST_FILE:
                del files[path]
                raise OSError(errno.EFBIG, f"with the files before it, this chart is {too_large()}")
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        problems.append(Problem(where=Location(file=Path(path)), message=message))
        return False
    return True
