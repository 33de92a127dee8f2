"""Checks the keys of `gitops` in devtools.yaml beyond their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devtools.base.yaml_positions import Document
from devtools.config.settings_file.gitops import LOCAL
from devtools.config.validate import is_inside, suggestion
from devtools.errors import Problem


def gitops_problems(document: Document, data: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Yield what is wrong with `gitops`."""
    keys = data.get("gitops", {})
    url = urlsplit(keys.get("repository", ""))
    if url.password or (url.username and url.scheme != "ssh"):  # a token may be all there is before the '@'
        hint = "take them out: controllers read them from a Secret"
        yield document.problem(("gitops", "repository"), "'repository' must not contain credentials", hint)
    if not is_inside(keys.get("path", "")):
        message = "'path' must be a path inside the Git repository"
        yield document.problem(("gitops", "path"), message, "write it without a leading '/' and without '..'")
    environments = keys.get("environments", {})
    overlays = root / data.get("paths", {}).get("environments", "environments")
    known = sorted(path.name for path in overlays.glob("[!_.]*") if path.is_dir())
    for name, item in environments.items():
        at = ("gitops", "environments", name)
        if name == LOCAL:
            yield document.problem(at, f"environment '{LOCAL}' is not exported", "it is for laptops: take it out")
        elif name not in known:
            yield document.problem(at, f"unknown environment '{name}'", suggestion(name, known, "environments"))
        if len(item.get("cluster", {"name": ""})) != 1:
            message = "'cluster' takes exactly one of name, server and labels"
            yield document.problem((*at, "cluster"), message)
    yield from _promotion_problems(document, environments)
    yield from _image_problems(document, keys.get("images", ()))


def _promotion_problems(document: Document, environments: Mapping[str, Any]) -> Iterator[Problem]:
    """Every environment is promoted from another exported one, and none from itself through others."""
    for name, item in environments.items():
        source = item.get("from", "")
        at = ("gitops", "environments", name, "from")
        if source and source not in environments:
            hint = suggestion(source, environments, "exported environments")
            yield document.problem(at, f"environment '{source}' is not exported", hint)
            continue
        path = [name]
        while source and source not in path:
            path.append(source)
            source = environments.get(source, {}).get("from", "")
        if source == name:
            yield document.problem(at, "'from' makes a cycle: " + " from ".join([*path, name]))


def _image_problems(document: Document, images: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """An image is chosen by exactly one of its two rules, and a pattern says what is newer."""
    for index, item in enumerate(images):
        at = ("gitops", "images", index)
        if ("semver" in item) == ("pattern" in item):
            yield document.problem(at, "an image takes exactly one of semver and pattern")
        elif "pattern" in item and "(?P<order>" not in item["pattern"]:
            hint = "for example ^main-(?P<order>[0-9]+)$"
            yield document.problem((*at, "pattern"), "'pattern' has no group 'order'", hint)
