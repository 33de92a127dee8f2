"""`invoke images.list`: images that charts reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.base.words import plural, shortened
from devtools.config.values import masked, merge
from devtools.errors import ExitCode, raise_problems
from devtools.images.catalog import Pinned, load_catalog
from devtools.images.inventory import RequiredImage, find_images
from devtools.model import Release, Stack
from devtools.planning.layer_names import find_layer
from devtools.report.text import Line, Span, aligned, clean

VERSION = 1  # of the JSON document


def show(app: App, layers: Sequence[str], options: Options) -> ExitCode:
    """List every image that enabled releases reference, those releases, and whether images.yaml has it."""
    catalog = load_catalog(app.settings.root)
    stack = app.stack()
    releases = _chosen(stack, layers)
    wanted = wanted_by(app, stack, releases)
    rows = [_row(str(item.reference), catalog.find(item.reference), item) for item in wanted]
    if not layers:
        used = {item.reference.tagged for item in wanted}
        rows += [_row(name, pinned) for name, pinned in catalog.images.items() if name not in used]
    document = {"version": VERSION, "kind": "images", "environment": stack.environment.name, "images": rows}
    app.show(document, _lines, options.output)
    if options.output == "text":
        app.say(_summary(rows, len(releases)))
    return ExitCode.OK


def wanted_by(app: App, stack: Stack, releases: Sequence[Release]) -> tuple[RequiredImage, ...]:
    """Return the images of releases as declared for this environment, from charts verified against the lock."""
    raise_problems(app.charts.verify(releases))
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
    names = {find_layer(stack, typed).name for typed in layers}
    return [release for release in stack.releases() if release.installed and (not names or release.layer in names)]


def _row(image: str, pinned: Pinned | None, required: RequiredImage | None = None) -> dict[str, Any]:
    """Return one image as JSON data; an image of the catalog that no rendered release references is not required."""
    return {
        "image": image,
        "stand_in": required.stand_in if required else False,
        "releases": [str(release.id) for release in required.releases] if required else [],
        "pinned": pinned is not None,
        "source": pinned.source if pinned else None,
        "digest": (pinned.digest or None) if pinned else None,
        "purpose": pinned.purpose if pinned else None,
    }


def _origin(row: Mapping[str, Any]) -> str:
    """Return whether it is a placeholder, or how images.yaml provides it."""
    if row["stand_in"]:
        return "stand-in"
    if not row["pinned"]:
        return "-"
    return f"images.yaml: {row['source']}" + (", pinned" if row["digest"] else "")


def _lines(document: Mapping[str, Any], _: int) -> list[Line]:
    rows = [(row["image"], _origin(row), shortened(row["releases"]) or "no release") for row in document["images"]]
    return [(Span(clean(line)),) for line in aligned(rows)]


def _summary(rows: Sequence[Mapping[str, Any]], releases: int) -> str:
    placeholders, pinned = (sum(bool(row[key]) for row in rows) for key in ("stand_in", "pinned"))
    text = f"{plural(len(rows), 'image')} of {plural(releases, 'release')}, {pinned} in images.yaml"
    if placeholders:
        text += f"; {plural(placeholders, 'placeholder')} of stand-ins: the real charts name others"
    return text
