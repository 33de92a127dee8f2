"""The newest version of a chart for an upgrade, and suggestions for a version that its source does not have."""

from __future__ import annotations

from dataclasses import replace

from devtools.app.environment import App
from devtools.base.atomic_write import private_directory
from devtools.base.words import did_you_mean
from devtools.charts.lock import LockEntry
from devtools.commands.charts import chart_keys, helm_charts
from devtools.errors import EnvironmentFault
from devtools.helm.chart_commands import newest


def newest_version(app: App, entry: LockEntry, source: str) -> str:
    """Return the newest version that is not a pre-release; EnvironmentFault if the source does not report it."""
    found, problem = _newest(app, entry, source)
    if not found:
        raise EnvironmentFault(
            f"the newest version of '{entry.chart}' is not known: {problem or f'{source} has none'}",
            hint="name a version with --to, or another source with --from",
        )
    return found


def suggestion(app: App, entry: LockEntry, source: str, version: str) -> str:
    """Return versions similar to a missing one; empty if it exists, or if the source does not list versions."""
    if entry.git:  # for tags, only newer ones are found
        oldest = entry.ref.removesuffix(version.removeprefix("v")) + "0.0.0"
        tag, _ = _newest(app, replace(entry, ref=oldest), source)
        return f"there is {tag}" if tag not in {"", oldest, entry.ref} else ""
    if _newest(app, entry, source, version)[0] == version:
        return ""
    if _is_local(source):
        known = _in_directory(entry, source)
        return did_you_mean(version, known) or (f"the newest is {newest(known)}" if known else "")
    major, minor, *_ = version.removeprefix("v").split(".")
    ranges = (f"~{major}.{minor}", f"^{major}", "")
    found = dict.fromkeys(_newest(app, entry, source, within)[0] for within in ranges)
    return f"there is {' and '.join(one for one in found if one)}" if any(found) else ""


def _newest(app: App, entry: LockEntry, source: str, within: str = "") -> tuple[str, str]:
    """Return the newest version within a range, and an error text."""
    from devtools.charts.sources.latest import latest_of

    if _is_local(source):
        return newest([one for one in _in_directory(entry, source) if within in {"", one}]), ""
    with private_directory("helm") as home:
        return latest_of(entry, source, helm_charts(app, home), app.runner, chart_keys(app), within)


def _is_local(source: str) -> bool:
    return bool(source) and "://" not in source


def _in_directory(entry: LockEntry, source: str) -> list[str]:
    from devtools.charts.sources.latest import versions_in

    return versions_in(source, entry)
