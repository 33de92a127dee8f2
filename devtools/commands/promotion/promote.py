"""`invoke gitops.promote`: copies versions and values from one environment to the next, on a git branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.base.machine_yaml import read_yaml
from devtools.base.open_file import read_source
from devtools.base.words import require_known
from devtools.base.yaml_edit import with_value
from devtools.base.yaml_positions import read
from devtools.commands.gitops.export import (
    ENGINES,
    Made,
    changes_for,
    gitops_settings,
    make_export,
    place_of,
)
from devtools.commands.gitops.export import Arguments as Export
from devtools.commands.promotion.branch import Change, find_components, make_change
from devtools.config.stack import load_stack
from devtools.config.values import merge
from devtools.errors import ConfigError, ExitCode, config_error, raise_problems
from devtools.gitops.promotion import PARTS, Part, edits, source_of
from devtools.gitops.tree.write import MANIFEST, Changes, write_changes
from devtools.model import Release
from devtools.planning.selection import Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    components: str = ""
    source: str = ""  # empty: the one that devtools.yaml names
    target: str = ""
    only: str = ""
    branch: str = ""
    dry_run: bool = False
    output: str = "text"


def promote(app: App, typed: Arguments) -> ExitCode:
    """Edit the overlays and exported files of the target, show the effect, and commit on a branch."""
    settings = gitops_settings(app)
    if not typed.target:
        hint = "invoke gitops.promote api --to staging"
        raise ConfigError("--to is missing: the environment to promote to", hint=hint)
    require_known("--only", typed.only, ("", *PARTS))
    source = source_of(settings, typed.source, typed.target)
    parts = tuple(part for part in PARTS if typed.only in {"", part})
    releases = find_components(load_stack(app.settings, source, app.real_charts), typed.components)
    find_components(load_stack(app.settings, typed.target, app.real_charts), typed.components)
    names = ", ".join(release.name for release in releases)
    change = Change(
        kind="gitops-promotion",
        environment=typed.target,
        before=f"{typed.target} at HEAD",
        after=f"{typed.target} with {names} of {source}",
        releases=releases,
        subject=f"Promote {names} from {source} to {typed.target}",
        trailers={"Promoted-from": source, "Promoted-to": typed.target},
        branch=typed.branch or f"promote/{typed.target}/{'-'.join(release.name for release in releases)}",
        dry_run=typed.dry_run,
        output=typed.output,
    )
    return make_change(app, change, lambda there: list(_edit(there, typed, source, parts)))


def _edit(app: App, typed: Arguments, source: str, parts: Sequence[Part]) -> Iterator[str]:
    """Edit the files of a work tree; yield a line for each change."""
    settings = app.settings
    images = settings.gitops.images if settings.gitops else ()
    stack = load_stack(settings, source, app.real_charts)
    releases = find_components(stack, typed.components)
    if "chart" in parts:
        _refuse_stale(app, source, releases, typed.only)
    is_new = False
    for release in releases:
        tags = {item.value for item in images if item.release in {release.name, str(release.id)}}
        target = _target(app, release, source, typed.target)
        was_there = target.exists()
        merged = merge(release, stack.environment, root=settings.root).data
        yield from _overlay(settings.root, _own(app, release, source), target, merged, parts, tags)
        is_new = is_new or (target.exists() and not was_there)
    if "chart" in parts or is_new or _copies_overlays(app):
        yield from _export_again(app, typed.target, releases)


def _target(app: App, release: Release, source: str, target: str) -> Path:
    """Return the target's overlay that corresponds to the source's."""
    base = app.settings.environments
    own = _own(app, release, source)
    path = own.relative_to(base / source) if own else Path(release.layer, f"{release.name}.yaml")
    return base / target / path


def _own(app: App, release: Release, environment: str) -> Path | None:
    """Return a release's overlay of one environment, not the shared one."""
    below = app.settings.environments / environment
    return next((file for file in release.values_files if file.is_relative_to(below)), None)


def _overlay(
    root: Path, source: Path | None, target: Path, merged: Mapping[str, Any], parts: Sequence[Part], tags: set[str]
) -> Iterator[str]:
    """Edit the target's overlay of one release; `merged` are all values of the source."""
    ours, there = (_data(file, root) for file in (source, target))
    made = edits(ours, there, merged, parts, tags)
    if not made:
        return
    raw = read_source(target) if target.exists() else b""
    for edit in made:
        changed = with_value(raw, target, edit.path, edit.value)
        if changed is None:
            hint = f"set {'.'.join(map(str, edit.path))} by hand"
            raise config_error(
                [read(target, target.relative_to(root)).problem(edit.path, "cannot be edited here", hint)]
            )
        raw = changed
        yield f"{target.relative_to(root).as_posix()}: {edit}"
    write_whole(target, raw)


def _data(file: Path | None, root: Path) -> Mapping[str, Any]:
    """Return the content of an overlay; ConfigError if it is encrypted or cannot be read."""
    if file is None or not file.exists():
        return {}
    document = read(file, file.relative_to(root))
    raise_problems(document.problems)
    data: Mapping[str, Any] = document.data or {}
    if "sops" in data:
        hint = "its values are encrypted for one environment: promote them with sops"
        raise config_error([document.problem(("sops",), "an encrypted overlay cannot be promoted", hint)])
    return data


def _refuse_stale(app: App, source: str, releases: Sequence[Release], only: str) -> None:
    """Raise ConfigError if the source's exported files are out of date: its controller has another chart."""
    found = list(_changes(app, source, releases))
    if not found and only == "chart":
        raise ConfigError("nothing is exported yet, so no chart can be promoted", hint="invoke gitops.export")
    for made, changes in found:
        if changes.written:
            message = f"{made.shown}/{changes.written[0]} is not as exported: {source} itself does not have it yet"
            raise ConfigError(message, hint=f"invoke gitops.export --env {source}, and commit it")


def _copies_overlays(app: App) -> bool:
    """Return whether the exported files contain copies of overlays, which only an export updates."""
    out, _ = place_of(app, "")
    return app.settings.references or (out / "addons").is_dir() or (out / "kustomize").is_dir()


def _export_again(app: App, target: str, releases: Sequence[Release]) -> Iterator[str]:
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
        typed = Export(engine=engine, environments=(environment,), layout=layout, selector=Selector(releases=names))
        made = make_export(replace(app), typed)
        yield made, changes_for(made, typed)
