"""Compares the archives of two versions of a chart, by themselves and in every environment that uses it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.open_file import read_source, relative, sha256_of
from devtools.base.yaml_positions import Document, read
from devtools.charts.contract import ChartContract
from devtools.charts.crds import objects_in_crds
from devtools.charts.lock import LockEntry
from devtools.commands.gitops.sides import Side, compare_sides, difference_json, side_of, with_chart
from devtools.config.environments import environment_names
from devtools.config.tenants import load_tenants
from devtools.errors import Location
from devtools.helm.commands import annotations_of
from devtools.helm.record import KEEP
from devtools.images.rendered import images_of
from devtools.model import ChartRef, Release, Stack
from devtools.rendering.renderer import Capabilities, Renderer, RenderingFailed
from devtools.rendering.steps import StepRendering
from devtools.toolchain.versions import tool
from devtools.upgrades.contract import SHORT, containing, contract_keys, derive_contract, is_same
from devtools.upgrades.crds import compare_crds
from devtools.upgrades.document import changes_json, crds_json, values_json
from devtools.upgrades.values import Setting, compare_values, leaves
from devtools.upgrades.versions import compare_dependencies, compare_images, compare_metadata, read_version

Objects = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of the chart: its entry, its archive, and its renderings."""

    entry: LockEntry
    archive: Path
    crds: Objects = ()
    short: Objects | None = None  # as release SHORT with default values; None: cannot be rendered
    long: Objects | None = None  # as a release whose name contains the chart's

    @property
    def chart(self) -> ChartRef:
        """The chart reference of this version's releases."""
        one = self.entry
        return ChartRef(name=one.chart, path=self.archive, kind="vendored", version=one.version, pin=one.pin)


@dataclass(kw_only=True)
class Comparison:
    """The result: parts of the document, and the contract to write, if it changes."""

    document: dict[str, Any]
    contract: Mapping[str, Any] | None = None
    broken: tuple[str, ...] = ()  # of releases that cannot be rendered with the new version
    notices: list[str] = field(default_factory=list)


def compare(app: App, old: Version, new: Version) -> Comparison:
    """Compare two versions; raises ConfigError for a stack or a chart that cannot be read."""
    pin = old.entry.pin
    files: dict[Path, Any] = {}
    sides = [side_of(app, name) for name in environment_names(app.settings)]
    settings = [one for side in sides for one in _settings_of(side.plan.stack, pin, files)]
    uses = [side.values[step.id] for side in sides for step in side.steps.values() if step.release.chart.pin == pin]
    before, after = (read_version(read_source(one.archive), f"chart {one.entry.pin}", uses) for one in (old, new))
    with app.rendering() as rendering:
        old, new = (_rendered(rendering, one) for one in (old, new))
    contract, note = _contract(old, new)
    if old.short is None or new.short is None:
        old, new = replace(old, short=None), replace(new, short=None)
    documents, renderings = _in_environments(app, sides, old, new)
    crds = [_crds(one, made) for one, made in zip((old, new), renderings, strict=True)]
    return Comparison(
        document={
            "metadata": changes_json(compare_metadata(before, after)),
            "dependencies": changes_json(compare_dependencies(before, after)),
            "values": values_json(compare_values(before.values, after.values, settings), app.redactor.hide),
            "crds": crds_json(compare_crds(crds[0], crds[1], _staying(old, crds[0]))),
            "images": changes_json(
                compare_images(*(_images(one, made) for one, made in zip((old, new), renderings, strict=True)))
            ),
            "environments": documents,
        },
        contract=contract,
        broken=tuple(
            f"{one['release']} in {document['environment']}"
            for document in documents
            for one in document["releases"]
            if one["problem"]
        ),
        notices=[note] if note else [],
    )


def _crds(version: Version, renderings: Iterable[StepRendering]) -> list[Mapping[str, Any]]:
    used = [item for one in renderings for item in (*(crd.data for crd in one.crds), *_objects(one))]
    return [*version.crds, *(version.short or ()), *used]


def _staying(version: Version, objects: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of CRDs that outlive their release: those of `crds/`, and those with a keep annotation."""
    lasting = [item for item in objects if annotations_of(item).get(KEEP) == "keep"]
    return {str(item["metadata"]["name"]) for item in (*version.crds, *lasting)}


def _images(version: Version, renderings: Sequence[StepRendering]) -> tuple[str, ...]:
    """Return the images of a version's releases; without releases, those of its default values."""
    return images_of([item for one in renderings for item in _objects(one)] if renderings else version.short or ())


def _objects(rendering: StepRendering) -> list[Mapping[str, Any]]:
    made = rendering.rendered
    return [*made.objects, *(hook.object for hook in made.hooks)] if made else []


def _rendered(rendering: Renderer, version: Version) -> Version:
    """Render a version with its default values and CRDs enabled, under two release names."""
    entry = version.entry
    values: dict[str, Any] = {}
    for key in reversed(entry.contract.crds_switch.split(".") if entry.contract.crds_switch else ()):
        values = {key: values or True}
    short, long = rendering.each(
        lambda name: _defaults(rendering, version.chart, name, values), [SHORT, containing(entry.name)]
    )
    crds = tuple(item.data for item in objects_in_crds(version.archive, {}) if item.is_crd)
    return replace(version, crds=crds, short=short, long=long)


def _defaults(rendering: Renderer, chart: ChartRef, name: str, values: Mapping[str, Any]) -> Objects | None:
    """Return the rendering of a chart; None if it needs more values."""
    where = Location(file=chart.path)
    release = Release(name=name, namespace="default", layer="", chart=chart, where=where)
    try:
        return rendering.offline(release, values, Capabilities(kube_version=tool("kube-apiserver").version)).objects
    except RenderingFailed:
        return None


def _in_environments(
    app: App, sides: Iterable[Side], old: Version, new: Version
) -> tuple[list[dict[str, Any]], tuple[list[StepRendering], list[StepRendering]]]:
    """Return a `gitops-diff` for each environment that uses the chart, and its releases' renderings, old and new."""
    memory: dict[Any, Any] = {}
    documents: list[dict[str, Any]] = []
    renderings: tuple[list[StepRendering], list[StepRendering]] = ([], [])
    digests = [sha256_of(one.archive) for one in (old, new)]
    for side in sides:
        used = {step.id for step in side.steps.values() if step.release.chart.pin == old.entry.pin}
        if not used:
            continue
        started = time.monotonic()
        app.say(f"comparing environment {side.plan.stack.environment.name}")
        before, after = (
            with_chart(side, old.entry.pin, one.chart, digest) for one, digest in zip((old, new), digests, strict=True)
        )
        found = compare_sides(app, before, after, used, memory, crds_stay=True)
        pairs = [(found.before[name], found.after[name]) for name in used if name in found.after]
        for one, other in pairs:
            if one.rendered and other.rendered:  # a failed rendering has lost no objects
                renderings[0].append(one)
                renderings[1].append(other)
        seconds = time.monotonic() - started
        documents.append(difference_json(found, old.entry.version, new.entry.version, seconds))
    return documents, renderings


def _contract(old: Version, new: Version) -> tuple[Mapping[str, Any] | None, str]:
    """Return the contract to write, if it changes and matched the old version, and a note about it."""
    known = old.entry.contract
    if known == ChartContract():
        return None, ""
    derived = [
        derive_contract(known, one.entry.name, one.crds, one.short, one.long)
        if one.short is not None and one.long is not None
        else None
        for one in (old, new)
    ]
    before, after = derived
    if before is None or after is None:
        return None, "the contract cannot be derived from the default values: compare it with the new version by hand"
    if is_same(after, known) or is_same(before, after):
        return None, ""
    if is_same(before, known):
        return contract_keys(after), ""
    version = old.entry.version
    return None, f"the contract does not match {version}, so it is not changed: compare it with the new version by hand"


def _settings_of(stack: Stack, pin: str, files: dict[Path, Document]) -> Iterator[Setting]:
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
            if not (file in release.secret_files and path[0] == "sops"):
                where = document.at(path)
                yield Setting(path=path, where=where, release=release.id, environment=environment)
