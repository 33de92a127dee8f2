"""Finds where the values of a chart's releases are set: layer files and overlays of all environments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from devtools.base.open_file import relative
from devtools.base.yaml_positions import Document, read
from devtools.config.tenants import load_tenants
from devtools.model import Release, Stack
from devtools.upgrades.values import Setting, leaves

_OWN_KEY_OF_SOPS = "sops"


def settings_of(stack: Stack, pin: str, files: dict[Path, Document]) -> Iterator[Setting]:
    """Yield each value set for the releases of a pinned chart, installed or not; `files` caches read files."""
    tenants = load_tenants(stack.root)
    for release in stack.releases():
        if release.chart.pin == pin:
            own = [stack.root / file for tenant in tenants if (file := tenant.values_of(release))]
            yield from _of_release(stack, release, own, files)


def _of_release(
    stack: Stack, release: Release, tenants: Iterable[Path], files: dict[Path, Document]
) -> Iterator[Setting]:
    environment = stack.environment.name
    for path, _ in leaves(release.values):
        where = release.values_where.get(path, release.where)
        yield Setting(path=path, where=where, release=release.id, environment=environment)
    for file in (*release.values_files, *release.secret_files, *tenants):
        if file not in files:
            files[file] = read(file, relative(file, stack.root))
        document = files[file]
        for path, _ in leaves(document.data):
            if not (file in release.secret_files and path[0] == _OWN_KEY_OF_SOPS):
                where = document.at(path)
                yield Setting(path=path, where=where, release=release.id, environment=environment)
