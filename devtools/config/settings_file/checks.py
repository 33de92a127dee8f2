"""Checks the keys of `gitops` in devtools.yaml beyond their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devtools.base.yaml_positions import Document, KeyPath
from devtools.config.settings_file.gitops import LOCAL
from devtools.config.validate import is_inside, suggestion
from devtools.errors import Problem


def known_environments(data: Mapping[str, Any], root: Path) -> list[str]:
    """Return the environments that have a directory of overlays, by name."""
    overlays = root / data.get("paths", {}).get("environments", "environments")
    return sorted(path.name for path in overlays.glob("[!_.]*") if path.is_dir())


def unknown_environment(document: Document, path: KeyPath, name: str, known: Iterable[str]) -> Problem:
    """Return the problem of a name of no environment."""
    return document.problem(path, f"unknown environment '{name}'", suggestion(name, known, "environments"))


def gitops_problems(document: Document, data: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Yield the problems of `gitops`."""
    keys = data.get("gitops", {})
    url = urlsplit(keys.get("repository", ""))
    if url.password or (url.username and url.scheme != "ssh"):  # a token may stand alone before the '@'
        hint = "remove them: controllers read them from a Secret"
        yield document.problem(("gitops", "repository"), "'repository' must not contain credentials", hint)
    if not is_inside(keys.get("path", "")):
        message = "'path' must be a path inside the Git repository"
        yield document.problem(("gitops", "path"), message, "write it without a leading '/' and without '..'")
    environments = keys.get("environments", {})
    known = known_environments(data, root)
    for name, item in environments.items():
        at = ("gitops", "environments", name)
        if name == LOCAL:
            yield document.problem(at, f"environment '{LOCAL}' is not exported", "it is for laptops: remove it")
        elif name not in known:
            yield unknown_environment(document, at, name, known)
        if len(item.get("cluster", {"name": ""})) != 1:
            message = "'cluster' takes exactly one of name, server and labels"
            yield document.problem((*at, "cluster"), message)
    message = "environment '{}' is not exported"
    yield from _chain_problems(document, ("gitops", "environments"), "from", environments, message)
    for index, image in enumerate(keys.get("images", ())):
        at = ("gitops", "images", index)
        if ("semver" in image) == ("pattern" in image):
            yield document.problem(at, "an image takes exactly one of semver and pattern")
        elif "pattern" in image and "(?P<order>" not in image["pattern"]:
            hint = "for example ^main-(?P<order>[0-9]+)$"
            yield document.problem((*at, "pattern"), "'pattern' has no group 'order'", hint)


def extends_problems(document: Document, data: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Yield the problems of environments that extend others."""
    environments = data.get("environments", {})
    items = {name: environments.get(name, {}) for name in known_environments(data, root)}
    message = "unknown environment '{}'"
    yield from _chain_problems(document, ("environments",), "extends", items | environments, message, items)


def hook_problems(document: Document, data: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Yield the problems of commands that are limited to unknown environments."""
    known = known_environments(data, root) or [data.get("environment", LOCAL)]
    for key in ("before", "after"):
        for index, item in enumerate(data.get(key, ())):
            for place, name in enumerate(item.get("environments", ())):
                if name not in known:
                    yield unknown_environment(document, (key, index, "environments", place), name, known)


def _chain_problems(
    document: Document,
    above: tuple[str, ...],
    key: str,
    environments: Mapping[str, Any],
    message: str,
    known: Mapping[str, Any] | None = None,
) -> Iterator[Problem]:
    """Check that each environment names a known one (default: all), without cycles."""
    known = environments if known is None else known
    for name, item in environments.items():
        source = item.get(key, "")
        at = (*above, name, key)
        if source and source not in known:
            yield document.problem(at, message.format(source), suggestion(source, known, "environments"))
            continue
        path = [name]
        while source and source not in path:
            path.append(source)
            source = environments.get(source, {}).get(key, "")
        if source == name:
            yield document.problem(at, f"'{key}' makes a cycle: " + f" {key} ".join([*path, name]))
