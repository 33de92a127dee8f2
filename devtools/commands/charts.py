"""`invoke charts.*`: vendor pinned charts, verify them, list them, look for newer ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.base.atomic_write import private_directory
from devtools.config.root_causes import FEW
from devtools.errors import ConfigError, EnvironmentFault, ExitCode, Problem, raise_problems
from devtools.report.text import Span, aligned, clean

if TYPE_CHECKING:
    from devtools.charts.lock import LockEntry
    from devtools.charts.sources.credentials import Keys
    from devtools.charts.sources.dependency_builder import Builder
    from devtools.charts.vendor import Vendor, Vendored
    from devtools.helm.chart_commands import HelmCharts

VERSION = 1  # of the JSON documents
_OWN = "platform/"


def vendor(app: App, names: Sequence[str], source: str, keyring: str, output: str) -> ExitCode:
    """Vendor the named charts, else all that are not vendored; all are tried before failures are reported."""
    wrong: list[Problem] = []
    if names:
        own = [_own(app, name) for name in names if name.startswith(_OWN)]
        wanted = chosen_entries(app, [name for name in names if not name.startswith(_OWN)])
    else:
        own, wrong = _lacking(app)
        wanted = [entry for entry in _pinned(app, silent=bool(own)) if app.charts.state(entry) != "vendored"]
    app.toolchain.ensure(("helm",), progress=app.say)
    maker = vendor_for(app, keyring)
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    with charts_lock(app, "charts.vendor"):
        place = place_of(app, source)
        _vendor_all(app, maker, wanted, place, rows, problems)
        _vendor_own(app, maker, own, place, rows, problems)
    if source and not rows and len(problems) > FEW:
        raise _no_source(problems)
    problems += wrong
    if not problems or (rows and output == "text"):
        cells = [(row["chart"], row["version"], row["state"], f"provenance: {row['provenance']}") for row in rows]
        _show(app, "charts-vendor", rows, cells, output)
    raise_problems(problems)
    if not (wanted or own or app.charts.lock.missing):
        app.say("every pinned chart is vendored")
    return ExitCode.OK


def charts_lock(app: App, command: str) -> AbstractContextManager[None]:
    """Hold the lock of this repository's charts while the body runs: one process at a time changes them."""
    from devtools.app.locks import own_holder
    from devtools.locks.run_lock import run_lock

    locks, subject = app.folders.state / "locks", f"the charts of {app.settings.root}"
    return run_lock(locks, subject, own_holder(app, command), wait=True, cancel=app.cancel, say=app.say)


def dependencies(app: App, *, check: bool, output: str) -> ExitCode:
    """Build charts/ of every chart of this repository from vendored archives; with `check` FAILED if it is not."""
    from devtools.charts.dependencies import dependencies as read

    rows: list[dict[str, Any]] = []
    charts, problems = _own_charts(app)
    for directory in charts:
        found = read(directory)
        if not check and any(item.state != "ok" for item in found):
            with private_directory("charts") as home:
                problems += _builder(app, home).build(directory)
            found = read(directory)
        rows += [
            {
                "chart": f"platform/{directory.name}",
                "dependency": item.name,
                "constraint": item.constraint,
                "version": item.version,
                "state": item.state,
            }
            for item in found
        ]
    raise_problems(problems)
    _show(app, "charts-dependencies", rows, [tuple(map(str, row.values())) for row in rows], output)
    if not rows:
        app.say("no chart of this repository has dependencies")
    return ExitCode.FAILED if any(row["state"] != "ok" for row in rows) else ExitCode.OK


def _builder(app: App, home: Path, fetch: Callable[[LockEntry], Path] | None = None) -> Builder:
    """Return the builder of this repository's `charts/` directories, offline unless it may fetch."""
    from devtools.charts.sources.dependency_builder import Builder

    return Builder(
        charts=app.charts,
        root=app.settings.root,
        helm=lambda: helm_charts(app, home / "helm"),
        runner=app.runner,
        home=home,
        fetch=fetch,
        now=app.clock(),
    )


def _vendor_own(
    app: App,
    maker: Vendor,
    charts: Iterable[Path],
    source: str,
    rows: list[dict[str, Any]],
    problems: list[Problem],
) -> None:
    """Fetch the dependencies of this repository's charts; add the fetched ones to the rows, and the failures."""
    from devtools.base.open_file import sha256_of
    from devtools.helm.chart_commands import PUBLISHER

    for chart in charts:
        fetched: list[dict[str, Any]] = []
        with private_directory("charts") as home:

            def fetch(entry: LockEntry, home: Path = home, fetched: list[dict[str, Any]] = fetched) -> Path:
                chart = entry.where.file.parent  # the charts that depend on it
                app.say(f"vendoring {entry.name} {entry.version} for platform/{chart.name}")
                place = "" if PUBLISHER in source and entry.publisher == "platform" else source
                archive, done = maker.fetch(entry, home, place)
                there = app.settings.root / chart / "charts" / archive.name
                is_same = there.is_file() and sha256_of(there) == done.sha256
                fetched.append(_row(replace(done, chart=f"platform/{chart.name}/{entry.name}", changed=not is_same)))
                return archive

            wrong = _builder(app, home, fetch).build(chart)
        problems += wrong
        rows += [] if wrong else fetched  # none of its archives is in the tree


def _vendor_all(
    app: App,
    maker: Vendor,
    wanted: Iterable[LockEntry],
    source: str,
    rows: list[dict[str, Any]],
    problems: list[Problem],
) -> None:
    """Vendor charts; add them to the rows, and the failures. Stops at once if the network is broken."""
    from devtools.charts.sources.fetch import NoSource

    for entry in wanted:
        app.say(f"vendoring {entry.chart} {entry.version}")
        try:
            rows.append(_row(maker.vendor(entry, source)))
        except NoSource:
            raise
        except ConfigError as error:
            problems.append(Problem(where=entry.where, message=error.message, hint=error.hint))


def _row(done: Vendored) -> dict[str, Any]:
    return {
        "chart": done.chart,
        "version": done.version,
        "state": "vendored" if done.changed else "unchanged",
        "sha256": done.sha256,
        "source": done.source,
        "provenance": done.provenance,
        "packed": list(done.packed),
    }


def _no_source(problems: Sequence[Problem]) -> ConfigError:
    """Return the common cause if a source has none of the charts."""
    first = problems[0]
    hint = "--from takes a directory of archives, of charts, or of a directory per publisher; or a URL"
    return ConfigError(
        f"none of the {len(problems)} charts could be fetched from there; the first error: {first.message}", hint=hint
    )


def verify(app: App, output: str) -> ExitCode:
    """Check that exactly the locked archives are in the tree; ConfigError with every difference."""
    raise_problems(app.charts.verify_all())
    _show(app, "charts-verify", *_table(app), output)
    return ExitCode.OK


def show(app: App, output: str) -> ExitCode:
    """List every pinned chart, its state and its source."""
    _show(app, "charts", *_table(app), output)
    return ExitCode.OK


def outdated(app: App, source: str, output: str, *, fail: bool = False) -> ExitCode:
    """Show newer versions of pinned charts; EnvironmentFault if no source answers.

    With `fail` the exit code is FAILED if a chart is outdated, and ENVIRONMENT if that is unknown for some chart.
    """
    from devtools.charts.sources.latest import latest_in, latest_of
    from devtools.helm.chart_commands import newer

    place = place_of(app, source)
    entries = _pinned(app)
    local = latest_in(place, entries) if place and "://" not in place else None
    rows: list[dict[str, Any]] = []
    with private_directory("helm") as home:
        for entry in entries:
            if local is not None:
                latest, problem = local[entry.pin], ""
            else:
                latest, problem = latest_of(entry, place, helm_charts(app, home), app.runner, chart_keys(app))
            is_newer = latest != entry.ref if entry.git and not place else newer(latest, entry.version)
            state = "unknown" if not latest else "outdated" if is_newer else "current"
            rows.append(
                {"chart": entry.chart, "version": entry.version, "latest": latest, "state": state, "problem": problem}
            )
    if entries and all(row["problem"] for row in rows):
        hint = "--from takes an index.yaml, or a directory that holds one, archives or charts"
        raise EnvironmentFault(f"no chart repository answers: {rows[0]['problem']}", hint=hint)
    cells = [(r["chart"], r["version"], r["latest"] or "-", r["state"], r["problem"]) for r in rows]
    _show(app, "charts-outdated", rows, cells, output)
    if fail and any(row["state"] == "outdated" for row in rows):
        return ExitCode.FAILED
    return ExitCode.ENVIRONMENT if fail and any(row["problem"] for row in rows) else ExitCode.OK


def chosen_entries(app: App, names: Iterable[str]) -> list[LockEntry]:
    """Return the entries of these charts, of all versions or the named one; the publisher may be left out."""
    from devtools.config.validate import suggestion

    lock = app.charts.lock
    found = []
    for name in names:
        chart, _, version = name.partition("@")
        known = [entry for entry in lock.entries.values() if chart in {entry.chart, entry.name}]
        charts = dict.fromkeys(entry.chart for entry in known)
        wanted = [entry for entry in known if version in {"", entry.version}]
        if len(charts) > 1 or not wanted:
            why = f"'{name}' could be {' or '.join(charts)}" if wanted else f"no chart '{name}' in {lock.file}"
            raise ConfigError(why, hint=suggestion(name, lock.names(), "charts"))
        found += wanted
    return found


def _own_charts(app: App) -> tuple[list[Path], list[Problem]]:
    """Return the directories of this repository's charts, and the problems of invalid Chart.yaml files."""
    from devtools.base.yaml_positions import read
    from devtools.charts.dependencies import nameless

    charts: list[Path] = []
    problems: list[Problem] = []
    for file in sorted((app.settings.charts / "platform").glob("*/Chart.yaml")):
        document = read(file, file.relative_to(app.settings.root))
        if wrong := document.problems or tuple(nameless(document)):
            problems += wrong
        else:
            charts.append(file.parent)
    return charts, problems


def _lacking(app: App) -> tuple[list[Path], list[Problem]]:
    """Return this repository's charts that lack dependencies in `charts/`, and the problems of others."""
    from devtools.charts.dependencies import dependencies as read

    lacks = {"missing", "wrong version"}
    charts, problems = _own_charts(app)
    return [chart for chart in charts if any(item.state in lacks for item in read(chart))], problems


def _own(app: App, name: str) -> Path:
    """Return the directory of a chart of this repository; ConfigError if there is none."""
    from devtools.config.validate import suggestion

    charts, problems = _own_charts(app)
    raise_problems(problems)
    known = {f"{_OWN}{chart.name}": chart for chart in charts}
    if name not in known:
        raise ConfigError(f"no chart '{name}'", hint=suggestion(name, known, "charts"))
    return known[name]


def _pinned(app: App, *, silent: bool = False) -> list[LockEntry]:
    """Return every entry of the lock; if there is no lock, print why there are none."""
    lock = app.charts.lock
    if lock.missing and not silent:
        app.say(f"no chart is pinned: there is no {lock.file}")
    return list(lock.entries.values())


def vendor_for(app: App, keyring: str) -> Vendor:
    """Return the vendoring of charts, with the keyring that was typed, else GnuPG's."""
    from devtools.charts.vendor import Vendor

    usual = Path(app.environ.get("HOME", "/nonexistent")) / ".gnupg" / "pubring.gpg"  # Helm's own default
    ring = app.cwd / keyring if keyring else usual if usual.is_file() else None
    if keyring and ring and not ring.is_file():
        raise ConfigError(f"keyring {ring} does not exist", hint="create one with: gpg --export >FILE")
    return Vendor(app.charts, lambda home: helm_charts(app, home), app.runner, ring, chart_keys(app))


def chart_keys(app: App) -> Keys:
    """Return the credentials for sources of charts, from the environment or a netrc file.

    An import may be the first command in a directory: without a stack there are no configured certificates.
    """
    from devtools.charts.sources.credentials import Keys
    from devtools.config.settings import find_root

    try:
        find_root(app.cwd)
    except ConfigError:
        authorities = {}
    else:
        authorities = {host: app.settings.root / path for host, path in app.settings.chart_ca.items()}
    return Keys(
        environ=app.environ, authorities=authorities, learn=lambda secret: app.redactor.learn({"password": secret})
    )


def helm_charts(app: App, home: Path) -> HelmCharts:
    """Return helm's commands, whose caches are in a directory."""
    from devtools.helm.chart_commands import HelmCharts

    return HelmCharts(program=app.tool("helm"), home=home)


def place_of(app: App, source: str) -> str:
    """Return the source that was typed, else the configured mirror; a path is relative to the user's directory."""
    source = source or app.environ.get("DEVTOOLS_CHART_MIRROR", "") or app.settings.chart_mirror
    return source if not source or "://" in source else str(app.cwd / source)


def _table(app: App) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    rows = [
        {
            "chart": entry.chart,
            "version": entry.version,
            "state": "stand-in" if app.charts.find(entry.pin).kind == "stand-in" else app.charts.state(entry),
            "sha256": entry.sha256 or None,
            "source": entry.source,
            "license": entry.license,
        }
        for entry in _pinned(app)
    ]
    return rows, [tuple(str(row[key]) for key in ("chart", "version", "state", "license", "source")) for row in rows]


def _show(
    app: App, kind: str, rows: Sequence[Mapping[str, Any]], cells: Sequence[tuple[str, ...]], output: str
) -> None:
    document = {"version": VERSION, "kind": kind, "charts": rows}
    app.show(document, lambda *_: [(Span(clean(line)),) for line in aligned(cells)], output)
