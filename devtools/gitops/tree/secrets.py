"""Finds secrets in values that an export would write, which would make them readable in Git and in the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.base.open_file import read_source
from devtools.base.yaml_positions import Document, KeyPath, read
from devtools.charts.archive import files_of_archive
from devtools.charts.packaged.source_files import KUSTOMIZE
from devtools.errors import Location, Problem
from devtools.gitops.component import Component, Place
from devtools.model import Release
from devtools.redaction.keys import is_ordinary, is_secret, looks_random
from devtools.redaction.text import secrets_in as secrets_in_text

_VARIABLE = re.compile(r"[${}()]")  # a variable or a template
_FLAG = re.compile(r"--?([A-Za-z][\w-]*)")
_DOCUMENT = re.compile(r"^---$", re.MULTILINE)
_SECRET = re.compile(r"^kind: Secret$", re.MULTILINE)  # as kustomize writes YAML
_WITH_DATA = re.compile(r"^(data|stringData):$", re.MULTILINE)
_NAME = re.compile(r"^  name: (\S+)$", re.MULTILINE)
HINT = "keep it in an ExternalSecret or, for Flux, in a SOPS file; change it if it was committed"


def inline_secrets(releases: Iterable[Release]) -> Iterator[Problem]:
    """Yield each secret in `values`, `argocd` or `flux` of a layer file, which every engine writes into a file."""
    for release in releases:
        for path in _secrets(release.values, is_random=False):
            yield _problem(path, release.values_where.get(path, release.where))
        for key, data in (("argocd", release.argocd), ("flux", release.flux)):
            for path in _secrets(data, (key,), is_random=False):
                yield _problem(path, release.where)


def copied_secrets(components: Iterable[Component], place: Place, root: Path) -> Iterator[Problem]:
    """Yield each secret among the overlays of components, for layouts that copy them."""
    files = (file for component in components for file in component.value_files)
    for path in dict.fromkeys(file.path for file in files if file.content is None and not file.encrypted):
        shown = path.relative_to(place.root)
        yield from secrets_in(read(root / shown, Path(shown)))


def packaged_secrets(releases: Iterable[Release], root: Path) -> Iterator[Problem]:
    """Yield each Secret with data that kustomize generates, perhaps from files that are not in Git."""
    for chart in {release.chart.key: release.chart for release in releases}.values():
        if chart.kind != "packaged" or not chart.name.startswith(f"{KUSTOMIZE}/"):
            continue
        files = files_of_archive(read_source(chart.path), lambda name: name.startswith("templates/"), chart.name)
        for document in _DOCUMENT.split(b"\n".join(files.values()).decode()):
            name = _NAME.search(document)
            if name and _SECRET.search(document) and _WITH_DATA.search(document):
                message = f"Secret/{name[1]} is made by kustomize in plain text, which is not exported"
                yield Problem(where=Location(file=chart.sources[0].relative_to(root)), message=message, hint=HINT)


def secrets_in(document: Document) -> Iterator[Problem]:
    """Yield each secret in a document whose references are replaced."""
    for path in _secrets(document.data):
        yield _problem(path, document.at(path))


def _problem(path: KeyPath, where: Location) -> Problem:
    keys = ".".join(map(str, path))
    return Problem(where=where, message=f"{keys} is a secret in plain text, which is not exported", hint=HINT)


def _secrets(value: Any, path: KeyPath = (), *, is_random: bool = True) -> Iterator[KeyPath]:
    """Yield the paths of texts that are secret by their key and, with `is_random`, look generated."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = value.get("name")
            if key == "value" and isinstance(name, str) and isinstance(item, str):  # a variable or a parameter
                named = _is_secret(item, (*path, *name.split(".")), is_random=is_random)
                if named or _is_secret(item, (*path, key), is_random=is_random):
                    yield (*path, key)
                continue
            yield from _secrets(item, (*path, key), is_random=is_random)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        flag = None
        for index, item in enumerate(value):
            if flag and isinstance(item, str) and _is_secret(item, (*path, flag[1]), is_random=is_random):
                yield (*path, index)
            else:
                yield from _secrets(item, (*path, index), is_random=is_random)
            flag = _FLAG.fullmatch(item) if isinstance(item, str) else None
    elif isinstance(value, str) and _is_secret(value, path, is_random=is_random):
        yield path


def _is_secret(value: str, path: KeyPath, *, is_random: bool) -> bool:
    if "PRIVATE KEY-----" in value:
        return True
    found = [text for text in secrets_in_text(value) if not _VARIABLE.search(text)]
    found += [value] if not _FLAG.match(value) and is_secret(map(str, path), value) else []
    return any(not is_ordinary(text) and (looks_random(text) or not is_random) for text in found)
