"""The exported files of a promotion: reads the source's chart versions, and exports the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from devtools.app.environment import App
from devtools.base.machine_yaml import read_yaml
from devtools.base.open_file import read_source
from devtools.commands.gitops.export import ENGINES, Arguments, Made, changes_for, make_export, place_of
from devtools.errors import ConfigError
from devtools.gitops.tree.write import MANIFEST, Changes, write_changes
from devtools.model import Release
from devtools.planning.selection import Selector


def refuse_stale(app: App, source: str, releases: Sequence[Release], only: str) -> None:
    """Raise ConfigError if the source's exported files are out of date: its controller has another chart."""
    found = list(_changes(app, source, releases))
    if not found and only == "chart":
        raise ConfigError("nothing is exported yet, so no chart can be promoted", hint="invoke gitops.export")
    for made, changes in found:
        if changes.written:
            message = f"{made.shown}/{changes.written[0]} is not as exported: {source} itself does not have it yet"
            raise ConfigError(message, hint=f"invoke gitops.export --env {source}, and commit it")


def copies_overlays(app: App) -> bool:
    """Return whether the exported files contain copies of overlays, which only an export updates."""
    out, _ = place_of(app, "")
    return app.settings.references or (out / "addons").is_dir() or (out / "kustomize").is_dir()


def export_again(app: App, target: str, releases: Sequence[Release]) -> Iterator[str]:
    """Export the target's components; yield a line for each file."""
    for made, changes in _changes(app, target, releases):
        for path in changes.written:
            before, after = (_version(content) for content in (_there(changes, path), changes.files[path]))
            note = f": chart {before} → {after}" if before and after and before != after else ""
            yield f"{made.shown}/{path}{note}"
        write_changes(changes)


def _there(changes: Changes, path: object) -> bytes:
    file = changes.out / str(path)
    return read_source(file) if file.exists() else b""


def _version(content: bytes) -> str:
    """Return the chart version of an exported component."""
    data = read_yaml(content) if content else None
    chart = data.get("chart") if isinstance(data, dict) else None
    return str(chart.get("version") or "") if isinstance(chart, dict) else ""


def _changes(app: App, environment: str, releases: Sequence[Release]) -> Iterator[tuple[Made, Changes]]:
    """Yield, for each engine with exported files, the changes of an export of these components."""
    out, _ = place_of(app, "")
    manifest = out / MANIFEST
    known = read_yaml(read_source(manifest)) if manifest.exists() else None
    names = tuple(str(release.id) for release in releases)
    for engine in ENGINES:
        if not (isinstance(known, dict) and engine in known):
            continue
        layout = "addons" if (out / "addons").is_dir() and engine == "argocd" else "components"
        typed = Arguments(engine=engine, environments=(environment,), layout=layout, selector=Selector(releases=names))
        made = make_export(replace(app), typed)
        yield made, changes_for(made, typed)
