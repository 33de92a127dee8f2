"""Lists the images that releases use: renders each chart offline with helm and reads the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.base.image_names import Reference, parse
from devtools.errors import Problem, TimedOut, config_error
from devtools.images.rendered import images_of
from devtools.model import Release
from devtools.rendering.renderer import Renderer, RenderingFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredImage:
    """One image, and the releases whose manifests name it; a stand-in's is a placeholder that cannot be pulled."""

    reference: Reference
    releases: tuple[Release, ...]

    @property
    def stand_in(self) -> bool:
        """Whether only stand-ins use it."""
        return all(release.chart.kind == "stand-in" for release in self.releases)


def find_images(
    renderer: Renderer, releases: Iterable[Release], values: Mapping[str, Mapping[str, Any]]
) -> tuple[RequiredImage, ...]:
    """Return the images of these releases, sorted; `values` are by `namespace/name`. ConfigError with every failure."""
    chosen = list(releases)
    found = renderer.each(lambda release: _images(renderer, release, values[str(release.id)]), chosen)
    users: dict[Reference, list[Release]] = {}
    problems: list[Problem] = []
    for release, (images, wrong) in zip(chosen, found, strict=True):
        problems += wrong
        for reference in images:
            users.setdefault(reference, []).append(release)
    if problems:
        raise config_error(problems)
    return tuple(RequiredImage(reference=reference, releases=tuple(users[reference])) for reference in sorted(users))


def _images(renderer: Renderer, release: Release, values: Mapping[str, Any]) -> tuple[list[Reference], list[Problem]]:
    try:
        rendered = renderer.offline(release, values, crds=True)
    except RenderingFailed as error:
        message = f"{release.id}: chart '{release.chart.name}' cannot be rendered: {error.message}"
        return [], [Problem(where=release.where, message=message)]
    except TimedOut as error:
        return [], [Problem(where=release.where, message=f"{release.id}: {error.message}")]
    images: dict[Reference, None] = {}
    problems: list[Problem] = []
    for text in images_of([*rendered.objects, *(hook.object for hook in rendered.hooks)]):
        try:
            images[parse(text)] = None
        except ValueError as error:
            problems.append(Problem(where=release.where, message=f"{release.id}: {error}"))
    return list(images), problems
