"""Describes the charts of a stack for controllers: their sources and contents, read without rendering them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from devtools.base.open_file import read_source, relative
from devtools.charts.archive import files_of_archive
from devtools.charts.contract import ChartContract
from devtools.charts.crds import objects_in_crds
from devtools.charts.lock import LockEntry
from devtools.charts.random_functions import may_be_random, random_templates
from devtools.charts.resolve import Charts
from devtools.charts.tree import files_of_tree
from devtools.config.settings_file.gitops import GitopsSettings
from devtools.errors import ConfigError
from devtools.gitops.component import ChartContents, ChartInfo, ChartSource, KindInfo, Place
from devtools.gitops.kinds import BUILTIN, GROUPS
from devtools.model import ChartRef

HOOKS_VALUE = "hooks"  # the value of a smoke chart that selects the kind of hooks for its tests
_TYPE = re.compile(
    r"^[ -]*(?:apiVersion:[ \"']*(?P<group>[a-z0-9.-]+)/(?P<version>v\w+)[\"']?[ \t]*\n[ ]*)?"
    r"kind:[ \"']*(?P<kind>[A-Z]\w+)",
    re.MULTILINE,
)


def chart_infos(
    used: Iterable[ChartRef],
    charts: Charts,
    settings: GitopsSettings,
    place: Place,
    root: Path,
    contents: Mapping[str, ChartContents],
) -> Mapping[str, ChartInfo]:
    """Return the properties of each chart that an export of the repository at `root` needs, by its key.

    `contents` are those of the charts whose files are on this disk. Raises ConfigError if a chart cannot be extracted.
    """
    distinct = {chart.key: chart for chart in used}
    known = {key: contents.get(key) or _locked(_entry(chart, charts)) for key, chart in distinct.items()}
    scopes = {(crd.group, crd.kind): crd.namespaced for here in known.values() for crd in here.crds}
    found: dict[str, ChartInfo] = {}
    for key, chart in distinct.items():
        charts.make(chart)
        here, entry = known[key], _entry(chart, charts)
        path = place.out / place.charts / _directory(chart, charts, entry)  # of an extracted chart
        source = _source(chart, entry, settings, place.root / relative(chart.path, root).as_posix(), path)
        builtin = [BUILTIN[kind] for kind in here.kinds if kind in BUILTIN]
        custom = [
            replace(item, namespaced=scopes.get((item.group, item.kind), item.namespaced)) for item in here.custom_kinds
        ]
        found[key] = ChartInfo(
            **vars(here),
            name=key,
            source=source,
            files=_files(chart, entry, path.relative_to(place.out)) if source.path == str(path) else {},
            cluster_kinds=tuple(
                sorted({(item.group, item.kind) for item in (*builtin, *custom) if not item.namespaced})
            ),
            is_readable=key in contents,
        )
    return found


def contents_of(used: Iterable[ChartRef], charts: Charts) -> dict[str, ChartContents]:
    """Return the contents of each chart on this disk, by key; its CRDs come from the lock if that lists them."""
    found = {}
    for chart in {chart.key: chart for chart in used}.values():
        charts.make(chart)
        if chart.path.exists():
            found[chart.key] = _contents(chart.path, _locked(_entry(chart, charts)).crds)
    return found


def _entry(chart: ChartRef, charts: Charts) -> LockEntry | None:
    return charts.lock.entries[chart.pin] if chart.pin else None


def _locked(entry: LockEntry | None) -> ChartContents:
    """Return the facts about a chart's contents that the lock has."""
    contract = entry.contract if entry else ChartContract()
    crds = tuple(
        KindInfo(group=crd.group, version=version.name, kind=crd.kind, namespaced=crd.scope == "Namespaced")
        for crd in contract.crds
        for version in crd.versions
        if version.storage
    )
    return ChartContents(crds=crds, crds_in_directory=bool(crds) and contract.crds_in == "crds")


def _directory(chart: ChartRef, charts: Charts, entry: LockEntry | None) -> str:
    """Return a chart's directory among extracted ones: a packaged overlay is next to its base, not in it."""
    if entry:
        return charts.lock.reference(entry).replace("@", "-")
    kind, _, rest = chart.name.partition("/")
    return f"{kind}/{rest.replace('/', '-')}"


def _source(
    chart: ChartRef, entry: LockEntry | None, settings: GitopsSettings, own: PurePosixPath, extracted: PurePosixPath
) -> ChartSource:
    """Return the source of a chart: one of the stack's own charts is at `own`."""
    if entry is None:
        path = extracted if chart.kind == "packaged" else own
        return ChartSource(kind="git", repository=settings.repository, path=str(path))
    if settings.charts == "extracted" or (settings.charts == "upstream" and entry.git):
        return ChartSource(kind="git", repository=settings.repository, path=str(extracted))
    if settings.charts.startswith("oci://"):
        return ChartSource(kind="oci", repository=settings.charts.rstrip("/"), chart=entry.name, version=entry.version)
    if entry.oci:
        repository, _, name = entry.oci.rpartition("/")
        return ChartSource(kind="oci", repository=repository, chart=name, version=entry.version)
    return ChartSource(kind="helm", repository=entry.repository, chart=entry.name, version=entry.version)


def _files(chart: ChartRef, entry: LockEntry | None, directory: PurePosixPath) -> Mapping[PurePosixPath, bytes]:
    """Return the files of a chart's archive, in a directory; raise ConfigError if it differs from the lock."""
    from devtools.charts.archive import verify_archive

    if entry and not chart.path.exists():
        hint = f"run: invoke charts.vendor --name {entry.chart}"
        raise ConfigError(f"chart '{entry.chart}' is not vendored, so it cannot be extracted", hint=hint)
    if entry:
        verify_archive(chart.path, entry)
    files = files_of_archive(read_source(chart.path), bool, f"chart {chart.name}")
    return {directory / name: content for name, content in files.items()}


def _contents(path: Path, locked: tuple[KindInfo, ...]) -> ChartContents:
    """Return the contents of a chart (directory or archive), with its default values."""
    texts = _texts(path)
    templates = [text for name, text in texts.items() if "templates" in name.split("/")]
    types = [match.groupdict("") for text in templates for match in _TYPE.finditer(text)]
    # Unless a CRD is known, a custom kind's name says whether it is cluster-scoped.
    custom = {
        KindInfo(**item, namespaced=not item["kind"].startswith("Cluster"))
        for item in types
        if "." in item["group"] and item["group"] not in GROUPS
    }
    in_directory = any("crds" in name.split("/") for name in texts)
    kinds = locked or (tuple(_kinds_in_crds(path)) if in_directory else ())
    return ChartContents(
        crds=kinds,
        crds_in_directory=in_directory and bool(kinds),
        kinds=tuple(sorted({item["kind"] for item in types})),
        custom_kinds=tuple(sorted(custom, key=lambda item: (item.group, item.kind, item.version))),
        random=_random_calls(path, texts),
        post_sync=HOOKS_VALUE if re.search(rf"^{HOOKS_VALUE}:", texts.get("values.yaml", ""), re.MULTILINE) else "",
    )


def _kinds_in_crds(path: Path) -> Iterable[KindInfo]:
    """Yield the kind of each CRD in `crds/`, in the version that objects are stored in."""
    for item in objects_in_crds(path, {}):
        spec = item.data["spec"] if item.is_crd else {}
        for version in spec.get("versions", ()) if isinstance(spec, dict) else ():
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
