"""Environments: the enabled parts of each, and the overlays of each release.

environments/_shared/environment.yaml            values for `installed:` and references, weakest
environments/<env>/environment.yaml
environments/<env>/platform/*.values.yaml        strongest, by file name
environments/{_shared,<env>}/<layer>/<release>.yaml    overlays of a release's values
environments/{_shared,<env>}/<layer>/<release>.secrets.yaml    the same, encrypted by SOPS, on top of them

The environments that an environment extends come between `_shared` and its own files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.base.words import did_you_mean
from devtools.base.yaml_positions import read
from devtools.config.merging import Origins, lay_over, paths_of
from devtools.config.root_causes import FEW, Cause
from devtools.config.settings import Settings
from devtools.config.validate import suggestion
from devtools.errors import ConfigError, Location, Problem
from devtools.model import Environment
from devtools.sops.encrypted_file import SUFFIX, ciphertext_digest, encryption_problems

if TYPE_CHECKING:
    from devtools.config.references.resolver import References

SHARED = "_shared"
_VALUES = "environment.yaml"
_PLATFORM = "platform"
_SECRETS = SUFFIX.removesuffix(".yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentValues:
    """The values for `installed:` paths, and the place of each key."""

    environment: Environment
    broken: bool = False  # the missing keys of its files are unknown
    missing: Cause | None = None  # its own environment.yaml, if that does not exist

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.environment.name

    def switch(self, path: str) -> tuple[bool, Location]:
        """Return the boolean at a dotted path and its place.

        Raises KeyError(message, hint) if there is nothing, TypeError(message, hint) if there is another value.
        """
        values, origins = list(paths_of(self.environment.values)), self.environment.where
        found = [(keys, value) for keys, value in values if ".".join(keys) == path]
        if not found:
            switches = [".".join(keys) for keys, value in values if isinstance(value, bool)]
            raise KeyError(f"environment '{self.name}' has no value '{path}'", did_you_mean(path, switches))
        keys, value = found[0]
        where = origins[keys]
        if len(found) > 1:
            others = " and ".join(str(origins[keys]) for keys, _ in found)
            raise TypeError(f"'{path}' stands for several values", f"rename a key with dots in it: {others}")
        if not isinstance(value, bool):
            raise TypeError(f"'{path}' must be true or false", f"it is set at {where}")
        return value, where


def environment_names(settings: Settings) -> tuple[str, ...]:
    """Return every environment, sorted; only the default one if no directory declares any."""
    names = [path.name for path in _directories(settings.environments) if not path.name.startswith("_")]
    return tuple(names) or (settings.environment,)


def chosen(settings: Settings, name: str) -> str:
    """Return the name, if there is such an environment; ConfigError with near matches otherwise."""
    names = environment_names(settings)
    if name not in names:
        raise ConfigError(f"unknown environment '{name}'", hint=suggestion(name, names, "environments"))
    return name


def load_environment(
    settings: Settings, name: str, sets: Iterable[str] = ()
) -> tuple[EnvironmentValues, list[Problem]]:
    """Return the environment's values with `key=value` of `--set` applied, and the problems of both."""
    files = [settings.environments / SHARED / _VALUES]
    for level in settings.levels_of(name):
        directory = settings.environments / level
        files += [directory / _VALUES, *sorted(directory.glob(f"{_PLATFORM}/*.values.yaml"))]
    files = [path for path in files if path.exists()]
    data: Mapping[str, Any] = {}
    origins: Origins = {}
    problems: list[Problem] = []
    for path in files:
        document = read(path, path.relative_to(settings.root))
        problems += document.problems
        data = lay_over(data, document.data, origins, document.at)
    own = settings.environments / name / _VALUES
    hint = "restore it from version control, or add the missing values"
    where = Location(file=own.relative_to(settings.root))
    # the file is optional; if many values are missing, it may be the cause
    missing = None if own in files else Cause(where=where, message="is missing", hint=hint, few=FEW)
    environment = Environment(name=name, values=data, where=origins, references=settings.references)
    resolved, wrong = _resolved(environment, settings)
    problems += wrong
    if sets and not problems:
        from devtools.config.references.typed_values import with_sets

        environment, problems = with_sets(environment, resolved, sets)
        resolved, wrong = _resolved(environment, settings)
        problems += wrong
    return EnvironmentValues(environment=resolved, broken=bool(problems), missing=missing), problems


def _resolved(environment: Environment, settings: Settings) -> tuple[Environment, tuple[Problem, ...]]:
    """Return the environment with references among its values replaced, if references are enabled."""
    if not settings.references:
        return environment, ()
    from devtools.config.references.resolver import resolve_environment

    return resolve_environment(environment, settings.root)


class Overlays:
    """The overlay files of one environment, listed once."""

    def __init__(self, settings: Settings, environment: str) -> None:
        self._root = settings.root
        self._levels = [
            {
                (directory.name, path.stem): path
                for directory in _directories(settings.environments / level)
                if directory.name != _PLATFORM and not directory.name.startswith("_")
                for path in yaml_files(directory)
                if path.suffix == ".yaml"
            }
            for level in (SHARED, *settings.levels_of(environment))
        ]

    def of(self, layer: str, release: str) -> tuple[Path, ...]:
        """Return the release's overlays, weakest first."""
        return tuple(level[layer, release] for level in self._levels if (layer, release) in level)

    def secrets_of(self, layer: str, release: str) -> tuple[tuple[Path, ...], str]:
        """Return the release's encrypted overlays, weakest first, and a digest of the encrypted text in them."""
        files = self.of(layer, f"{release}{_SECRETS}")
        return files, ciphertext_digest(read(file).data for file in files)

    def refused(self, layer: str, release: str, message: str, hint: str) -> Iterator[Problem]:
        """Return a problem for each overlay of a release that may have none."""
        for path in (*self.of(layer, release), *self.of(layer, f"{release}{_SECRETS}")):
            yield Problem(where=Location(file=path.relative_to(self._root)), message=message, hint=hint)

    def problems(self, references: References | None) -> Iterator[Problem]:
        """Yield the problems inside the overlay files."""
        for path in (path for level in self._levels for path in level.values()):
            document = read(path, path.relative_to(self._root))
            if path.name.endswith(SUFFIX):
                yield from encryption_problems(document)
            else:
                yield from (references.resolve(document) if references else document).problems


def stray_problems(settings: Settings, declared: Mapping[str, Iterable[str] | None]) -> Iterator[Problem]:
    """Yield files and directories of any environment that nothing reads: a typo there would go unnoticed.

    `declared` maps each layer to its releases, or to None if its file could not be read.
    """
    for level in _directories(settings.environments):
        if level.name.startswith("_") and level.name != SHARED:
            continue
        for path in yaml_files(level):
            if path.name != _VALUES:
                yield _stray(settings.root, path, "nothing reads this file", [_VALUES])
        for directory in _directories(level):
            if not directory.name.startswith("_"):
                yield from _stray_in(settings.root, directory, declared, shared=level.name == SHARED)


def _stray_in(
    root: Path, directory: Path, declared: Mapping[str, Iterable[str] | None], *, shared: bool
) -> list[Problem]:
    files = yaml_files(directory)
    if directory.name == _PLATFORM and not shared:
        stray = [path for path in files if not path.name.endswith(".values.yaml")]
        return [_stray(root, path, "nothing reads this file: its name must end in .values.yaml") for path in stray]
    if directory.name not in declared:
        return [_stray(root, directory, f"no layer is called '{directory.name}'", declared, "layers")]
    releases = declared[directory.name]
    if releases is None:
        return []
    names = [f"{release}{suffix}" for release in releases for suffix in (".yaml", SUFFIX)]
    message = "no release of this layer has this name"
    return [_stray(root, path, message, names, "releases") for path in files if path.name not in names]


def _stray(root: Path, path: Path, message: str, names: Iterable[str] = (), what: str = "") -> Problem:
    known = list(names)
    hint = suggestion(path.name, known, what) if what else did_you_mean(path.name, known)
    return Problem(where=Location(file=path.relative_to(root)), message=message, hint=hint)


def _directories(directory: Path) -> list[Path]:
    """Return its directories by name, without hidden ones; none if it does not exist."""
    if not directory.is_dir():
        if directory.exists():
            raise ConfigError(f"{directory.name} is not a directory", hint="each environment is a directory in it")
        return []
    return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))


def yaml_files(directory: Path) -> list[Path]:
    """Return its YAML files by name, without hidden ones and those that begin with `_`."""
    files = (path for path in directory.iterdir() if path.suffix in (".yaml", ".yml"))
    return sorted(path for path in files if not path.name.startswith((".", "_")))
