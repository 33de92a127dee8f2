"""Converts manifest directories and kustomizations that a helmfile uses as charts into directories of `charts/`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from devtools.base.words import plural
from devtools.charts.packaged.kustomization import NAMES, kustomization_in
from devtools.charts.packaged.source_files import KUSTOMIZE, MANIFESTS, Sources, manifests_in
from devtools.errors import ConfigError
from devtools.imports.layer_files import slug

_TEMPLATES = ".gotmpl"
_OVERLAYS = "overlays"


Files = Mapping[PurePosixPath, bytes]


def packaged(directory: Path, base: Path, shown: str, environment: str) -> tuple[str, Path, Files]:
    """Return a chart's name in layer files, its directory, and its files relative to the repository's root.

    `base` contains the state file; a kustomization may read files below it, or in the same Git repository. Raises
    ConfigError if the directory has neither manifests nor a kustomization, or an unsupported one.
    """
    is_kustomization = any((directory / name).is_file() for name in NAMES)
    if is_kustomization:
        nearest = base if directory.is_relative_to(base) else directory.parent
        root = next((path for path in (directory, *directory.parents) if (path / ".git").exists()), nearest)
        sources = kustomization_in(root, PurePosixPath(directory.relative_to(root)))
    else:
        _refuse_templates(directory, shown)
        sources = manifests_in(directory.parent, PurePosixPath(directory.name))
    if problems := sources.problems:
        more = f" and {plural(len(problems) - 1, 'more problem')}" if len(problems) > 1 else ""
        raise ConfigError(f"{shown} cannot be packaged: {problems[0]}{more}")
    if is_kustomization:
        name, origin, files = _kustomization(sources, environment)
        return name, root / origin, files
    name = f"{MANIFESTS}/{slug(directory.name)}"
    return name, directory, _below(name, {path.relative_to(sources.entry): raw for path, raw in sources.files.items()})


def _kustomization(sources: Sources, environment: str) -> tuple[str, PurePosixPath, Files]:
    """Return a kustomization with all files it reads: an environment's own overlay as such, else below `files/`."""
    entry = sources.entry
    around = entry.parent.parent
    if entry.parts[-2:] == (_OVERLAYS, environment) and all(path.is_relative_to(around) for path in sources.files):
        name = f"{KUSTOMIZE}/{slug(around.name)}"
        return name, around, _below(name, {path.relative_to(around): raw for path, raw in sources.files.items()})
    name = f"{KUSTOMIZE}/{slug(entry.name)}"
    common = PurePosixPath(os.path.commonpath([str(path.parent) for path in sources.files]))
    if common == entry:
        return name, entry, _below(name, {path.relative_to(entry): raw for path, raw in sources.files.items()})
    files = {PurePosixPath("files") / path.relative_to(common): raw for path, raw in sources.files.items()}
    files[PurePosixPath(NAMES[0])] = f"resources: [files/{entry.relative_to(common)}]\n".encode()
    return name, entry, _below(name, files)


def _below(name: str, files: Files) -> Files:
    return {PurePosixPath("charts", name) / path: content for path, content in files.items()}


def _refuse_templates(directory: Path, shown: str) -> None:
    """Raise ConfigError if helmfile would execute templates among the manifests."""
    if found := next(iter(sorted(directory.rglob(f"*{_TEMPLATES}"))), None):
        name = found.relative_to(directory)
        raise ConfigError(f"{shown} has a template, {name}: make it a chart, or write its output")
