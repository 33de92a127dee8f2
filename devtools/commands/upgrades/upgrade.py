"""`invoke charts.upgrade`: shows the effect of another version of a chart, then pins and vendors it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import private_directory
from devtools.base.key_types import EXACT
from devtools.base.words import did_you_mean
from devtools.charts.lock import LockEntry
from devtools.charts.sources.latest import latest_of, versions_in
from devtools.charts.vendor import Vendored
from devtools.commands.charts import chart_keys, charts_lock, chosen_entries, helm_charts, place_of, vendor_for
from devtools.commands.upgrades.comparison import Comparison, Version, compare
from devtools.commands.upgrades.writing import changes_of, undo_interrupted, write
from devtools.errors import ConfigError, EnvironmentFault, ExitCode
from devtools.helm.chart_commands import newer, newest
from devtools.report.changes.upgrade import upgrade_lines, upgrade_markdown

VERSION = 1  # of the JSON document
OUTPUTS = ("text", "json", "markdown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    chart: str = ""
    to: str = ""  # empty: the newest
    source: str = ""
    keyring: str = ""
    dry_run: bool = False
    force: bool = False
    output: str = "text"


def upgrade(app: App, typed: Arguments) -> ExitCode:
    """Show the version's changes, and write them; CONFIG, writing nothing, if a release cannot be rendered."""
    if typed.to and not re.fullmatch(EXACT, typed.to):
        raise ConfigError(f"--to must be a version such as 1.2.3 or v1.2.3-rc.1, not {typed.to!r}")
    old = _entry(app, typed.chart)
    if old.git and typed.source:
        raise ConfigError(f"chart '{old.pin}' comes from a Git repository", hint="leave out --from")
    source = "" if old.git else place_of(app, typed.source)
    app.toolchain.ensure(("helm",), progress=app.say)
    new = _target(app, typed, old, source)
    if new.version == old.version:
        app.show(_document(typed, old, old), upgrade_lines, typed.output, upgrade_markdown)
        return ExitCode.OK
    if pinned := app.charts.lock.entries.get(new.pin):
        hint = f"write chart: {new.pin} in the layer files"
        raise ConfigError(f"chart '{new.pin}' is locked already, at {pinned.where}", hint=hint)
    lock = contextlib.nullcontext() if typed.dry_run else charts_lock(app, "charts.upgrade")
    with lock, private_directory("upgrade") as work:
        return _upgrade(app, typed, old, new, source, work)


def _upgrade(app: App, typed: Arguments, old: LockEntry, new: LockEntry, source: str, work: Path) -> ExitCode:
    if not typed.dry_run:
        undo_interrupted(app, old, new)
    archive, fetched = _fetched(app, typed, new, source, work / "new")
    new = replace(new, sha256=fetched.sha256, commit=fetched.commit)
    found = _compared(app, typed, (old, new), archive, source, work / "old")
    changes = changes_of(app, old, new, found.contract)
    written = not typed.dry_run and (typed.force or not found.broken)
    if written:
        write(app, archive, app.charts.archive(new), changes, app.charts.archive(old))
    document = {
        **_document(typed, old, new),
        **found.document,
        "source": fetched.source,
        "provenance": fetched.provenance,
        "packed": list(fetched.packed),
        "contract": "updated" if found.contract is not None else "unchanged",
        "not_rendered": list(found.broken),
        "notices": found.notices,
        "files": [str(path.relative_to(app.settings.root)) for path in (app.charts.archive(new), *changes)],
        "written": written,
    }
    app.show(document, upgrade_lines, typed.output, upgrade_markdown)
    return ExitCode.CONFIG if found.broken else ExitCode.OK


def _entry(app: App, name: str) -> LockEntry:
    """Return the named entry; ConfigError if there is none, or if the name is ambiguous."""
    found = chosen_entries(app, [name])
    if len(found) > 1:
        pins = " or ".join(entry.pin for entry in found)
        raise ConfigError(f"chart '{name}' is locked in {len(found)} versions", hint=f"name one of them: {pins}")
    return found[0]


def _target(app: App, typed: Arguments, old: LockEntry, source: str) -> LockEntry:
    """Return the entry with its new version, and for a chart from Git with the new tag."""
    begin = _before_version(old) if old.git else ""
    version = typed.to
    if not version:
        app.say(f"looking for the newest version of {old.chart}")
        version = _newest_version(app, old, source).removeprefix(begin)
        version = version if newer(version, old.version) else old.version
    if not old.git or version == old.version:
        return replace(old, version=version, sha256="")
    number = version.removeprefix("v")
    version = f"v{number}" if old.version.startswith("v") else number
    return replace(old, version=version, ref=f"{begin}{number}", commit="", sha256="")


def _before_version(entry: LockEntry) -> str:
    """Return the part before the version in a Git chart's `ref`; ConfigError if `ref` does not end with it."""
    number = entry.version.removeprefix("v")
    if not entry.ref.endswith(number):
        hint = f"change 'ref' and 'version' at {entry.where}, then run: invoke charts.vendor"
        raise ConfigError(f"ref '{entry.ref}' of chart '{entry.pin}' does not end with its version", hint=hint)
    return entry.ref.removesuffix(number)


def _newest_version(app: App, entry: LockEntry, source: str) -> str:
    """Return the newest version that is not a pre-release; EnvironmentFault if the source does not report it."""
    found, problem = _newest(app, entry, source)
    if not found:
        message = f"the newest version of '{entry.chart}' is not known: {problem or f'{source} has none'}"
        raise EnvironmentFault(message, hint="name a version with --to, or another source with --from")
    return found


def _suggestion(app: App, entry: LockEntry, source: str, version: str) -> str:
    """Return versions similar to a missing one; empty if it exists, or if the source does not list versions."""
    if entry.git:  # for tags, only newer ones are found
        oldest = entry.ref.removesuffix(version.removeprefix("v")) + "0.0.0"
        tag, _ = _newest(app, replace(entry, ref=oldest), source)
        return f"there is {tag}" if tag not in {"", oldest, entry.ref} else ""
    if _newest(app, entry, source, version)[0] == version:
        return ""
    if _is_local(source):
        known = versions_in(source, entry)
        return did_you_mean(version, known) or (f"the newest is {newest(known)}" if known else "")
    major, minor, *_ = version.removeprefix("v").split(".")
    ranges = (f"~{major}.{minor}", f"^{major}", "")
    found = dict.fromkeys(_newest(app, entry, source, within)[0] for within in ranges)
    return f"there is {' and '.join(one for one in found if one)}" if any(found) else ""


def _newest(app: App, entry: LockEntry, source: str, within: str = "") -> tuple[str, str]:
    """Return the newest version within a range, and an error text."""
    if _is_local(source):
        return newest([one for one in versions_in(source, entry) if within in {"", one}]), ""
    with private_directory("helm") as home:
        return latest_of(entry, source, helm_charts(app, home), app.runner, chart_keys(app), within)


def _is_local(source: str) -> bool:
    return bool(source) and "://" not in source


def _fetched(app: App, typed: Arguments, entry: LockEntry, source: str, work: Path) -> tuple[Path, Vendored]:
    """Fetch and check the archive of a version; ConfigError, with available versions, if it does not exist."""
    app.say(f"fetching {entry.pin}")
    work.mkdir()
    try:
        return vendor_for(app, typed.keyring).fetch(entry, work, source)
    except ConfigError as error:
        raise error.changed(hint=_suggestion(app, entry, source, entry.version) or error.hint) from error


def _compared(
    app: App, typed: Arguments, entries: tuple[LockEntry, LockEntry], archive: Path, source: str, work: Path
) -> Comparison:
    """Compare two entries with the archive of the new one; the old version is fetched if it is not vendored."""
    old, new = entries
    before = app.charts.archive(old)
    if app.charts.state(old) != "vendored":
        try:
            before, _ = _fetched(app, typed, old, source, work)
        except (ConfigError, EnvironmentFault) as error:
            notice = f"nothing is compared: {old.pin} is not vendored, and cannot be fetched: {error.message}"
            return Comparison(document=_parts(), notices=[notice])
    return compare(app, Version(entry=old, archive=before), Version(entry=new, archive=archive))


def _parts() -> dict[str, Any]:
    names = ("metadata", "dependencies", "values", "crds", "images", "environments")
    return {name: [] for name in names}


def _document(typed: Arguments, old: LockEntry, new: LockEntry) -> dict[str, Any]:
    """Return the document for an upgrade without changes."""
    return {
        "version": VERSION,
        "kind": "charts-upgrade",
        "chart": old.chart,
        "from": old.version,
        "to": new.version,
        "dry_run": typed.dry_run,
        "written": False,
        "source": "",
        "provenance": "",
        "packed": [],
        "contract": "unchanged",
        "not_rendered": [],
        "notices": [],
        "files": [],
        **_parts(),
    }
