"""`invoke gitops.promote`: copies versions and values from one environment to the next, on a git branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.base.open_file import read_source
from devtools.base.yaml_edit import with_value
from devtools.base.yaml_positions import read
from devtools.commands.gitops.export import gitops_settings
from devtools.commands.promotion.branch import Change, find_components, make_change, shown
from devtools.commands.promotion.exported import copies_overlays, export_again, refuse_stale
from devtools.config.stack import load_stack
from devtools.config.values import merge
from devtools.errors import ConfigError, ExitCode, config_error
from devtools.gitops.promotion import PARTS, Part, edits, source_of
from devtools.model import Release


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
        raise ConfigError(
            "--to is missing: the environment to promote to", hint="invoke gitops.promote api --to staging"
        )
    if typed.only not in {"", *PARTS}:
        raise ConfigError(f"--only is {typed.only!r}", hint=f"choose one of {', '.join(PARTS)}")
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
        refuse_stale(app, source, releases, typed.only)
    is_new = False
    for release in releases:
        tags = {item.value for item in images if item.release in {release.name, str(release.id)}}
        target = _target(app, release, source, typed.target)
        was_there = target.exists()
        merged = merge(release, stack.environment, root=settings.root).data
        yield from _overlay(settings.root, _own(app, release, source), target, merged, parts, tags)
        is_new = is_new or (target.exists() and not was_there)
    if "chart" in parts or is_new or copies_overlays(app):
        yield from export_again(app, typed.target, releases)


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
        yield f"{shown(target, root)}: {edit}"
    write_whole(target, raw)


def _data(file: Path | None, root: Path) -> Mapping[str, Any]:
    """Return the content of an overlay; ConfigError if it is encrypted or cannot be read."""
    if file is None or not file.exists():
        return {}
    document = read(file, file.relative_to(root))
    if document.problems:
        raise config_error(document.problems)
    data: Mapping[str, Any] = document.data or {}
    if "sops" in data:
        hint = "its values are encrypted for one environment: promote them with sops"
        raise config_error([document.problem(("sops",), "an encrypted overlay cannot be promoted", hint)])
    return data
