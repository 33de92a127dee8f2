"""Resolves a chart's name in a layer file to a directory or archive on disk, and computes its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock as Mutex
from typing import TYPE_CHECKING, Literal

from devtools.base.open_file import read_source, relative, sha256_of
from devtools.base.words import did_you_mean
from devtools.charts.packaged.source_files import KINDS, digest_of
from devtools.charts.tree import Tree, is_archive_of, tree_of
from devtools.config.finder import ChartUnknown
from devtools.config.root_causes import FEW, Cause
from devtools.errors import ConfigError, Location, Problem, config_error
from devtools.model import ChartRef, Release

if TYPE_CHECKING:
    from devtools.charts.lock import Lock, LockEntry
    from devtools.charts.packaged.packages import Packages

PLATFORM = "platform"
THIRD_PARTY = "third_party"
WORK = ".vendor-"  # prefix of vendoring's temporary directories
ArchiveState = Literal["vendored", "not vendored", "not locked", "missing", "corrupted"]
StandIn = Callable[["LockEntry"], Path | None]


class Charts:
    """The charts of one repository: a `ChartFinder`.

    `platform/<x>` is the directory `charts/platform/<x>`; `manifests/<x>` and `kustomize/<x>` are made into charts by
    `packages`. `<publisher>/<chart>` is a vendored archive in `charts/third_party`, by the lock;
    `<publisher>/<chart>@<version>` is one of several versions. For a pinned chart that is not vendored, `stand_in` may
    return a generated archive; if it returns None, `verify` explains how to vendor the chart.
    """

    def __init__(
        self,
        directory: Path,
        root: Path | None = None,
        stand_in: StandIn | None = None,
        *,
        lock: Callable[[], Lock] | None = None,
        packages: Callable[[], Packages] | None = None,
    ) -> None:
        """`lock` returns the lock, unless its file does; paths are shown relative to `root` (default: the parent)."""
        self.directory = directory
        self._root = root or directory.parent
        self._load = lock
        self._stand_in = stand_in
        self._packages = packages
        self._trees: dict[Path, Tree] = {}
        self._digests: dict[Path, str] = {}
        self._mutex = Mutex()

    @cached_property
    def lock(self) -> Lock:
        """The lock, read on first use, because a run may not need it; raises ConfigError if it is invalid."""
        if self._load:
            return self._load()
        from devtools.charts.lock import load_lock

        return load_lock(self.directory, self._root)

    @cached_property
    def packages(self) -> Packages | None:
        """Makes charts of manifests and kustomizations."""
        return self._packages() if self._packages else None

    def find(self, name: str, environment: str = "") -> ChartRef:
        """Return the chart; a missing archive is not an error here: `verify` checks that.

        For a kustomization, the overlay of the environment if there is one. Raises ChartUnknown, with near matches, or
        with the missing or invalid file or directory as its cause.
        """
        publisher, _, chart = name.partition("/")
        if publisher in KINDS and self.packages:
            if not (self.directory / publisher / chart).is_dir():
                raise ChartUnknown(f"no chart '{name}'", self._near(name))
            return self.packages.find(publisher, chart, environment)
        return self._local(name, chart) if publisher == PLATFORM else self._vendored(name)

    def names(self) -> tuple[str, ...]:
        """Return every chart that layer files may name, sorted."""
        directory = self.directory / PLATFORM
        local = directory.iterdir() if directory.is_dir() else ()
        found = [f"{PLATFORM}/{path.name}" for path in local if (path / "Chart.yaml").is_file()]
        packaged = self.packages.names() if self.packages else ()
        return tuple(sorted([*found, *packaged, *self.lock.names()]))

    def is_current(self, chart: ChartRef, environment: str) -> bool:
        """Return whether a chart found by an earlier process would be found unchanged, whatever the lock says."""
        if chart.kind == "packaged":
            return self.packages is not None and self.packages.is_current(chart, environment)
        return chart.kind != "stand-in" or chart.path.exists()

    def digest(self, chart: ChartRef) -> str:
        """Return the sha256 of the chart's bytes, in hexadecimal; computed once for each chart.

        For an archive, of its bytes; for a directory, of the path, size and bytes of every file that helm loads from
        it, sorted by path; for a packaged chart, which is made if it does not exist, of its sources. Raises ConfigError
        if it cannot be read or made, or contains something that is neither file nor directory.
        """
        with self._mutex:
            self.make(chart)
            if chart.kind == "packaged":
                return chart.sha256
            if chart.path not in self._digests:
                self._digests[chart.path] = self._digest(chart)
            return self._digests[chart.path]

    def make(self, chart: ChartRef) -> None:
        """Make a packaged chart unless it exists; raises ConfigError with every problem of its sources."""
        if chart.kind == "packaged" and self.packages:
            self.packages.make(chart)

    def verify(self, releases: Iterable[Release]) -> list[Problem]:
        """Return the problems of the archives and directories that enabled releases use; each is checked once."""
        charts = {r.chart.key: r.chart for r in releases if r.installed}
        local = [chart for chart in charts.values() if chart.kind == "local"]
        problems = [p for chart in local for p in self._strange(chart) + self.missing_dependencies(chart)]
        packaged = [chart for chart in charts.values() if chart.kind == "packaged"]
        if packaged and self.packages:
            problems += [problem for chart in packaged for problem in self.packages.problems(chart)]
        pins = [chart.pin for chart in charts.values() if chart.kind == "vendored"]
        return problems + self._verify_archives(pins)

    def missing_dependencies(self, chart: ChartRef) -> list[Problem]:
        """Return a problem for each dependency that a local chart declares and that is missing in its `charts/`.

        Helm does not install such a chart. Archives are matched by name, and opened only if a dependency seems missing.
        """
        if self._strange(chart):
            return []
        files = self._trees[chart.path].files
        packed = [name.removeprefix("charts/") for name in files if name.startswith("charts/")]
        if all(
            f"charts/{name}/Chart.yaml" in files or any(is_archive_of(name, file) for file in packed)
            for name in chart.dependencies
        ):
            return []
        from devtools.charts.dependencies import missing

        return missing(chart.path, files, partial(relative, root=self._root))

    def _verify_archives(self, pins: Sequence[str]) -> list[Problem]:
        if not pins:
            return []
        from devtools.charts.archive import EMBEDDED, verify_archive

        entries = [self.lock.entries[pin] for pin in pins]
        absent = [entry for entry in entries if not entry.sha256 and not self.archive(entry).exists()]
        if len(absent) > FEW:
            entries = [entry for entry in entries if entry not in absent]
        problems = self._wrong_archives(entries, verify_archive)
        if len(absent) > FEW:
            message = f"{len(absent)} charts are not vendored, and only the embedded cluster takes stand-ins"
            cause = Cause(where=Location(file=self.lock.file), message=message, hint=f"invoke charts.vendor{EMBEDDED}")
            problems.append(cause.problem([entry.chart for entry in absent]))
        return problems

    def verify_all(self) -> list[Problem]:
        """Return archives that do not match the lock or are not in it; a chart not vendored yet is not a difference."""
        from devtools.charts.archive import moved_from, verify_archive
        from devtools.charts.crds import inspect_crds

        def check(archive: Path, entry: LockEntry) -> None:
            verify_archive(archive, entry)
            inspect_crds(archive, entry)

        entries = self.lock.entries.values()
        archives = {self.archive(entry): entry for entry in entries}
        problems = self._wrong_archives([e for path, e in archives.items() if e.sha256 or path.exists()], check)
        known = {*archives, *(moved_from(path, entry) for path, entry in archives.items())}
        below = self.directory / THIRD_PARTY
        found = [path.relative_to(below) for path in sorted(below.rglob("*.tgz")) if path not in known]
        unknown = [path for path in found if not path.parts[0].startswith(WORK)]
        where = Location(file=self.lock.file)
        if self.lock.missing and unknown:
            cause = Cause(where=where, message="is missing", hint="restore it from version control")
            return [cause.problem([str(path) for path in unknown])]
        message, hint = "is not in the lock", "delete it, or pin its version"
        return problems + [Problem(where=where, message=f"{path} {message}", hint=hint) for path in unknown]

    def _wrong_archives(self, entries: Iterable[LockEntry], check: Callable[[Path, LockEntry], None]) -> list[Problem]:
        problems = []
        for entry in entries:
            try:
                check(self.archive(entry), entry)
            except ConfigError as error:
                problems.append(Problem(where=entry.where, message=error.message, hint=error.hint))
        return problems

    def archive(self, entry: LockEntry) -> Path:
        """Return the path of an entry's archive, whether or not it exists."""
        return self.directory / THIRD_PARTY / entry.archive

    def state(self, entry: LockEntry) -> ArchiveState:
        """Return the state of a pinned chart on this disk."""
        from devtools.charts.archive import moved_from

        archive = self.archive(entry)
        if not archive.exists():
            return "missing" if entry.sha256 and not moved_from(archive, entry) else "not vendored"
        if not entry.sha256:
            return "not locked"
        return "vendored" if sha256_of(archive) == entry.sha256 else "corrupted"

    def _local(self, name: str, chart: str) -> ChartRef:
        from devtools.base.yaml_positions import read

        path = self.directory / PLATFORM / chart
        if "@" in chart:
            message = f"chart '{name}' has a version, which charts of this repository do not take"
            raise ChartUnknown(message, f"write {name.partition('@')[0]}")
        if not path.is_dir():
            raise ChartUnknown(f"no chart '{name}'", self._near(name), cause=self._no_directory(path.parent))
        document = read(path / "Chart.yaml", relative(path / "Chart.yaml", self._root))
        found = document.data.get("name")
        if not document.data:
            problem = next(iter(document.problems), document.problem((), "is empty"))
            raise _wrong(name, problem, "a chart has a Chart.yaml with its name and version")
        if found != chart:
            message = f"calls itself '{found or ''}', not '{chart}', the name of its directory"
            raise _wrong(name, document.problem(("name",), message), "make both the same")
        version = str(document.data.get("version", ""))
        dependencies: tuple[str, ...] = ()
        if document.data.get("dependencies") or (path / "requirements.yaml").is_file():
            from devtools.charts.dependencies import declared

            dependencies = tuple(dependency for _, dependency, _ in declared(path, partial(relative, root=self._root)))
        return ChartRef(name=name, path=path, kind="local", version=version, dependencies=dependencies)

    def _vendored(self, name: str) -> ChartRef:
        from devtools.charts.standin import version_of

        entry = self._locked(name)
        path = self.archive(entry)
        # An archive without a sha256 in the lock was left by a killed vendoring: `verify` reports it.
        if self._stand_in and not entry.sha256 and not path.exists() and (generated := self._stand_in(entry)):
            return ChartRef(name=entry.chart, path=generated, kind="stand-in", version=version_of(entry), pin=entry.pin)
        return ChartRef(
            name=entry.chart, path=path, kind="vendored", version=entry.version, sha256=entry.sha256, pin=entry.pin
        )

    def _locked(self, name: str) -> LockEntry:
        """Return the entry that a layer file names; ChartUnknown if there is none, or if several versions match."""
        chart = name.partition("@")[0]
        versions = self.lock.versions(chart)
        found = [entry for entry in versions if name in {entry.chart, entry.pin}]
        if len(found) == 1:
            return found[0]
        if versions:
            pins = [entry.pin for entry in versions]
            what = f"is locked in {len(pins)} versions" if found else f"is not locked in {self.lock.file}"
            raise ChartUnknown(f"chart '{name}' {what}", f"write {' or '.join(pins)}")
        near = self._near(name) or self._near(chart)
        raise ChartUnknown(f"no chart '{name}' in {self.lock.file}", near, cause=None if near else self._no_lock())

    def _no_lock(self) -> Cause | None:
        """Return why no third-party chart is known at all; None if only this one is unknown."""
        if not self.lock.missing:
            return None
        hint = "restore it from version control, or pin each chart in it, then run: invoke charts.vendor"
        cause = Cause(where=Location(file=self.lock.file), message="is missing", hint=hint)
        return self._no_directory(self.directory) or cause

    def _no_directory(self, directory: Path) -> Cause | None:
        """Return the topmost chart directory that is missing or not a directory; None if all exist."""
        missing = next((path for path in (self.directory, directory) if not path.is_dir()), None)
        if missing is None:
            return None
        message = "is not a directory" if missing.exists() else "is missing"
        hint = "restore it from version control, or put the charts there"
        return Cause(where=Location(file=relative(missing, self._root)), message=message, hint=hint)

    def _near(self, name: str) -> str:
        """Return the nearest name; the last part decides if the first parts match equally well."""
        names = self.names()
        return did_you_mean(name, names) or next(
            (f"did you mean '{known}'?" for known in names if known.partition("/")[2] == name.partition("/")[2]), ""
        )

    def _digest(self, chart: ChartRef) -> str:
        try:
            if not chart.path.is_dir():
                return sha256_of(chart.path)
            return digest_of((name, read_source(path)) for name, path in self._files(chart).items())
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigError(f"chart '{chart.name}' cannot be read: {why}", hint=f"it is {chart.path}") from error

    def _files(self, chart: ChartRef) -> Mapping[str, Path]:
        """Return the files of a chart's directory; raises ConfigError with every entry that is not a file."""
        if problems := self._strange(chart):
            raise config_error(problems)
        return self._trees[chart.path].files

    def _strange(self, chart: ChartRef) -> list[Problem]:
        """Return the unreadable entries of a chart's directory; each is checked once."""
        if chart.path not in self._trees:
            self._trees[chart.path] = tree_of(chart.path)
        problems = self._trees[chart.path].problems
        return [replace(p, where=replace(p.where, file=relative(p.where.file, self._root))) for p in problems]


def _wrong(name: str, problem: Problem, hint: str) -> ChartUnknown:
    """Return the problem of a Chart.yaml, for every release that uses the chart."""
    cause = Cause(where=problem.where, message=problem.message, hint=problem.hint or hint)
    return ChartUnknown(f"chart '{name}' cannot be used: {problem}", cause=cause)
