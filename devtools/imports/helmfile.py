"""Converts the releases that helmfile declares in all environments into layers, overlays, lock entries and a report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.errors import ConfigError
from devtools.imports import layer_files
from devtools.imports.layer_files import Files
from devtools.imports.model import Chart, Found, Imported, Row
from devtools.imports.positions import Places
from devtools.imports.releases import Converter, Release, chart_key
from devtools.imports.states import State
from devtools.model import ReleaseId

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_ENTRY = frozenset({"helmfile.yaml", "helmfile.yaml.gotmpl", "helmfile.gotmpl"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Helmfile:
    """Everything that was read: states and releases by environment, and the charts they became."""

    file: Path
    states: Mapping[str, Sequence[State]]
    found: Mapping[str, Sequence[Found]]
    charts: Mapping[tuple[str, str, str], Chart]
    places: Places
    texts: Mapping[str, str] = field(default_factory=dict)  # contents of files that `set:` names
    left_out: Mapping[tuple[str, str, str], str] = field(default_factory=dict)  # charts that cannot be used, and why


def convert(helmfile: Helmfile, layer_names: Sequence[str]) -> Imported:
    """Return the files and the report; `layer_names` are the layer files that exist.

    Raises ConfigError if helmfile declares no release.
    """
    names = tuple(helmfile.found)
    releases, rows = _releases(helmfile, names)
    if not releases:
        why = "; ".join(row.note for row in rows[:1]) or "try another --env"
        message = f"{helmfile.places.shown(helmfile.file)} declares no release that can be carried over"
        raise ConfigError(message, hint=why)
    converter = Converter(helmfile.charts, helmfile.places, helmfile.texts, frozenset(releases))
    for release in releases.values():
        converter.convert(release)
    groups = _groups(releases.values(), helmfile.file)
    earlier: set[ReleaseId] = set()
    for group in groups.values():
        earlier |= {release.id for release in group}
        for release in group:
            converter.needs(release, releases, frozenset(earlier))
    numbered = layer_files.numbers(list(groups), layer_names)
    files = _files(groups, numbered, names, helmfile)
    for name, group in groups.items():
        rows += _carried(group, numbered[name], helmfile)
    rows += [row for release in releases.values() for row in release.rows]
    rows += _state_rows(helmfile)
    entries = {chart.name: chart.entry for chart in helmfile.charts.values() if chart.entry}
    return Imported(files=files, rows=tuple(dict.fromkeys(rows)), lock=tuple(entries.values()))


def _releases(helmfile: Helmfile, names: Sequence[str]) -> tuple[dict[ReleaseId, Release], list[Row]]:
    """Return the releases of all environments in order, and a note about each one that is left out."""
    found: dict[ReleaseId, dict[str, Found]] = {}
    rows: list[Row] = []
    for name, items in helmfile.found.items():
        for item in items:
            where = helmfile.places.of(item.source, item.id.name)
            if why := helmfile.left_out.get(chart_key(item)) or _unusable(item.id):
                rows.append(Row(carried=False, what=f"{item.id}: the release", where=where, note=why))
            elif name in found.setdefault(item.id, {}):
                note = "the first one counts: give one of them another name"
                rows.append(Row(carried=False, what=f"{item.id}: declared again", where=where, note=note))
            else:
                found[item.id][name] = item
    releases = {key: Release(id=key, found=by_name, names=names) for key, by_name in found.items() if by_name}
    return releases, rows


def _unusable(release: ReleaseId) -> str:
    """Return why a layer file cannot have a release of this name; Helm allows dots."""
    for what, text, most in (("name", release.name, 53), ("namespace", release.namespace, 63)):
        if len(text) > most or not _NAME.fullmatch(text):
            return f"its {what} must have at most {most} lower-case letters, digits and '-': install it under another"
    return ""


def _groups(releases: Any, file: Path) -> dict[str, list[Release]]:
    """Return the releases of each layer: one layer for each state file, in the order helmfile processes them.

    Inside a layer a release comes after those it needs.
    """
    groups: dict[tuple[Path, int], list[Release]] = {}
    for release in releases:
        number = 0
        while any(_share_overlays(release, other) for other in groups.get((release.first.source, number), ())):
            number += 1
        groups.setdefault((release.first.source, number), []).append(release)
    named: dict[str, list[Release]] = {}
    for (source, _), group in groups.items():
        base = name = _layer_name(source, file)
        number = 2
        while name in named:
            name, number = f"{base}-{number}", number + 1
        named[name] = _by_depth(group)
    return named


def _share_overlays(one: Release, other: Release) -> bool:
    """Return whether two releases of a layer would have the same overlay file."""
    return one.id.name == other.id.name and bool(one.found.keys() & other.found.keys())


def _by_depth(group: list[Release]) -> list[Release]:
    names = {release.id.name: release for release in group}
    depths: dict[ReleaseId, int] = {}

    def depth(release: Release, above: frozenset[ReleaseId]) -> int:
        if release.id not in depths:
            texts = [str(text) for found in release.found.values() for text in found.keys.get("needs") or ()]
            others = [names[text.rpartition("/")[2]] for text in texts if text.rpartition("/")[2] in names]
            below = [depth(other, above | {release.id}) for other in others if other.id not in above | {release.id}]
            depths[release.id] = 1 + max(below, default=0)
        return depths[release.id]

    return sorted(group, key=lambda release: depth(release, frozenset()))


def _layer_name(source: Path, file: Path) -> str:
    """Return a layer's name: `infra` for infra/helmfile.yaml, `db` for helmfile.d/01-db.yaml, otherwise `main`."""
    base = file if file.is_dir() else file.parent
    parts = source.relative_to(base).parts if source.is_relative_to(base) else source.parts[-2:]
    *folders, last = parts
    words = [folder for folder in folders if folder not in {"helmfile.d", "helmfiles"}]
    if last not in _ENTRY:
        words.append(last.removesuffix(".gotmpl").removesuffix(".yaml").removesuffix(".yml").lstrip("0123456789-_"))
    return layer_files.slug("-".join(words))[:60].strip("-")


def _files(
    groups: Mapping[str, Sequence[Release]], numbered: Mapping[str, str], names: Sequence[str], helmfile: Helmfile
) -> Files:
    files: Files = {}
    switches: dict[str, dict[str, bool]] = {name: {} for name in names}
    for name, group in groups.items():
        layer, source = numbered[name], helmfile.places.shown(group[0].first.source)
        text = layer_files.layer_text(name, (release.keys for release in group), f"Imported from {source}.")
        files[PurePosixPath("layers", f"{layer}.yaml")] = text
        for release in group:
            alone = [other.id.name for other in group].count(release.id.name) == 1
            files |= layer_files.overlay_files(layer, release.id.name, release.values, alone=alone)
            shared_by = tuple(release.found) if alone else ()
            files |= layer_files.encrypted_files(layer, release.id.name, release.encrypted, shared_by)
            for environment, found in release.switches.items():
                switches[environment] |= found
    files |= layer_files.environment_files(switches)
    for chart in helmfile.charts.values():
        files |= chart.files
    return files


def _carried(group: Sequence[Release], layer: str, helmfile: Helmfile) -> Iterator[Row]:
    for release in group:
        chart = helmfile.charts[chart_key(release.first)]
        where = helmfile.places.of(release.first.source, release.id.name)
        note = f"layers/{layer}.yaml, chart {chart}"
        yield Row(carried=True, what=f"{release.id}: the release", where=where, note=note)


def _state_rows(helmfile: Helmfile) -> Iterator[Row]:
    """Yield notes about whole state files, and about functions in templates."""
    places = helmfile.places
    for states in helmfile.states.values():
        for state in states:
            if state.data.get("hooks"):
                note = "make it before: or after: of devtools.yaml, which run around invoke up and invoke layer"
                yield Row(
                    carried=False, what="hooks of all releases", where=places.key(state.source, "hooks"), note=note
                )
            if state.data.get("kubeContext"):
                note = "set cluster.provider: context and allowed_contexts in devtools.yaml"
                where = places.key(state.source, "kubeContext")
                yield Row(carried=False, what="kubeContext", where=where, note=note)
            for name, repository in state.repositories.items():
                if any(
                    repository.get(key)
                    for key in ("username", "password", "caFile", "certFile", "keyFile", "passCredentials")
                ):
                    note = "invoke charts.vendor --from takes a URL with credentials, or a directory of archives"
                    where = places.of(state.source, name)
                    yield Row(carried=False, what=f"credentials of repository {name}", where=where, note=note)
            for release in state.data.get("releases") or ():
                if not release.get("namespace") and not state.data.get("namespace"):
                    where = places.of(state.source, str(release["name"]))
                    note = "helmfile takes the namespace of the kube context: set it with --namespace"
                    yield Row(carried=True, what=f"{release['name']}: no namespace", where=where, note=note)
    for where, function in places.impure_functions():
        note = "it ran now, and its result is written as it was: values do not follow it any more"
        yield Row(carried=True, what=f"template function {function}", where=where, note=note)
