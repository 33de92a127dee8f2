"""Writes layer files, overlays and environments as text; other modules decide their content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.errors import ConfigError
from devtools.imports.values import shared
from devtools.sops.encrypted_file import SUFFIX

SHARED = "_shared"
_FIRST, _LAST = 10, 99
_NUMBERED = re.compile(r"(\d\d)-(.+)\.yaml")

Files = dict[PurePosixPath, bytes]


def numbers(names: Sequence[str], there: Iterable[str]) -> dict[str, str]:
    """Return `NN-name` for each layer in order; `there` are the existing layer files.

    An existing layer keeps its number if the order allows it. Raises ConfigError if there are too many.
    """
    found = (_NUMBERED.fullmatch(name) for name in there)
    known = {match[2]: int(match[1]) for match in found if match}
    occupied = {number for name, number in known.items() if name not in names}
    free = [number for number in range(_FIRST, _LAST + 1) if number not in occupied]
    if all(name in known for name in names):
        ours = [known[name] for name in names]
        if ours == sorted(set(ours)):
            return {name: f"{number:02}-{name}" for name, number in zip(names, ours, strict=True)}
    if len(names) > len(free):
        hint = "import parts of it, each by itself"
        raise ConfigError(f"{len(names)} layers are too many: {len(free)} numbers are free", hint=hint)
    step = max(1, min(10, len(free) // max(1, len(names))))
    return {name: f"{free[at * step]:02}-{name}" for at, name in enumerate(names)}


def layer_text(name: str, releases: Iterable[Mapping[str, Any]], head: str) -> bytes:
    """Return the file of a layer, which is its own stage; `head` is a comment that names its source."""
    document = {"stage": name[:42].strip("-"), "releases": [dict(release) for release in releases]}
    return f"# {head}\n{yaml_text(document)}".encode()


def overlay_files(layer: str, release: str, values: Mapping[str, Mapping[str, Any]], *, alone: bool = True) -> Files:
    """Return a release's overlays; `_shared` gets the values common to all environments that have the release.

    With `alone` false another release of the layer has the same name, and nothing is shared.
    """
    common, rest = shared(values) if alone else ({}, values)
    found: dict[str, Mapping[str, Any]] = {SHARED: common, **rest}
    return {
        PurePosixPath("environments", level, layer, f"{release}.yaml"): yaml_text(tree).encode()
        for level, tree in found.items()
        if tree
    }


def encrypted_files(layer: str, release: str, found: Mapping[str, bytes], names: Sequence[str]) -> Files:
    """Return a release's encrypted values by environment; in `_shared` if all of `names` have the same file."""
    same = len(set(found.values())) == 1 and list(found) == [*names]
    levels = {SHARED: next(iter(found.values()))} if same else found
    return {PurePosixPath("environments", level, layer, f"{release}{SUFFIX}"): raw for level, raw in levels.items()}


def environment_files(switches: Mapping[str, Mapping[str, bool]]) -> Files:
    """Return `environment.yaml` of each environment and of `_shared`, from switches by dotted path."""
    trees = {name: _nested(found) for name, found in switches.items()}
    common, rest = shared(trees)
    files = {PurePosixPath("environments", name, "environment.yaml"): _environment(name, rest[name]) for name in trees}
    if common:
        files[PurePosixPath("environments", SHARED, "environment.yaml")] = yaml_text(common).encode()
    return files


def _environment(name: str, tree: Mapping[str, Any]) -> bytes:
    return yaml_text(tree).encode() if tree else f"# What differs in {name}: switches of `installed:`.\n".encode()


def _nested(switches: Mapping[str, bool]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in switches.items():
        *above, last = path.split(".")
        below = tree
        for step in above:
            below = below.setdefault(step, {})
        below[last] = value
    return tree


def slug(text: str) -> str:
    """Return a name as layers and publishers have it: lower-case letters, digits and `-`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "main"
