"""`invoke gitops.export`: writes the stack's environments as files for a GitOps controller."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from devtools.app.environment import App
from devtools.app.stack_cache import exported_stack, is_inside_inputs
from devtools.base.key_types import CHARTS, MESSAGES
from devtools.base.open_file import relative
from devtools.base.words import require_known
from devtools.config.settings_file.gitops import GitopsSettings
from devtools.config.tenants import check_tenants, load_tenants
from devtools.config.validate import suggestion
from devtools.config.values import merge
from devtools.errors import ConfigError, ExitCode, raise_problems
from devtools.gitops.argocd import export_argocd
from devtools.gitops.argocd.tenants import with_tenants
from devtools.gitops.component import ChartInfo, Component, Export, ExportOptions, Place
from devtools.gitops.components import components_of, disabled_notes
from devtools.gitops.flux.engine import export_flux
from devtools.gitops.flux.overlays import export_kustomize
from devtools.gitops.secrets import secret_notes, secret_problems
from devtools.gitops.tree.originals import tenant_references, with_originals
from devtools.gitops.tree.secrets import copied_secrets, inline_secrets, packaged_secrets
from devtools.gitops.tree.write import Changes, changes_of, write_changes
from devtools.model import Stack
from devtools.planning.selection import Selector, choose_releases, narrowed
from devtools.report.text import Line, Span

VERSION = 1  # of the JSON document
ENGINES: Mapping[str, Callable[[str, Mapping[str, Sequence[Component]], GitopsSettings, ExportOptions], Export]] = {
    "argocd": export_argocd,
    "flux": export_flux,
    "kustomize": export_kustomize,
}
LAYOUTS = ("components", "addons", "infra")
ORDERS = ("", "rolling", "waves", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """An export as typed."""

    engine: str = "argocd"
    environments: tuple[str, ...] = ()  # empty: all exported environments of the settings
    out: str = ""
    layout: str = "components"
    charts: str = ""  # empty: as the settings say
    order: str = ""  # empty: as the settings say
    revision: str = ""  # empty: as the settings say
    layers: tuple[str, ...] = ()
    selector: Selector = field(default_factory=Selector)
    check: bool = False
    dry_run: bool = False
    overwrite: bool = False
    output: str = "text"


def export(app: App, typed: Arguments) -> ExitCode:
    """Write the export, or with `check` and `dry_run` show what would change."""
    made = make_export(app, typed)
    changes = changes_for(made, typed)
    if not made.out.is_relative_to(app.settings.root):
        there = made.options.place.out
        app.say(f"warning: {made.shown} is outside the stack: its files say that they are in {there} of the repository")
    if not (typed.check or typed.dry_run):
        write_changes(changes)
    app.show(export_json(typed, made, changes), _lines, typed.output)
    return ExitCode.FAILED if typed.check and not changes.is_empty else ExitCode.OK


def changes_for(made: Made, typed: Arguments) -> Changes:
    """Return the changes of an export to its directory; ConfigError for manually edited files."""
    return changes_of(
        made.out,
        typed.engine,
        made.export.files,
        shown=made.shown,
        overwrite=typed.overwrite,
        includes=_included(made, typed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An export and its inputs."""

    export: Export
    components: Mapping[str, tuple[Component, ...]]  # by environment
    stacks: Mapping[str, Stack]
    options: ExportOptions
    out: Path
    shown: Path


def make_export(app: App, typed: Arguments) -> Made:
    """Return the requested export; raises ConfigError with every problem of the stack."""
    settings = gitops_settings(app, typed.charts)
    require_known("--engine", typed.engine, ENGINES)
    require_known("--layout", typed.layout, LAYOUTS)
    require_known("--order", typed.order, ORDERS)
    settings = _with_typed(settings, typed)
    chosen = _environments(settings, typed.environments)
    # Projects and bases depend on every environment, so a selection only limits which files are written. A tree of
    # layout infra depends only on the selected environments.
    names = chosen if typed.layout == "infra" else tuple(settings.environments)
    out, place = place_of(app, typed.out)
    if typed.layout == "addons":
        place = replace(place, charts=PurePosixPath("addons/charts"))
    stacks = {name: exported_stack(app, name) for name in names}
    raise_problems(item for stack in stacks.values() for item in secret_problems(stack, settings.secret_store))
    charts = chart_infos_of(app, stacks.values(), settings, place)
    components = {
        name: components_of(stack, settings, charts, place, namespaces=declared_namespaces(stack, charts))
        for name, stack in stacks.items()
    }
    tenants = load_tenants(app.settings.root)
    for stack in stacks.values():
        check_tenants(tenants, stack)
    if typed.engine == "argocd":
        components = with_tenants(components, tenants, app.settings.name, place)
    else:
        raise_problems(
            item for stack in stacks.values() for item in tenant_references(tenants, stack.environment, stack.root)
        )
    environments = {name: stack.environment for name, stack in stacks.items()}
    components = with_originals(components, place, app.settings.root, environments)
    _refuse_secrets(typed, stacks.values(), components, place, app.settings.root)
    options = ExportOptions(
        layout=cast("Literal['components', 'addons', 'infra']", typed.layout),
        place=place,
        charts=charts,
        tenants=tenants,
    )
    export = ENGINES[typed.engine](app.settings.name, components, settings, options)
    notes = [note for stack in stacks.values() for note in disabled_notes(stack)]
    if typed.layout == "infra" or typed.engine == "kustomize":
        notes += [note for items in components.values() for note in secret_notes(items)]
    return Made(
        export=Export(files=export.files, notes=(*export.notes, *notes)),
        components=components,
        stacks=stacks,
        options=options,
        out=out,
        shown=relative(out, app.cwd),
    )


def _refuse_secrets(
    typed: Arguments,
    stacks: Iterable[Stack],
    components: Mapping[str, Sequence[Component]],
    place: Place,
    root: Path,
) -> None:
    """Raise ConfigError with each secret that a file of the export would contain in plain text."""
    exported = {(name, item.release.id) for name, items in components.items() for item in items}
    releases = [
        release for stack in stacks for release in stack.releases() if (stack.environment.name, release.id) in exported
    ]
    problems = [*inline_secrets(releases), *packaged_secrets(releases, root)]
    if typed.layout != "components" or typed.engine == "kustomize":
        problems += copied_secrets((item for items in components.values() for item in items), place, root)
    raise_problems(problems)


def gitops_settings(app: App, charts: str = "") -> GitopsSettings:
    """Return the export settings of devtools.yaml, with `charts` replaced; ConfigError if there are none."""
    import re

    settings = app.settings.gitops
    if settings is None:
        hint = "add it: gitops: {repository: https://git.example.com/team/stack.git}"
        raise ConfigError("devtools.yaml has no 'gitops' key: controllers need the URL of this repository", hint=hint)
    if charts and not re.fullmatch(CHARTS, charts):
        raise ConfigError(f"--charts {MESSAGES[CHARTS]}, not {charts!r}", hint="invoke --help gitops.export")
    return replace(settings, charts=charts) if charts else settings


def _with_typed(settings: GitopsSettings, typed: Arguments) -> GitopsSettings:
    """Return the settings with the typed revision and order."""
    order = cast("Literal['', 'rolling', 'waves', 'none']", typed.order)
    environments = {name: replace(one, order=order or one.order) for name, one in settings.environments.items()}
    return replace(settings, revision=typed.revision or settings.revision, environments=environments)


def place_of(app: App, typed: str) -> tuple[Path, Place]:
    """Return the directory of the export, and its path in the Git repository."""
    settings = app.settings
    out = (app.cwd / typed).resolve() if typed else settings.root / "gitops"
    root = PurePosixPath(settings.gitops.path if settings.gitops else "")
    inside = out.relative_to(settings.root).as_posix() if out.is_relative_to(settings.root) else "gitops"
    if inside == ".":
        raise ConfigError("--out is the repository's root", hint="choose a directory in it, such as gitops")
    if settings.root.is_relative_to(out) or is_inside_inputs(app, out):
        message = f"--out {typed}: nothing is exported among the stack's own files, nor into a directory around them"
        raise ConfigError(message, hint="choose a separate directory, such as gitops")
    return out, Place(root=root, out=root / inside)


def chart_infos_of(
    app: App, stacks: Iterable[Stack], settings: GitopsSettings, place: Place
) -> Mapping[str, ChartInfo]:
    """Return the facts about every used chart that the export needs."""
    from devtools.gitops import component
    from devtools.gitops.tree import charts

    used = [release.chart for stack in stacks for release in stack.releases() if release.installed]
    names = " ".join(sorted({f"{chart.key} {chart.sha256}" for chart in used}))
    contents = app.cached(
        f"chart contents {app.settings.root} {names}",
        (app.settings.charts, Path(charts.__file__), Path(component.__file__)),
        lambda: charts.contents_of(used, app.real_charts),
        kind=dict[str, component.ChartContents],
    )
    return charts.chart_infos(used, app.real_charts, settings, place, app.settings.root, contents)


def declared_namespaces(stack: Stack, charts: Mapping[str, ChartInfo]) -> Collection[str]:
    """Return the namespaces that a release of the stack declares as objects."""
    found: set[str] = set()
    for release in stack.releases():
        if not release.installed:
            continue
        found |= {item.name for item in release.contract if item.kind == "Namespace"}
        if ("", "Namespace") in charts[release.chart.key].cluster_kinds:
            declared = merge(release, stack.environment, charts_default=True, root=stack.root).data.get(
                "namespaces", ()
            )
            found |= {item["name"] for item in declared if isinstance(item, dict) and "name" in item}
    return found


def _environments(settings: GitopsSettings, typed: Sequence[str]) -> tuple[str, ...]:
    require_exported(settings, *typed)
    if not settings.environments:
        raise ConfigError("no environment is exported", hint="make one: environments/dev/environment.yaml")
    return tuple(dict.fromkeys(typed)) or tuple(settings.environments)


def require_exported(settings: GitopsSettings, *names: str) -> None:
    """Raise ConfigError if an environment is not exported."""
    for name in names:
        if name not in settings.environments:
            hint = suggestion(name, settings.environments, "exported environments")
            raise ConfigError(f"environment '{name}' is not exported", hint=hint)


def _included(made: Made, typed: Arguments) -> Callable[[PurePosixPath], bool] | None:
    """Return a predicate for the files of the chosen releases and environments; None if all are chosen."""
    has_names = bool(typed.layers) or typed.selector != Selector()
    if not (typed.environments or has_names):
        return None
    names: set[tuple[str, str]] = set()
    environments = set(typed.environments) or set(made.stacks)
    for environment in environments:
        stack = made.stacks[environment]
        selectors = [narrowed(stack, layer, typed.selector) for layer in typed.layers or ("",)]
        chosen = {item.id for selector in selectors for item in choose_releases(stack, selector).enabled(stack)}
        names |= {(environment, item.name) for item in made.components[environment] if item.release.id in chosen}
    bare = typed.layout == "infra" and len(made.components) == 1  # its paths may lack the environment

    def includes(path: PurePosixPath) -> bool:
        words = {*path.parts[:-1], path.stem}
        if not has_names:
            return bool(words & environments) or not words & set(made.components)
        return any((bare or environment in words) and name in words for environment, name in names)

    return includes


def export_json(typed: Arguments, made: Made, changes: Changes) -> dict[str, Any]:
    """Return the documented `gitops-export` document."""
    return {
        "version": VERSION,
        "kind": "gitops-export",
        "engine": typed.engine,
        "out": str(made.shown),
        "changed": not (typed.check or typed.dry_run),
        "environments": {
            name: {"components": len(items), "waves": len({item.wave for item in items})}
            for name, items in made.components.items()
            if not typed.environments or name in typed.environments
        },
        "files": len(made.export.files),
        "written": [str(path) for path in changes.written],
        "removed": [str(path) for path in changes.removed],
        "left_out": [str(path) for path in changes.left_out],
        "notes": [
            {"component": note.component, "message": note.message}
            for note in made.export.notes
            if not (note.component and typed.environments) or note.component.partition("/")[0] in typed.environments
        ],
    }


def _lines(document: Mapping[str, Any], _: int) -> list[Line]:
    return [(Span(text),) for text in _texts(document)]


def _texts(document: Mapping[str, Any]) -> Iterable[str]:
    would = "" if document["changed"] else "would be "
    for word in ("written", "removed"):
        yield from (f"{would}{word}: {document['out']}/{path}" for path in document[word])
    yield from _note_lines(document["notes"])
    for name, counts in document["environments"].items():
        yield f"{name}: {counts['components']} components in {counts['waves']} waves"
    if document["left_out"]:
        yield f"{len(document['left_out'])} other files differ, too: export without a selection"
    unchanged = document["files"] - len(document["written"]) - len(document["left_out"])
    written, removed = len(document["written"]), len(document["removed"])
    yield f"{document['out']}: {written} files {would}written, {removed} {would}removed, {unchanged} unchanged"


def _note_lines(notes: Iterable[Mapping[str, str]]) -> Iterable[str]:
    """Yield notes; equal notes of several environments are combined."""
    environments: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        environment, _, release = note["component"].partition("/")
        environments.setdefault((release, note["message"]), []).append(environment)
    for (release, message), names in environments.items():
        yield f"note: {release} in {', '.join(names)}: {message}" if release else f"note: {message}"
