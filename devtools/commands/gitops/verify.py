"""`invoke gitops.verify`: finds errors in a GitOps tree that controllers do not report.

The embedded cluster's API server checks schemas if it runs, else kubeconform does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.words import plural, require_known
from devtools.clusters.provider import Cluster
from devtools.config.settings import Settings, find_root
from devtools.errors import ConfigError, DevtoolsError, ExitCode
from devtools.gitops.schemas import Checked
from devtools.gitops.schemas.crds import Crds, crds_in, crds_of_charts, crds_of_directory
from devtools.gitops.tree.read import Tree
from devtools.gitops.verify import Finding, World, findings_of, notes_of, read_world, schema_findings
from devtools.process.runner import Cancel
from devtools.report.text import Line, Span, clean, shown, wrapped
from devtools.toolchain.versions import tool

VERSION = 1  # of the JSON document
_PLACES = 3  # places of one finding in the text output
UNREADABLE = "unreadable-file"
CHECKERS = ("auto", "server", "kubeconform", "none")
Check = Callable[[Sequence[Mapping[str, Any]]], "Checked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    directory: str = ""
    root: str = ""
    repository: str = ""
    crds: tuple[str, ...] = ()
    schemas: str = "auto"


def verify(app: App, typed: Arguments, output: str) -> ExitCode:
    """Show every finding; the exit code is 1 if there are any, 2 if a file cannot be read."""
    settings = settings_of(app)
    directory = app.cwd / typed.directory if typed.directory else _default(settings, app.cwd)
    root = app.cwd / typed.root if typed.root else None
    world = read_world(directory, root, typed.repository or repository_url(settings, directory))
    found, schemas = _with_schemas(app, world, typed, settings)
    document = verify_json(app, world, found, tuple(notes_of(world)), schemas)
    app.show(document, _lines, output)
    if any(item.rule == UNREADABLE for item in found):
        return ExitCode.CONFIG
    return ExitCode.FAILED if found else ExitCode.OK


def _with_schemas(
    app: App, world: World, typed: Arguments, settings: Settings | None
) -> tuple[tuple[Finding, ...], dict[str, Any]]:
    """Return every finding, including schema findings, and the program that checked schemas."""
    found = findings_of(world)
    check, why = _checker(app, typed.schemas, typed.crds, world.tree, settings)
    if check is None:
        return found, {"by": "", "why": why, "skipped": {}}
    more, checked = schema_findings(world, check)
    return tuple(sorted({*found, *more})), {"by": checked.by, "why": why, "skipped": dict(checked.skipped)}


def _checker(
    app: App, typed: str, directories: Iterable[str], tree: Tree, settings: Settings | None
) -> tuple[Check | None, str]:
    """Return the schema checker and why it is not the API server; None and a reason if there is none.

    `server` raises EnvironmentFault if no embedded cluster runs.
    """
    require_known("--schemas", typed, CHECKERS)
    if typed == "none":
        return None, "switched off"
    crds = _known_crds(app, directories, tree, settings)
    if typed == "kubeconform":
        return _by_kubeconform(app, crds), ""
    try:
        return _by_server(app, _embedded_cluster(app), crds), ""
    except DevtoolsError as error:
        if typed == "server":
            raise
        why = error.message
    if not crds:
        return None, f"{why}, and kubeconform has no CRDs: use --crds DIR"
    return _by_kubeconform(app, crds), f"{why}; rules between fields (CEL) are not checked"


def _embedded_cluster(app: App) -> Cluster:
    """Return the running embedded cluster; a real one is not used, because CRDs are created temporarily."""
    if app.provider_name != "kwok":
        hint = "DEVTOOLS_PROVIDER=kwok"
        raise ConfigError(f"the cluster is not an embedded one but of {app.provider_name}", hint=hint)
    return app.find_cluster()


def _known_crds(app: App, directories: Iterable[str], tree: Tree, settings: Settings | None) -> Crds:
    """Return the CRDs of vendored charts, of the tree and of the named directories; later ones win."""
    found: Crds = {}
    if settings is not None:
        from devtools.charts.resolve import THIRD_PARTY

        archives = [settings.charts / THIRD_PARTY / entry.archive for entry in app.charts.lock.entries.values()]
        found |= crds_of_charts(path for path in archives if path.exists())
    found |= crds_in(item.data for item in tree.of("CustomResourceDefinition"))
    groups = {item.group for item in tree.objects} - {""} | {"argoproj.io"}
    for directory in directories:
        found |= crds_of_directory(app.cwd / directory, groups)
    return found


def _by_server(app: App, cluster: Cluster, crds: Crds) -> Check:
    from devtools.gitops.schemas.server import check

    kube, cleaner = app.client(cluster), app.client(cluster, cancel=Cancel())
    return lambda objects: check(kube, objects, crds, cleaner)


def _by_kubeconform(app: App, crds: Crds) -> Check:
    from devtools.gitops.schemas.kubeconform import check

    def run(objects: Sequence[Mapping[str, Any]]) -> Checked:
        return check(app.tool("kubeconform"), app.runner, objects, crds, tool("kubeconform").version)

    return run


def _default(settings: Settings | None, cwd: Path) -> Path:
    if settings is None:
        return cwd
    exported = settings.root / "gitops"
    if not exported.is_dir():
        raise ConfigError(f"{exported} does not exist", hint="run invoke gitops.export, or name a directory")
    return exported


def settings_of(app: App) -> Settings | None:
    """Return the settings; None outside of a stack, where any tree may be verified."""
    try:
        find_root(app.cwd)
    except ConfigError:
        return None
    return app.settings


def repository_url(settings: Settings | None, directory: Path) -> str:
    """Return the URL of the repository that contains the tree, if its devtools.yaml has one."""
    if settings is None or settings.gitops is None:
        return ""
    return settings.gitops.repository if directory.resolve().is_relative_to(settings.root.resolve()) else ""


def verify_json(
    app: App, world: World, found: Iterable[Finding], notes: Iterable[str], schemas: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the documented `gitops-verify` document."""
    return {
        "version": VERSION,
        "kind": "gitops-verify",
        "directory": shown(world.tree.directory, app.cwd),
        "root": shown(world.tree.root, app.cwd),
        "files": len(world.tree.sources),
        "applications": len(world.applications),
        "findings": [{"rule": item.rule, **asdict(item), "file": shown(item.file, app.cwd)} for item in found],
        "notes": list(notes),
        "schemas": schemas,
    }


def _grouped(found: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[str]]:
    """Return the places of each finding, as `file:line:column`: one template mistake may occur in many files."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for item in found:
        place = f"{item['file']}:{item['line']}:{item['column']}"
        groups.setdefault((item["rule"], item["message"], item["hint"]), []).append(place)
    return groups


def _lines(document: Mapping[str, Any], width: int) -> list[Line]:
    lines: list[Line] = []
    for (rule, message, hint), places in _grouped(document["findings"]).items():
        what = (Span(clean(message)), Span(f" [{rule}]", "dim"))
        lines += [(Span(f"{place}: ", "strong"), *what) for place in places[:_PLACES]]
        if len(places) > _PLACES:
            lines.append((Span(f"    and {plural(len(places) - _PLACES, 'more place')}"),))
        lines += wrapped(hint, width, "    ")
    for note in document["notes"]:
        lines += wrapped(f"note: {note}", width)
    lines += wrapped(_schemas_line(document["schemas"]), width)
    count = len(document["findings"])
    summary = plural(count, "finding") if count else "nothing found"
    checked = f"{plural(document['files'], 'file')}, {plural(document['applications'], 'Application')}"
    return [*lines, (Span(f"{document['directory']}: {summary} in {checked}", "bad" if count else "good"),)]


def _schemas_line(schemas: Mapping[str, Any]) -> str:
    """Return which program checked schemas, and what it could not check."""
    if not schemas["by"]:
        return f"schemas: not checked: {schemas['why']}"
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(schemas["skipped"].items()))
    without = f"; without a schema, so not checked: {skipped} (--crds DIR)" if skipped else ""
    return f"schemas: by {schemas['by']}{' (' + schemas['why'] + ')' if schemas['why'] else ''}{without}"
