"""Builds a `Layer` of the model from one layer file's data, with defaults filled in; collects problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devtools.base.yaml_positions import Document, KeyPath
from devtools.config.environments import EnvironmentValues, Overlays
from devtools.config.finder import ChartFinder, ChartUnknown
from devtools.config.merging import At, Origins, lay_over
from devtools.config.root_causes import FEW, Cause, Causes
from devtools.config.settings_file.checks import unknown_environment
from devtools.config.validate import made
from devtools.errors import Location, Problem
from devtools.model import ChartRef, Contract, HelmKeys, Hook, Layer, Need, Release, ReleaseId, ReleaseKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultsFile:
    """Defaults of all layers: `layers/_defaults.yaml`."""

    helm: HelmKeys = field(default_factory=HelmKeys)
    """Helm's defaults for every release."""
    release: ReleaseKeys = field(default_factory=ReleaseKeys)
    """Defaults for the other keys of every release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """`_defaults.yaml`: `helm` and `release` as one set of release keys, and the place of each."""

    document: Document
    keys: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, KeyPath] = field(default_factory=dict)
    broken: bool = False  # its missing keys are unknown

    @property
    def no_namespace(self) -> Cause:
        """The root cause if many releases have no namespace: the key that this file lacks."""
        message = "sets no release.namespace" if self.document.marks else "is missing or empty"
        hint = "set release.namespace there, or 'namespace' of each release"
        return Cause(where=self.document.at(("release",)), message=message, hint=hint, few=FEW)

    @classmethod
    def of(cls, document: Document, data: Mapping[str, Any], *, broken: bool) -> Defaults:
        """Build it from the file's validated data; a key of `release` overrides one of `helm`."""
        paths = {key: (part, key) for part in ("helm", "release") for key in data.get(part, {})}
        keys = {key: data[part][key] for key, (part, _) in paths.items()}
        return cls(document=document, keys=keys, paths=paths, broken=broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A release's keys, its own over the defaults, and the place of each."""

    document: Document
    path: KeyPath
    own: Mapping[str, Any]
    defaults: Defaults

    def get(self, key: str, otherwise: Any) -> Any:
        """Return the key's value."""
        return self.own.get(key, self.defaults.keys.get(key, otherwise))

    def source(self, key: str) -> tuple[Document, KeyPath]:
        """Return the file and path of the key's value."""
        if key not in self.own and key in self.defaults.keys:
            return self.defaults.document, self.defaults.paths[key]
        return self.document, (*self.path, key)

    def at(self, key: str, *rest: str | int) -> Location:
        """Return the place of a path under a key."""
        document, path = self.source(key)
        return document.at((*path, *rest))


class Builder:
    """Builds layers; collects `problems` of all of them, and `causes` for problems whose cause is elsewhere."""

    def __init__(
        self, environment: EnvironmentValues, names: tuple[str, ...], defaults: Defaults, charts: ChartFinder
    ) -> None:
        self.problems: list[Problem] = []
        self.causes = Causes()
        self._environment = environment
        self._names = names
        self._defaults = defaults
        self._charts = charts
        self._found: dict[str, ChartRef | ChartUnknown] = {}

    def layer(self, document: Document, data: Mapping[str, Any], overlays: Overlays) -> Layer:
        """Return the layer that a file declares, with its releases in file order."""
        name = document.file.stem
        inactive = self._left_out(data.get("environments"), document, ("environments",))
        entries = [
            Entry(document=document, path=("releases", index), own=own, defaults=self._defaults)
            for index, own in enumerate(data.get("releases", ()))
        ]
        labels = {"stage": data["stage"], "layer": name}
        releases = tuple(self._release(entry, labels, inactive, overlays) for entry in entries)
        return made(Layer, data, name=name, file=document.file, inactive=inactive, releases=releases)

    def _release(self, entry: Entry, labels: Mapping[str, str], inactive: str, overlays: Overlays) -> Release:
        values, origins = _values(entry)
        secret_files, secrets_digest = overlays.secrets_of(labels["layer"], entry.own["name"])
        installed, disabled_by = self._switch(entry, inactive)
        release = made(
            Release,
            {**self._defaults.keys, **entry.own},
            namespace=self._namespace(entry),
            layer=labels["layer"],
            chart=self._chart(entry),
            where=entry.document.at(entry.path),
            values=values,
            values_where=origins,
            values_files=overlays.of(labels["layer"], entry.own["name"]),
            secret_files=secret_files,
            secrets_digest=secrets_digest,
            needs=tuple(
                Need(release=ReleaseId(*name.split("/")), optional=optional, where=entry.at("needs", index))
                for index, (name, optional) in enumerate(entry.get("needs", ()))
            ),
            contract=tuple(self._contracts(entry)),
            before=tuple(self._hooks(entry, "before")),
            after=tuple(self._hooks(entry, "after")),
            installed=installed,
            disabled_by=disabled_by,
            labels={**self._defaults.keys.get("labels", {}), **entry.own.get("labels", {}), **labels},
        )
        return self._without_values(release, entry, overlays) if release.chart.kind == "packaged" else release

    def _without_values(self, release: Release, entry: Entry, overlays: Overlays) -> Release:
        """Return a release of manifests or a kustomization, which takes no values; values in it are problems."""
        chart = entry.own["chart"]
        message = f"chart '{chart}' takes no values"
        hint = f"write an overlay: charts/{chart}/overlays/ENVIRONMENT" if "kustomize/" in chart else "edit its files"
        if "values" in entry.own:
            self._report(entry.at("values"), message, hint)
        self.problems += overlays.refused(release.layer, release.name, message, hint)
        return replace(release, values={}, values_where={}, values_files=(), secret_files=(), secrets_digest="")

    def _namespace(self, entry: Entry) -> str:
        namespace = str(entry.get("namespace", ""))
        if not namespace and not self._defaults.broken:
            message = f"release '{entry.own['name']}' has no namespace"
            hint = "set 'namespace' here, or release.namespace in _defaults.yaml"
            alone = Problem(where=entry.at("name"), message=message, hint=hint)
            self.causes.blame(self._defaults.no_namespace, f"release '{entry.own['name']}'", alone)
        return namespace

    def _chart(self, entry: Entry) -> ChartRef:
        """Return the chart, looked up once for all releases; if there is none, a problem and a dummy reference."""
        name = entry.own["chart"]
        if name not in self._found:
            try:
                self._found[name] = self._charts.find(name, self._environment.name)
            except ChartUnknown as unknown:
                self._found[name] = unknown
        found = self._found[name]
        if isinstance(found, ChartUnknown):
            self._report(entry.at("chart"), found.message, found.hint, cause=found.cause, wanted=name)
            return ChartRef(name=name, path=Path())
        return found

    def _switch(self, entry: Entry, inactive: str) -> tuple[bool, str]:
        """Return whether it is installed in this environment, and if not, the responsible key."""
        document, path = entry.source("environments")
        inactive = self._left_out(entry.get("environments", None), document, path) or inactive
        if inactive:
            return False, inactive
        switch = entry.get("installed", True)
        if isinstance(switch, bool):
            return switch, "" if switch else f"installed: false ({entry.at('installed')})"
        try:
            on, where = self._environment.switch(switch)
        except KeyError as error:
            if not self._environment.broken:
                self._report(entry.at("installed"), *error.args, cause=self._environment.missing, wanted=switch)
            return True, ""
        except TypeError as error:
            self._report(entry.at("installed"), *error.args)
            return True, ""
        return on, "" if on else f"{switch}: false ({where})"

    def _left_out(self, environments: list[str] | None, document: Document, path: KeyPath) -> str:
        """Return why this environment is left out; empty if it is not."""
        if environments is None:
            return ""
        for index, name in enumerate(environments):
            if name not in self._names:
                self.problems.append(unknown_environment(document, (*path, index), name, self._names))
        if self._environment.name in environments:
            return ""
        return f"environments: [{', '.join(environments)}] ({document.at(path)})"

    def _contracts(self, entry: Entry) -> Iterator[Contract]:
        for index, data in enumerate(entry.get("contract", ())):
            where = entry.at("contract", index)
            if wrong := _contract_problem(data):
                self._report(where, wrong)
            yield made(Contract, data, where=where)

    def _hooks(self, entry: Entry, key: str) -> Iterator[Hook]:
        """Yield the commands under a key that run in this environment."""
        document, path = entry.source(key)
        for index, data in enumerate(entry.get(key, ())):
            if not self._left_out(data.get("environments"), document, (*path, index, "environments")):
                yield made(Hook, data, where=entry.at(key, index))

    def _report(
        self, where: Location, message: str, hint: str = "", *, cause: Cause | None = None, wanted: str = ""
    ) -> None:
        """Add a problem, or blame the cause for what is wanted and missing."""
        problem = Problem(where=where, message=message, hint=hint)
        if cause:
            self.causes.blame(cause, f"'{wanted}'", problem)
        else:
            self.problems.append(problem)


def _values(entry: Entry) -> tuple[Mapping[str, Any], Origins]:
    """Return the inline values over those of `_defaults.yaml`, and the place of each key."""
    origins: Origins = {}
    values: Mapping[str, Any] = {}
    defaults = entry.defaults
    if "values" in defaults.keys:
        values = lay_over(values, defaults.keys["values"], origins, _below(defaults.document, defaults.paths["values"]))
    if "values" in entry.own:
        values = lay_over(values, entry.own["values"], origins, _below(entry.document, (*entry.path, "values")))
    return values, origins


def _below(document: Document, path: KeyPath) -> At:
    return lambda rest: document.at((*path, *rest))


def _contract_problem(data: Mapping[str, Any]) -> str:
    """Return why a contract is inconsistent; empty if it is not."""
    about_object = [key for key in ("apiVersion", "kind", "name", "condition", "jsonpath", "equals") if key in data]
    if "http" in data:
        return f"a contract with 'http' takes no '{about_object[0]}'" if about_object else ""
    if missing := [key for key in ("kind", "name") if key not in data]:
        return f"a contract needs '{missing[0]}' (or 'http')"
    if ("jsonpath" in data) != ("equals" in data):
        return "a contract's 'jsonpath' and 'equals' go together"
    if "condition" in data and "jsonpath" in data:
        return "a contract takes 'condition' or 'jsonpath', not both: write two"
    return ""
