"""The checks of archives: before every replay those it uses, by themselves all of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from devtools.charts.archive import moved_from, verify_archive
from devtools.charts.crds import inspect_crds
from devtools.charts.resolve import THIRD_PARTY, Charts
from devtools.charts.vendor import WORK
from devtools.config.root_causes import Cause
from devtools.errors import ConfigError, Location, Problem, config_error
from devtools.model import Release


def verify_charts(releases: Iterable[Release], directory: Path, root: Path | None = None) -> None:
    """Raise ConfigError with every archive that is missing, corrupted or unsafe among those the releases use.

    `directory` is the charts directory; files are named from `root` (else from the directory above).
    """
    if problems := Charts(directory, root).verify(releases):
        raise config_error(problems)


def problems_of(charts: Charts) -> list[Problem]:
    """Where lock and tree disagree: an archive that is not what the lock says, or that it does not speak of.

    A chart that is not vendored yet, in neither, is none.
    """
    problems = []
    for entry in charts.lock.entries.values():
        if entry.sha256 or charts.archive(entry).exists():
            try:
                verify_archive(charts.archive(entry), entry)
                inspect_crds(charts.archive(entry), entry)
            except ConfigError as error:
                problems.append(Problem(where=entry.where, message=error.message, hint=error.hint))
    entries = charts.lock.entries.values()
    known = {charts.archive(entry) for entry in entries} | {
        moved_from(charts.archive(entry), entry) for entry in entries
    }
    below = charts.directory / THIRD_PARTY
    found = (path.relative_to(below) for path in sorted(below.rglob("*.tgz")) if path not in known)
    unknown = [path for path in found if not path.parts[0].startswith(WORK)]
    where = Location(file=charts.lock.file)
    if charts.lock.missing and unknown:
        cause = Cause(where=where, message="is missing", hint="take it from version control again")
        return [cause.problem([str(path) for path in unknown])]
    message, hint = "lies there, and the lock does not speak of it", "delete it, or pin its version"
    return problems + [Problem(where=where, message=f"{path} {message}", hint=hint) for path in unknown]
