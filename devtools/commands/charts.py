"""`invoke charts.*`: vendor pinned charts, check them, list them, look for newer ones."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.config.root_causes import FEW
from devtools.errors import ConfigError, EnvironmentFault, ExitCode, Problem

if TYPE_CHECKING:
    from devtools.base.yaml_positions import Document
    from devtools.charts.dependencies import Dependency
    from devtools.charts.lock import LockEntry
    from devtools.charts.sources.credentials import Keys
    from devtools.charts.vendor import Vendor
    from devtools.helm.chart_commands import HelmCharts

VERSION = 1  # of the JSON documents


def vendor(app: App, names: Sequence[str], source: str, keyring: str, output: str) -> ExitCode:
    """Vendor the named charts, else all that are not; every one is tried before what failed is told."""
    from devtools.errors import config_error
    from devtools.run.file_lock import run_lock

    wanted = _chosen(app, names) or [entry for entry in _pinned(app) if app.charts.state(entry) != "vendored"]
    app.toolchain.ensure(("helm",), progress=app.say)
    maker = _vendor(app, keyring)
    now = datetime.fromtimestamp(app.clock(), UTC).strftime("%H:%M:%S UTC")
    holder: dict[str, str | int] = {"what": "invoke charts.vendor", "pid": os.getpid(), "started": now}
    subject = f"the charts of {app.settings.root}"
    with run_lock(app.folders.state / "locks", subject, holder, wait=True, cancel=app.cancel, say=app.say):
        rows, problems = _vendor_all(app, maker, wanted, _place(app, source))
    if source and not rows and len(problems) > FEW:
        raise _no_source(problems)
    if not problems or (rows and output == "text"):
        cells = [(row["chart"], row["version"], row["state"], f"provenance: {row['provenance']}") for row in rows]
        _show(app, "charts-vendor", rows, cells, output)
    if problems:
        raise config_error(problems)
    if not wanted and not app.charts.lock.missing:
        app.say("every pinned chart is vendored")
    return ExitCode.OK


def dependencies(app: App, *, check: bool, output: str) -> ExitCode:
    """Build charts/ of every chart of this repository from vendored archives; with `check` FAILED if it is not."""
    from devtools.base.yaml_positions import read as read_chart
    from devtools.charts.dependencies import dependencies as read
    from devtools.charts.dependencies import nameless
    from devtools.errors import config_error

    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for chart in sorted((app.settings.charts / "platform").glob("*/Chart.yaml")):
        directory, document = chart.parent, read_chart(chart, chart.relative_to(app.settings.root))
        if wrong := document.problems or tuple(nameless(document)):
            problems += wrong
            continue
        found = read(directory)
        if not check and any(item.state != "ok" for item in found):
            problems += _build(app, directory, found, document)
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
    if problems:
        raise config_error(problems)
    cells = [tuple(map(str, row.values())) for row in rows]
    _show(app, "charts-dependencies", rows, cells, output)
    if not rows:
        app.say("no chart of this repository has dependencies")
    return ExitCode.FAILED if any(row["state"] != "ok" for row in rows) else ExitCode.OK


def _build(app: App, chart: Path, found: Sequence[Dependency], document: Document) -> list[Problem]:
    """Place an archive of each dependency, or nothing if some have none: those are returned as problems.

    `document` is the Chart.yaml that declares them, in this order.
    """
    from devtools.charts.dependencies import place

    archives, problems = {}, []
    with tempfile.TemporaryDirectory(prefix="devtools-charts-") as home:
        for number, item in enumerate(found):
            try:
                archive = _archive(app, chart, item, Path(home))
            except ConfigError as error:
                problems.append(document.problem(("dependencies", number), error.message, error.hint))
                continue
            if archive:
                archives[item.name] = archive
                continue
            message = f"no vendored archive is {item.name} {item.constraint}"
            hint = "pin it in charts/third_party/lock.yaml, then: invoke charts.vendor"
            problems.append(document.problem(("dependencies", number), message, hint))
        if not problems:
            place(chart, archives, app.clock())
    return problems


def _archive(app: App, chart: Path, item: Dependency, home: Path) -> Path | None:
    """Return the archive of a dependency, packed from this repository (`file://`) or vendored; None without one."""
    from devtools.charts.semver import is_compatible
    from devtools.helm.chart_commands import newest

    if item.repository.startswith("file://"):
        source = (chart / item.repository.removeprefix("file://")).resolve()
        if not source.is_relative_to(app.settings.root.resolve()):
            raise ConfigError(f"{item.repository} leads out of the repository")
        if not (source / "Chart.yaml").is_file():
            raise ConfigError(f"{item.repository} is not a chart", hint="a path from the directory of this Chart.yaml")
        app.toolchain.ensure(("helm",), progress=app.say)
        result = app.runner.run(_helm(app, home / "home").package(source, home))
        if not result.ok:
            raise ConfigError(f"helm cannot pack {source.name}: {result.stderr.strip()}")
        return next(iter(sorted(home.glob(f"{item.name}-*.tgz"))), None)
    fitting = {
        entry.version: entry
        for entry in _pinned(app)
        if entry.name == item.name
        and is_compatible(item.constraint or "*", entry.version)
        and app.charts.state(entry) == "vendored"
    }
    return app.charts.archive(fitting[newest([*fitting])]) if fitting else None


def _vendor_all(
    app: App, maker: Vendor, wanted: Iterable[LockEntry], source: str
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """What was vendored, as JSON data, and what could not be; a broken network ends it at once."""
    from devtools.charts.sources.fetch import NoSource

    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for entry in wanted:
        app.say(f"vendoring {entry.chart} {entry.version}")
        try:
            done = maker.vendor(entry, source)
        except NoSource:
            raise
        except ConfigError as error:
            problems.append(Problem(where=entry.where, message=error.message, hint=error.hint))
            continue
        rows.append(
            {
                "chart": done.chart,
                "version": done.version,
                "state": "vendored" if done.changed else "unchanged",
                "sha256": done.sha256,
                "source": done.source,
                "provenance": done.provenance,
                "packed": list(done.packed),
            }
        )
    return rows, problems


def _no_source(problems: Sequence[Problem]) -> ConfigError:
    """The one thing that is wrong where a source has none of the charts."""
    first = problems[0]
    hint = "--from takes a directory of archives, of charts, or of a directory per publisher; or a URL: docs/charts.md"
    return ConfigError(
        f"none of the {len(problems)} charts could be fetched from there; the first error: {first.message}", hint=hint
    )


def verify(app: App, output: str) -> ExitCode:
    """Every archive that is there is what the lock says, and no other is; ConfigError with all that is wrong."""
    from devtools.errors import config_error

    if problems := app.charts.verify_all():
        raise config_error(problems)
    _show(app, "charts-verify", *_table(app), output)
    return ExitCode.OK


def show(app: App, output: str) -> ExitCode:
    """Every pinned chart, what there is of it, and where it comes from."""
    _show(app, "charts", *_table(app), output)
    return ExitCode.OK


def outdated(app: App, source: str, output: str, *, fail: bool = False) -> ExitCode:
    """Show newer versions of pinned charts; EnvironmentFault if no source answers.

    With `fail` the exit code is FAILED if a chart is outdated, and ENVIRONMENT if that is not known of all.
    """
    from devtools.charts.sources.latest import latest_in_index, latest_of
    from devtools.helm.chart_commands import newer

    place = _place(app, source)
    local = latest_in_index(Path(place)) if place and "://" not in place else None
    if local is None:
        app.toolchain.ensure(("helm",), progress=app.say)
    rows: list[dict[str, Any]] = []
    entries = _pinned(app)
    with tempfile.TemporaryDirectory(prefix="devtools-helm-") as home:
        for entry in entries:
            if local is not None:
                latest, problem = local.get(entry.name, ""), ""
            else:
                latest, problem = latest_of(entry, place, _helm(app, Path(home)), app.runner, chart_keys(app))
            state = "unknown" if not latest else "outdated" if newer(latest, entry.version) else "current"
            rows.append(
                {"chart": entry.chart, "version": entry.version, "latest": latest, "state": state, "problem": problem}
            )
    if entries and all(row["problem"] for row in rows):
        hint = "--from takes an index.yaml, or a directory that holds one"
        raise EnvironmentFault(f"no chart repository answers: {rows[0]['problem']}", hint=hint)
    cells = [(r["chart"], r["version"], r["latest"] or "-", r["state"], r["problem"]) for r in rows]
    _show(app, "charts-outdated", rows, cells, output)
    if fail and any(row["state"] == "outdated" for row in rows):
        return ExitCode.FAILED
    return ExitCode.ENVIRONMENT if fail and any(row["problem"] for row in rows) else ExitCode.OK


def _chosen(app: App, names: Iterable[str]) -> list[LockEntry]:
    """The entries of these charts, in all versions or the one that is named; the publisher may be left out."""
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


def _pinned(app: App) -> list[LockEntry]:
    """Every entry of the lock; where there is no lock it is said why there are none."""
    lock = app.charts.lock
    if lock.missing:
        app.say(f"no chart is pinned: there is no {lock.file}")
    return list(lock.entries.values())


def _vendor(app: App, keyring: str) -> Vendor:
    from devtools.charts.vendor import Vendor

    usual = Path(app.environ.get("HOME", "/nonexistent")) / ".gnupg" / "pubring.gpg"  # Helm's own default
    ring = app.cwd / keyring if keyring else usual if usual.is_file() else None
    if keyring and ring and not ring.is_file():
        raise ConfigError(f"there is no keyring {ring}", hint="create one with: gpg --export >FILE")
    return Vendor(app.charts, lambda home: _helm(app, home), app.runner, ring, chart_keys(app))


def chart_keys(app: App) -> Keys:
    """Return what finds the credentials for sources of charts in the environment or in a netrc file."""
    from devtools.charts.sources.credentials import Keys

    settings = app.settings
    authorities = {host: settings.root / path for host, path in settings.chart_ca.items()}
    return Keys(
        environ=app.environ, authorities=authorities, learn=lambda secret: app.redactor.learn({"password": secret})
    )


def _helm(app: App, home: Path) -> HelmCharts:
    from devtools.helm.chart_commands import HelmCharts

    return HelmCharts(program=app.toolchain.path("helm"), home=home)


def _place(app: App, source: str) -> str:
    """The source that was typed, else the configured mirror; a URL as it is, a path from where the user is."""
    source = source or app.environ.get("DEVTOOLS_CHART_MIRROR", "") or app.settings.chart_mirror
    return source if not source or "://" in source else str(app.cwd / source)


def _table(app: App) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    """Every pinned chart as JSON data and as cells."""
    rows: list[dict[str, Any]] = []
    for entry in _pinned(app):
        is_standing_in = app.charts.find(entry.pin).kind == "stand-in"
        rows.append(
            {
                "chart": entry.chart,
                "version": entry.version,
                "state": "stand-in" if is_standing_in else app.charts.state(entry),
                "sha256": entry.sha256 or None,
                "source": entry.repository or entry.oci,
                "license": entry.license,
            }
        )
    return rows, [(r["chart"], r["version"], r["state"], r["license"], r["source"]) for r in rows]


def _show(
    app: App, kind: str, rows: Sequence[Mapping[str, Any]], cells: Sequence[tuple[str, ...]], output: str
) -> None:
    """The rows as one JSON document, or as lines."""
    from devtools.report.text import clean

    if output == "json":
        app.out.write(json.dumps({"version": VERSION, "kind": kind, "charts": rows}, indent=2) + "\n")
        return
    widths = [max(len(row[column]) for row in cells) for column in range(min(map(len, cells), default=0))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        app.out.write(clean(line) + "\n")
