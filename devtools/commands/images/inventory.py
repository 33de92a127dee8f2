"""`invoke images.list` and `images.preload`: images that charts reference, and images for clusters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.base.words import plural, shortened
from devtools.commands.images.preload import load_images, preload, preload_commands
from devtools.errors import ExitCode

if TYPE_CHECKING:
    from devtools.images.catalog import Catalog
    from devtools.images.inventory import RequiredImage
    from devtools.model import Release, Stack

__all__ = ["load_images", "preload", "preload_commands", "show", "wanted_by"]

VERSION = 1  # of the JSON documents


def show(app: App, layers: Sequence[str], options: Options) -> ExitCode:
    """List every image that enabled releases reference, those releases, and whether images.yaml has it."""
    from devtools.images.catalog import load_catalog

    catalog = load_catalog(app.settings.root)
    stack = app.stack()
    releases = _chosen(stack, layers)
    wanted = wanted_by(app, stack, releases)
    rows = [_row(item, catalog) for item in wanted]
    if not layers:
        used = {item.reference.tagged for item in wanted}
        rows += [_unused(catalog, name) for name in catalog.images if name not in used]
    if options.output == "json":
        document = {"version": VERSION, "kind": "images", "environment": stack.environment.name, "images": rows}
        app.out.write(json.dumps(document, indent=2) + "\n")
        return ExitCode.OK
    _write(app, [(row["image"], _origin(row), _users(row["releases"])) for row in rows])
    app.say(_summary(rows, len(releases)))
    return ExitCode.OK


def wanted_by(app: App, stack: Stack, releases: Sequence[Release]) -> tuple[RequiredImage, ...]:
    """Return the images of releases as declared for this environment, from charts verified against the lock."""
    from devtools.config.values import masked, merge
    from devtools.errors import config_error
    from devtools.images.inventory import find_images

    if problems := app.charts.verify(releases):
        raise config_error(problems)
    values = {
        str(release.id): merge(
            release, stack.environment, root=stack.root, secrets=masked(release, "encrypted", typed=True)
        ).data
        for release in releases
    }
    with app.rendering() as rendering:
        return find_images(rendering, releases, values)


def _chosen(stack: Stack, layers: Sequence[str]) -> list[Release]:
    """Return the enabled releases of these layers; without layers, of all."""
    from devtools.planning.layer_names import find_layer

    names = {find_layer(stack, typed).name for typed in layers}
    return [release for release in stack.releases() if release.installed and (not names or release.layer in names)]


def _row(item: RequiredImage, catalog: Catalog) -> dict[str, Any]:
    """Return one image as JSON data."""
    pinned = catalog.find(item.reference)
    return {
        "image": str(item.reference),
        "stand_in": item.stand_in,
        "releases": [str(release.id) for release in item.releases],
        "pinned": pinned is not None,
        "source": pinned.source if pinned else None,
        "digest": (pinned.digest or None) if pinned else None,
        "purpose": pinned.purpose if pinned else None,
    }


def _unused(catalog: Catalog, name: str) -> dict[str, Any]:
    """Return an image of the catalog that no rendered release references."""
    pinned = catalog.images[name]
    return {
        "image": name,
        "stand_in": False,
        "releases": [],
        "pinned": True,
        "source": pinned.source,
        "digest": pinned.digest or None,
        "purpose": pinned.purpose,
    }


def _origin(row: Mapping[str, Any]) -> str:
    """Return whether it is a placeholder, or how images.yaml provides it."""
    if row["stand_in"]:
        return "stand-in"
    if not row["pinned"]:
        return "-"
    return f"images.yaml: {row['source']}" + (", pinned" if row["digest"] else "")


def _users(releases: Sequence[str]) -> str:
    return shortened(releases) or "no release"


def _summary(rows: Sequence[Mapping[str, Any]], releases: int) -> str:
    """Return the count, and a note about images of stand-ins."""
    placeholders = sum(1 for row in rows if row["stand_in"])
    pinned = sum(1 for row in rows if row["pinned"])
    text = f"{plural(len(rows), 'image')} of {plural(releases, 'release')}, {pinned} in images.yaml"
    if placeholders:
        text += f"; {plural(placeholders, 'placeholder')} of stand-ins: the real charts name others"
    return text


def _write(app: App, cells: Sequence[tuple[str, ...]]) -> None:
    """Return rows as aligned lines."""
    from devtools.report.text import clean

    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        app.out.write(clean(line).rstrip() + "\n")
