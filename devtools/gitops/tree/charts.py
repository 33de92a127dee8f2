"""Describes the charts of a stack for controllers: their sources and contents, read without rendering them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from devtools.base.open_file import read_source
from devtools.charts.archive import files_of_archive
from devtools.charts.crds import objects_in_crds
from devtools.charts.lock import LockEntry
from devtools.charts.random_functions import may_be_random, random_templates
from devtools.charts.resolve import Charts
from devtools.charts.tree import files_of_tree
from devtools.config.settings_file.gitops import GitopsSettings
from devtools.errors import ConfigError
from devtools.gitops.component import ChartInfo, ChartSource, KindInfo, Place
from devtools.gitops.kinds import BUILTIN, GROUPS
from devtools.model import ChartRef

LARGEST_ANNOTATION = 262_144  # bytes: the largest object that a client-side apply can record
HOOKS_VALUE = "hooks"  # the value of a smoke chart that selects the kind of hooks for its tests
_TYPE = re.compile(
    r"^[ -]*(?:apiVersion:[ \"']*(?P<group>[a-z0-9.-]+)/(?P<version>v\w+)[\"']?[ \t]*\n[ ]*)?"
    r"kind:[ \"']*(?P<kind>[A-Z]\w+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The contents of a chart's files."""

    crds: tuple[KindInfo, ...] = ()
    crds_in_directory: bool = False
    large_crds: bool = False
    kinds: tuple[str, ...] = ()  # of all objects in its templates
    custom: tuple[KindInfo, ...] = ()  # kinds of custom resources in its templates
    random: tuple[str, ...] = ()
    post_sync: str = ""


def chart_infos(
    used: Iterable[ChartRef],
    charts: Charts,
    settings: GitopsSettings,
    place: Place,
    root: Path,
    contents: Mapping[str, Contents],
) -> Mapping[str, ChartInfo]:
    """Return the properties of each chart that an export of the repository at `root` needs, by its key.

    `contents` are those of the charts whose files are on this disk. Raises ConfigError if a chart cannot be extracted.
    """
    found: dict[str, ChartInfo] = {}
    for chart in used:
        if chart.key not in found:
            entry = charts.lock.entries[chart.pin] if chart.pin else None
            directory = charts.lock.reference(entry).replace("@", "-") if entry else _directory(chart)
            own = replace(place, charts=place.charts / directory)
            charts.make(chart)
            found[chart.key] = _info(chart, entry, contents.get(chart.key), settings, own, root)
    return _with_scopes(found, contents)


def contents_of(used: Iterable[ChartRef], charts: Charts) -> dict[str, Contents]:
    """Return the contents of each chart on this disk, by key; its CRDs come from the lock if that lists them."""
    found = {}
    for chart in {chart.key: chart for chart in used}.values():
        charts.make(chart)
        if chart.path.exists():
            entry = charts.lock.entries[chart.pin] if chart.pin else None
            found[chart.key] = _contents(chart.path, entry)
    return found


def _info(
    chart: ChartRef,
    entry: LockEntry | None,
    contents: Contents | None,
    settings: GitopsSettings,
    place: Place,
    root: Path,
) -> ChartInfo:
    locked = _locked_crds(entry) if entry else ()
    files: Mapping[PurePosixPath, bytes] = {}
    if chart.kind == "packaged":
        source = ChartSource(kind="git", repository=settings.repository, path=str(place.below_out(place.charts)))
        files = _files(chart, place)
    elif entry is None:
        path = place.root / chart.path.relative_to(root).as_posix()
        source = ChartSource(kind="git", repository=settings.repository, path=str(path))
    else:
        source = _source(entry, settings, place)
        files = _extracted(chart, entry, place) if source.kind == "git" else {}
    here = contents or Contents()
    in_directory = entry is not None and entry.contract.crds_in == "crds" and bool(locked)
    return ChartInfo(
        name=chart.key,
        source=source,
        files=files,
        crds=here.crds if contents and here.crds else locked,
        crds_in_directory=here.crds_in_directory if contents else in_directory,
        large_crds=here.large_crds,
        custom_kinds=here.custom,
        kinds=frozenset(here.kinds),
        random=here.random,
        post_sync=here.post_sync,
        is_readable=contents is not None,
    )


def _directory(chart: ChartRef) -> str:
    """Return the path of a packaged chart among extracted ones: an overlay is next to its base, not in it."""
    kind, _, rest = chart.name.partition("/")
    return f"{kind}/{rest.replace('/', '-')}" if chart.kind == "packaged" else ""


def _with_scopes(infos: Mapping[str, ChartInfo], contents: Mapping[str, Contents]) -> Mapping[str, ChartInfo]:
    """Return the charts with their cluster-scoped kinds; another chart may define the scope of a custom kind."""
    scopes = {(crd.group, crd.kind): crd.namespaced for info in infos.values() for crd in info.crds}
    found: dict[str, ChartInfo] = {}
    for name, info in infos.items():
        here = contents.get(name, Contents())
        own = [(BUILTIN[kind].group, kind) for kind in here.kinds if kind in BUILTIN and not BUILTIN[kind].namespaced]
        own += [
            (item.group, item.kind) for item in here.custom if not scopes.get((item.group, item.kind), item.namespaced)
        ]
        found[name] = replace(info, cluster_kinds=tuple(sorted(set(own))))
    return found


def _locked_crds(entry: LockEntry) -> tuple[KindInfo, ...]:
    return tuple(
        KindInfo(group=crd.group, version=version.name, kind=crd.kind, namespaced=crd.scope == "Namespaced")
        for crd in entry.contract.crds
        for version in crd.versions
        if version.storage
    )


def _source(entry: LockEntry, settings: GitopsSettings, place: Place) -> ChartSource:
    if settings.charts == "extracted" or (settings.charts == "upstream" and entry.git):
        path = place.below_out(place.charts)
        return ChartSource(kind="git", repository=settings.repository, path=str(path))
    if settings.charts.startswith("oci://"):
        return ChartSource(kind="oci", repository=settings.charts.rstrip("/"), chart=entry.name, version=entry.version)
    if entry.oci:
        repository, _, chart = entry.oci.rpartition("/")
        return ChartSource(kind="oci", repository=repository, chart=chart, version=entry.version)
    return ChartSource(kind="helm", repository=entry.repository, chart=entry.name, version=entry.version)


def _extracted(chart: ChartRef, entry: LockEntry, place: Place) -> Mapping[PurePosixPath, bytes]:
    """Return the files of a vendored chart, below --out; raise ConfigError if it differs from the lock."""
    from devtools.charts.archive import verify_archive

    if not chart.path.exists():
        hint = f"run: invoke charts.vendor --name {entry.chart}"
        raise ConfigError(f"chart '{entry.chart}' is not vendored, so it cannot be extracted", hint=hint)
    verify_archive(chart.path, entry)
    return _files(chart, place)


def _files(chart: ChartRef, place: Place) -> Mapping[PurePosixPath, bytes]:
    """Return the files of a chart's archive, below --out."""
    files = files_of_archive(read_source(chart.path), bool, f"chart {chart.name}")
    return {place.charts / name: content for name, content in files.items()}


def _contents(path: Path, entry: LockEntry | None) -> Contents:
    """Return the contents of a chart (directory or archive), with its default values."""
    texts = _texts(path)
    templates = [text for name, text in texts.items() if "templates" in name.split("/")]
    types = [match.groupdict("") for text in templates for match in _TYPE.finditer(text)]
    custom = {_custom_kind(item) for item in types if "." in item["group"] and item["group"] not in GROUPS}
    crds = [text for text in texts.values() if "kind: CustomResourceDefinition" in text]
    in_directory = any("crds" in name.split("/") for name in texts)
    kinds = (_locked_crds(entry) if entry else ()) or (tuple(_parsed_crds(path)) if in_directory else ())
    return Contents(
        crds=kinds,
        crds_in_directory=in_directory and bool(kinds),
        large_crds=any(len(document) > LARGEST_ANNOTATION for text in crds for document in text.split("\n---")),
        kinds=tuple(sorted({item["kind"] for item in types})),
        custom=tuple(sorted(custom, key=lambda item: (item.group, item.kind, item.version))),
        random=_random_calls(path, texts),
        post_sync=HOOKS_VALUE if re.search(rf"^{HOOKS_VALUE}:", texts.get("values.yaml", ""), re.MULTILINE) else "",
    )


def _parsed_crds(path: Path) -> Iterable[KindInfo]:
    for item in objects_in_crds(path, {}):
        if item.is_crd:
            yield from _kinds_of(item.data)


def _custom_kind(item: Mapping[str, str]) -> KindInfo:
    """Return the kind of a custom resource; unless a CRD is known, its name says whether it is cluster-scoped."""
    kind = item["kind"]
    return KindInfo(group=item["group"], version=item["version"], kind=kind, namespaced=not kind.startswith("Cluster"))


def _kinds_of(crd: Mapping[str, object]) -> Iterable[KindInfo]:
    """Yield the kind of a CRD, in the version that objects are stored in."""
    spec = crd["spec"]
    if isinstance(spec, dict):
        for version in spec.get("versions", ()):
            if version.get("storage"):
                yield KindInfo(
                    group=spec.get("group", ""),
                    version=version["name"],
                    kind=spec.get("names", {}).get("kind", ""),
                    namespaced=spec.get("scope") != "Cluster",
                )


def _random_calls(path: Path, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Return the random functions that the templates call; read the chart again only if one may be used."""
    if not any(
        name.endswith(".tgz") or ("/crds/" not in f"/{name}" and may_be_random(text)) for name, text in texts.items()
    ):
        return ()
    return tuple(sorted({call for item in random_templates(path, {}) for call in item.calls}))


def _texts(path: Path) -> Mapping[str, str]:
    """Return the text of values.yaml, of every template and of all files in crds/, at any depth of subcharts."""

    def is_read(name: str) -> bool:
        parts = name.split("/")[:-1]
        return (
            name == "values.yaml"
            or name.endswith(".tgz")
            or (("templates" in parts or "crds" in parts) and name.endswith((".yaml", ".yml", ".tpl")))
        )

    if path.is_dir():
        files = {name: read_source(file) for name, file in files_of_tree(path).items() if is_read(name)}
    else:
        files = files_of_archive(read_source(path), is_read, f"chart {path.name}")
    return {name: content.decode("utf-8", "replace") for name, content in files.items()}
