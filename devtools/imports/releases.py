"""Converts one release of a helmfile, as its environments declare it, to a release of a layer file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import merged
from devtools.base.words import shortened
from devtools.base.yaml_positions import parse
from devtools.errors import ConfigError
from devtools.imports.advice import CARRIED_EVENTS, HOOK_EVENTS, NOT_CARRIED, SECRETS
from devtools.imports.model import Chart, Found, Row, Secret
from devtools.imports.positions import Places
from devtools.imports.values import with_set, without_references
from devtools.model import ReleaseId
from devtools.sops.encrypted_file import SUFFIX, encryption_problems

_SWITCH = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_RESERVED = frozenset({"stage", "layer", "name", "owner", "status", "version", "createdAt", "modifiedAt"})
_LONGEST_HISTORY = 100
_ATOMIC = ("atomic", "rollbackOnFailure")
# keys that a release has once for all environments, with what they are when absent
_ONCE: Mapping[str, bool | None] = {
    **dict.fromkeys(("wait", "createNamespace"), True),
    **dict.fromkeys(_ATOMIC, False),
    **dict.fromkeys(("timeout", "historyMax", "labels")),
}


@dataclass(kw_only=True)
class Release:
    """A converted release: its keys, its values and switch by environment, and the report."""

    id: ReleaseId
    found: Mapping[str, Found]  # by environment
    names: Sequence[str]  # of all environments
    keys: dict[str, Any] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    encrypted: dict[str, bytes] = field(default_factory=dict)  # files of encrypted values by environment
    switches: dict[str, dict[str, bool]] = field(default_factory=dict)  # by environment and dotted path
    rows: list[Row] = field(default_factory=list)

    @property
    def first(self) -> Found:
        """The release as the first environment that has it declares it."""
        return next(iter(self.found.values()))

    def is_on(self, environment: str) -> bool:
        """Return whether it is installed in an environment."""
        return environment in self.found and self.found[environment].installed


@dataclass(frozen=True, slots=True)
class Converter:
    """Converts releases; knows the charts, the places, and the texts of files that `set:` names."""

    charts: Mapping[tuple[str, str, str], Chart]  # by state file, name and version as the helmfile has them
    places: Places
    texts: Mapping[str, str]
    known: frozenset[ReleaseId]

    def convert(self, release: Release) -> None:
        """Convert a release."""
        self._chart(release)
        self._where(release)
        self._helm(release)
        self._labels(release)
        self._values(release)
        self._hooks(release)
        self._others(release)

    def _row(self, release: Release, key: str, what: str, note: str, *, carried: bool = False) -> None:
        where = self.places.of(release.first.source, release.id.name, key)
        row = Row(carried=carried, what=f"{release.id}: {what}", where=where, note=note)
        if row not in release.rows:
            release.rows.append(row)

    def _chart(self, release: Release) -> None:
        charts = {name: self.charts[chart_key(found)] for name, found in release.found.items()}
        first = next(iter(charts.values()))
        release.keys = {"name": release.id.name, "namespace": release.id.namespace, "chart": first.name}
        for name, chart in charts.items():
            if chart.name != first.name:
                note = f"every environment gets {first}: pin the version that all can use"
                self._row(release, "version", f"{chart} in {name}", note)

    def _where(self, release: Release) -> None:
        if len(release.found) < len(release.names):
            release.keys["environments"] = [name for name in release.names if name in release.found]
        conditions = {str(found.keys.get("condition") or "") for found in release.found.values()}
        condition = conditions.pop() if len(conditions) == 1 else ""
        on = {name: release.is_on(name) for name in release.found}
        if not condition and all(on.values()):
            return
        if not condition and not any(on.values()):
            release.keys["installed"] = False
            return
        path = condition if _SWITCH.fullmatch(condition) else f"{release.id.name}.installed"
        release.keys["installed"] = path
        release.switches = {name: {path: value} for name, value in on.items()}

    def _helm(self, release: Release) -> None:
        keys = release.first.keys
        timeout = keys.get("timeout")
        if isinstance(timeout, int) and timeout > 0 and timeout != 300:  # noqa: PLR2004 - the default of both
            release.keys["timeout"] = f"{timeout}s"
        self._differences(release)
        atomic = any(keys.get(key) is True for key in _ATOMIC)
        if keys.get("wait") is False and not atomic:  # atomic waits
            release.keys["wait"] = False
        if keys.get("createNamespace") is False:
            release.keys["create_namespace"] = False
        history = keys.get("historyMax")
        if isinstance(history, int) and 1 <= history <= _LONGEST_HISTORY:
            release.keys["history"] = history
        elif history is not None:
            self._row(release, "historyMax", f"historyMax: {history}", f"history is 1 to {_LONGEST_HISTORY}; 5 is used")
        for key in _ATOMIC:
            if keys.get(key) is True:
                release.keys["on_failure"] = "rollback"
                note = "to the last revision that was ready; a first install that fails is uninstalled"
                self._row(release, key, f"{key} is `on_failure: rollback`", note, carried=True)

    def _differences(self, release: Release) -> None:
        """Report keys that environments set differently: the first environment's count for all."""
        for name, found in release.found.items():
            for key, default in _ONCE.items():
                value = found.keys.get(key, default)
                if value != release.first.keys.get(key, default):
                    shown = f"{key}: {str(value).lower()}" if isinstance(value, bool | int) else f"other {key}"
                    note = f"every environment gets that of {next(iter(release.found))}"
                    self._row(release, key, f"{shown} in {name}", note)

    def _labels(self, release: Release) -> None:
        keys = release.first.keys
        chart = str(keys.get("chart") or "").rpartition("/")[2]
        own = {"name": release.id.name, "namespace": keys.get("namespace") or "", "chart": chart}  # helmfile's
        every = keys.get("labels") or {}
        labels = {str(key): str(value) for key, value in every.items() if own.get(key) != value}
        good = {
            key: value
            for key, value in labels.items()
            if key not in _RESERVED and _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)
        }
        if good:
            release.keys["labels"] = good
        for key in sorted(labels.keys() - good.keys()):
            note = "the layer sets it" if key in _RESERVED else "it is not a Kubernetes label"
            self._row(release, "labels", f"label {key}", note)

    def needs(self, release: Release, releases: Mapping[ReleaseId, Release], earlier: frozenset[ReleaseId]) -> None:
        """Set the release's needs; `earlier` are the releases it may need."""
        needs: dict[str, bool] = {}
        for name, found in release.found.items():
            for text in found.keys.get("needs") or ():
                other = self._needed(str(text), release.id)
                if other is None or other not in earlier:
                    self._row(release, "needs", f"needs {text}", "no release of this layer or an earlier one is that")
                    continue
                off = release.is_on(name) and not releases[other].is_on(name)
                needs[str(other)] = needs.get(str(other), False) or off
        elsewhere = {
            need: any(release.is_on(e) and not releases[ReleaseId(*need.split("/"))].is_on(e) for e in release.names)
            for need in needs
        }
        if needs:
            release.keys["needs"] = [{"release": need, "optional": True} if elsewhere[need] else need for need in needs]

    def _needed(self, text: str, own: ReleaseId) -> ReleaseId | None:
        """Return the release that `[context/][namespace/]name` refers to."""
        *before, name = text.split("/")
        namespace = before[-1] if before else own.namespace
        if ReleaseId(namespace, name) in self.known:
            return ReleaseId(namespace, name)
        same = [other for other in self.known if other.name == name]
        return same[0] if len(same) == 1 and not (before and before[-1]) else None

    def _values(self, release: Release) -> None:
        if (chart := self.charts[chart_key(release.first)]).is_packaged:
            self._options(release, chart)
            return
        left_out: dict[tuple[str, ...], None] = {}
        for name, found in release.found.items():
            values: dict[str, Any] = {}
            for entry in found.keys.get("values") or ():
                values = merged(values, entry or {})
            try:
                values = with_set(values, found.keys.get("set") or (), self.texts)
                values = with_set(values, found.keys.get("setString") or (), self.texts, typed=False)
            except ConfigError as error:
                self._row(release, "set", error.message, "write it into the overlay")
            values, references = without_references(values)
            left_out |= dict.fromkeys(references)
            release.values[name] = values
            self._secrets(release, name)
        unclear = dict.fromkeys(path for found in release.found.values() for path in found.keys.get("unclear") or ())
        if unclear:
            note = "text is written; helm reads it as true or false if the template prints it without quotes"
            self._row(release, "values", f"yes or no in a template: {shortened([*unclear])}", note)
        if left_out:
            where = shortened([".".join(path) for path in left_out])
            self._row(release, "values", f"secret values: {where}", SECRETS)

    def _options(self, release: Release, chart: Chart) -> None:
        """Report how values that helmfile uses as options of kustomize, and namespaces, are converted."""
        directory = f"charts/{chart.name}"
        if chart.moves_objects:
            note = f"objects with a namespace stay there: write namespace: {release.id.namespace} into {directory}"
            self._row(release, "namespace", "the release's namespace for every object", note)
        found = [entry for found in release.found.values() for entry in found.keys.get("values") or () if entry]
        keys = dict.fromkeys(str(key) for entry in found for key in entry)
        if keys:
            note = f"write it into {directory}: manifests and kustomizations take no values"
            self._row(release, "values", f"values: {shortened(list(keys))}", note)

    def _secrets(self, release: Release, environment: str) -> None:
        found: list[Secret] = list(release.found[environment].keys.get("secrets") or ())
        for secret in found:
            what, name = f"secrets in {environment}: {secret.name}", f"{release.id.name}{SUFFIX}"
            problems = list(encryption_problems(parse(secret.raw, Path(secret.name))))
            if problems:
                self._row(release, "secrets", what, f"{problems[0].message}: {SECRETS}")
            elif len(found) > 1:
                note = f"a release has one encrypted file here: put these {len(found)} together, as {name}"
                self._row(release, "secrets", what, note)
            else:
                release.encrypted[environment] = secret.raw
                note = f"copied as it is to {name}: invoke secrets shows who can decrypt it"
                self._row(release, "secrets", what, note, carried=True)

    def _hooks(self, release: Release) -> None:
        """Write the commands of hooks in the order of each environment, and where they run if not in all."""
        commands: list[tuple[tuple[str, ...], list[str]]] = []  # key and command, environments
        for name, found in release.found.items():
            own = [
                (key, *command) for hook in found.keys.get("hooks") or () for key, command in self._hook(release, hook)
            ]
            before, commands = commands, []
            matcher = SequenceMatcher(None, [words for words, _ in before], own, autojunk=False)
            for kind, start, end, new, new_end in matcher.get_opcodes():
                same = [name] if kind == "equal" else []
                commands += [(words, names + same) for words, names in before[start:end]]
                if not same:
                    commands += [(words, [name]) for words in own[new:new_end]]
        for (key, *command), names in commands:
            only = {} if len(names) == len(release.found) else {"environments": names}
            release.keys.setdefault(key, []).append({"run": command, **only})

    def _hook(self, release: Release, hook: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
        """Yield the converted commands of a hook, each with its key."""
        command = [str(word) for word in (hook.get("command"), *(hook.get("args") or ())) if word]
        name = str(hook.get("name") or shortened(command, 2, " ") or "kubectlApply")
        for event in hook.get("events") or ():
            if event not in CARRIED_EVENTS:
                self._row(release, "hooks", f"hook {name} ({event})", HOOK_EVENTS.get(event, "run it yourself"))
            elif hook.get("kubectlApply"):
                note = "make a release of the manifests: chart: manifests/<dir>"
                self._row(release, "hooks", f"hook {name} (kubectlApply)", note)
            elif any("{{" in word for word in command):
                note = "write it without {{ }}: DEVTOOLS_RELEASE is in its environment"
                self._row(release, "hooks", f"hook {name} with a template", note)
            elif command:
                key, note = CARRIED_EVENTS[event]
                self._row(release, "hooks", f"hook {name} ({event}) is `{key}:`", note, carried=True)
                yield key, command

    def _others(self, release: Release) -> None:
        for found in release.found.values():
            for key, advice in NOT_CARRIED.items():
                value = found.keys.get(key)
                if not value or (key == "cleanupOnFail" and release.keys.get("on_failure") == "rollback"):
                    continue
                shown = f"{key}: {str(value).lower()}" if isinstance(value, bool | int) else key
                if not any(row.what == f"{release.id}: {shown}" for row in release.rows):
                    self._row(release, key, shown, advice)


def chart_key(found: Found) -> tuple[str, str, str]:
    """Return a chart's lookup key: the state file, and name and version as written there."""
    chart = found.keys.get("chart") or found.keys.get("directory") or ""
    return str(found.source), str(chart), str(found.keys.get("version") or "")
