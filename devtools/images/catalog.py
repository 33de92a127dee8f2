"""`images.yaml`: the pinned images that are loaded into clusters beforehand, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from devtools.base.image_names import Reference, parse
from devtools.base.key_types import Derived, ImageDigest, ImageName, ImageTag, Text, Written
from devtools.base.words import did_you_mean
from devtools.base.yaml_positions import Document, KeyPath, read
from devtools.config.validate import is_inside, made, suggestion, validated
from devtools.errors import ConfigError, Location, Problem, config_error

FILE = Path("images.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How an image is built; paths are absolute."""

    context: Annotated[Path, Written(Text)]
    """The directory that is built from, from the repository's root."""
    file: Annotated[Path, Written(Text)] = Path("Dockerfile")
    """Its Dockerfile, from the context; `Dockerfile` when absent."""
    target: Text = ""
    """The stage of the Dockerfile to build; the last one when absent."""
    args: Mapping[str, Text] = field(default_factory=dict)
    """Build arguments; they stay in the image's history, so none is a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One image of the catalog."""

    name: ImageName
    """Its name, as charts write it, without tag."""
    tag: ImageTag
    """Its tag."""
    digest: ImageDigest = ""
    """Digest of the image when the tag was first pulled; null until then. Images built here have none."""
    purpose: Text
    """Its purpose."""
    build: Build | None = None
    """How it is built; an image with neither this nor `archive` is pulled."""
    archive: Annotated[Path | None, Written(Text)] = None
    """An archive that `docker save` wrote, from the repository's root, instead of a registry."""
    where: Derived[Location]

    @property
    def reference(self) -> Reference:
        """Its name with the tag, without the digest."""
        return parse(f"{self.name}:{self.tag}")

    @property
    def source(self) -> Literal["build", "archive", "pull"]:
        """How it comes to be."""
        return "build" if self.build else "archive" if self.archive else "pull"

    def __str__(self) -> str:
        """Return its name and tag."""
        return str(self.reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesFile:
    """The images that are loaded into clusters beforehand: `images.yaml`."""

    images: tuple[Pinned, ...] = ()
    """The images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The file: images by name and tag, in its order; empty if there is no such file."""

    images: Mapping[str, Pinned] = field(default_factory=dict)

    def find(self, reference: Reference) -> Pinned | None:
        """Return the entry of the image that a chart names."""
        return self.images.get(reference.tagged)

    def chosen(self, names: Iterable[str]) -> tuple[Pinned, ...]:
        """Return the images of these names, with or without registry and tag, or all; ConfigError with near matches."""
        found = {str(item): item for item in map(self._one, names)}
        return tuple((found or self.images).values())

    def _one(self, name: str) -> Pinned:
        known = [item for item in self.images.values() if name in _forms(item.reference)]
        if len(known) == 1:
            return known[0]
        if known:
            raise ConfigError(f"'{name}' could be {' or '.join(map(str, known))}", hint="type a longer prefix")
        every = [item.reference for item in self.images.values()]
        near = did_you_mean(name, [form for item in every for form in _forms(item)])
        hint = near or suggestion(name, [item.short for item in every], "images")
        raise ConfigError(f"no image '{name}' in {FILE}", hint=hint)


def load_catalog(root: Path) -> Catalog:
    """Return the catalog of the repository at `root`; ConfigError with every problem of the file."""
    path = root / FILE
    if not path.exists():
        return Catalog()
    document = read(path, FILE)
    data, problems = validated(ImagesFile, document)
    images: dict[str, Pinned] = {}
    found = list(problems)
    for index, keys in enumerate(data.get("images", ())):
        entry = _entry(keys, root, document.at(("images", index)))
        found += _entry_problems(keys, document, index) or _missing(entry, document, index, root)
        if first := images.get(str(entry)):
            message = f"image {entry} is listed twice"
            found.append(document.problem(("images", index), message, f"first at {first.where}"))
        images.setdefault(str(entry), entry)
    if found:
        raise config_error(found)
    return Catalog(images=images)


def _entry(keys: Mapping[str, Any], root: Path, where: Location) -> Pinned:
    build = keys.get("build")
    if build:
        context = root / build["context"]
        build = made(Build, build, context=context, file=context / build.get("file", "Dockerfile"))
    archive = root / keys["archive"] if "archive" in keys else None
    return made(Pinned, keys, build=build, archive=archive, where=where)


def _entry_problems(keys: Mapping[str, Any], document: Document, index: int) -> list[Problem]:
    """Return the problems of one entry: keys that exclude each other, and paths outside the repository."""
    path: KeyPath = ("images", index)
    problems = []
    if "build" in keys and "archive" in keys:
        problems.append(document.problem((*path, "archive"), "'archive' and 'build' exclude each other"))
    if keys.get("digest") and ("build" in keys or "archive" in keys):
        message = "only a pulled image has a 'digest'"
        problems.append(document.problem((*path, "digest"), message, "remove it, or make it null"))
    build = keys.get("build", {})
    named = {("archive",): keys, ("build", "context"): build, ("build", "file"): build}
    for key, of in named.items():
        if (value := of.get(key[-1])) is not None and not is_inside(value):
            message = f"'{key[-1]}' must be a path inside the repository"
            problems.append(document.problem((*path, *key), message))
    return problems


def _missing(entry: Pinned, document: Document, index: int, root: Path) -> list[Problem]:
    """Return a build without its Dockerfile; an archive need not be there before it is wanted."""
    build = entry.build
    if build is None or build.file.is_file():
        return []
    file, context = ("file", "file", build.file), ("context", "directory", build.context)
    key, what, path = file if build.context.is_dir() else context
    return [document.problem(("images", index, "build", key), f"{what} {path.relative_to(root)} does not exist")]


def _forms(reference: Reference) -> tuple[str, ...]:
    names = (reference.short, reference.name.removeprefix("docker.io/"), reference.name)
    return tuple(form for name in names for form in (name, f"{name}:{reference.tag}"))
