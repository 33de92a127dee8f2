"""Adds a pinned chart's archive to the tree and its sha256 to the lock.

Everything is fetched, checked and packed outside the tree; then the archive is renamed into place, and after it the
lock. A process that dies between the two leaves an archive that is not in the lock yet: every check reports that,
and vendoring again fixes it. A lock never names an archive that does not exist.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from devtools.base.atomic_write import private_directory, write_whole
from devtools.base.open_file import read_file, read_source, sha256_of
from devtools.charts.archive import inspect_archive, moved_from
from devtools.charts.crds import inspect_crds
from devtools.charts.lock import LOCK, LockEntry, with_sha256
from devtools.charts.resolve import THIRD_PARTY, WORK, Charts
from devtools.charts.sources.credentials import Keys
from devtools.charts.sources.fetch import Fetcher
from devtools.charts.sources.latest import newest_within
from devtools.charts.sources.packing import missing_dependencies
from devtools.charts.sources.run_helm import run_helm
from devtools.errors import ConfigError, EnvironmentFault
from devtools.helm.chart_commands import HelmCharts, newest
from devtools.process.runner import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    """A chart that has been vendored."""

    chart: str
    version: str
    sha256: str
    source: str
    provenance: str  # verified, not verified: …, none
    packed: tuple[str, ...] = ()  # dependencies that had to be fetched
    changed: bool = True  # its archive was missing or different
    commit: str = ""  # for a chart from Git


@dataclass(frozen=True, slots=True)
class Vendor:
    """Vendors charts of one repository; the caller must ensure that only one process does so at a time."""

    charts: Charts
    helm: Callable[[Path], HelmCharts]  # returns commands whose caches are in a directory
    runner: Runner
    keyring: Path | None  # trusted public keys
    keys: Keys

    def vendor(self, entry: LockEntry, source: str = "") -> Vendored:
        """Fetch, check and install a chart. `source` (URL or directory of archives or charts) replaces the lock's.

        Raises ConfigError if the chart does not match the lock or is unsafe; EnvironmentFault if its source or the disk
        fails. Nothing has changed then.
        """
        with self._work() as work, self._private_helm() as helm:
            archive, found = self._checked(helm, entry, source, work)
            return replace(found, changed=self._settle(entry, archive, found))

    def fetch(self, entry: LockEntry, into: Path, source: str = "") -> tuple[Path, Vendored]:
        """Fetch a chart that is not in the lock into a directory; its version may be a range. Raises like `vendor`."""
        with tempfile.TemporaryDirectory(dir=into) as work, self._private_helm() as helm:
            if newest([entry.version]) != entry.version:
                entry = replace(entry, version=newest_within(entry, source, helm, self.runner, self.keys))
            archive, found = self._checked(helm, entry, source, Path(work))
            return archive.replace(into / f"{entry.name}-{entry.version}.tgz"), found

    @contextmanager
    def _private_helm(self) -> Iterator[HelmCharts]:
        """Return helm with a directory for credentials: outside the tree, where a killed run would leave them."""
        with private_directory("helm") as home:
            yield self.helm(home)

    def _checked(self, helm: HelmCharts, entry: LockEntry, source: str, work: Path) -> tuple[Path, Vendored]:
        """Fetch an archive below `work`, with its dependencies, and inspect it."""
        fetcher = Fetcher(helm, self.runner, work, self.keys)
        archive, shown, commit = fetcher.fetch(entry, source, again=bool(moved_from(self.charts.archive(entry), entry)))
        inspect_archive(archive, entry)
        provenance = self._provenance(helm, entry, archive)
        missing = missing_dependencies(archive)
        if missing:
            archive = fetcher.with_dependencies(entry, archive)
            inspect_archive(archive, entry)
        cannot = f"chart archive {archive.name} of '{entry.chart}' cannot be used"
        run_helm(self.runner, helm.show_archive(archive), cannot)
        inspect_crds(archive, entry)
        return archive, Vendored(
            chart=entry.chart,
            version=entry.version,
            sha256=sha256_of(archive),
            source=shown,
            provenance=provenance,
            packed=missing,
            commit=commit,
        )

    @contextmanager
    def _work(self) -> Iterator[Path]:
        """Create a directory next to the tree, on its disk, after removing those of killed runs."""
        below = self.charts.directory / THIRD_PARTY
        try:
            below.mkdir(parents=True, exist_ok=True)
            for left in below.glob(f"{WORK}*"):
                shutil.rmtree(left, ignore_errors=True)
            work = Path(tempfile.mkdtemp(prefix=WORK, dir=below))
        except OSError as error:
            raise EnvironmentFault(f"cannot write to {below}: {error.strerror or error}") from error
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _provenance(self, helm: HelmCharts, entry: LockEntry, archive: Path) -> str:
        """Return the result of the provenance check; ConfigError if the provenance file is of another archive."""
        signed = archive.with_name(f"{archive.name}.prov")
        if not signed.exists():
            return "none"
        text = read_file(signed).decode("utf-8", "replace")
        digest = re.search(rf"^\s*{re.escape(archive.name)}:\s*sha256:([0-9a-f]{{64}})\s*$", text, re.MULTILINE)
        if not digest or digest[1] != sha256_of(archive):
            raise ConfigError(f"chart archive {archive.name} of '{entry.chart}' does not match its provenance file")
        if self.keyring is None:
            return "not verified: no keyring"
        failed = f"the signature of chart archive {archive.name} of '{entry.chart}' is not trusted"
        run_helm(self.runner, helm.verify(archive, self.keyring), failed, hint=f"the keyring is {self.keyring}")
        return "verified"

    def _settle(self, entry: LockEntry, archive: Path, found: Vendored) -> bool:
        """Move the archive into the tree, then update the lock; return whether the tree changed."""
        sha256, target = found.sha256, self.charts.archive(entry)
        moved = moved_from(target, entry)
        if entry.sha256 and entry.sha256 != sha256 and not moved:
            message = f"{found.source} gives another '{entry.chart}' {entry.version} than the one that is locked"
            hint = f"its sha256 is {sha256}; if that is right, set sha256 to null at {entry.where} and vendor again"
            raise ConfigError(message, hint=hint)
        lock = self.charts.directory / LOCK
        changed = not target.exists() or sha256_of(target) != sha256
        try:
            old = new = read_source(lock)
            if not entry.sha256 or moved:
                new = with_sha256(new, entry.pin, sha256, self.charts.lock.file)
            if found.commit != entry.commit and entry.git:
                new = with_sha256(new, entry.pin, found.commit, self.charts.lock.file, "commit")
            if changed:
                write_whole(target, read_file(archive), lasting=True)
            if new != old:
                write_whole(lock, new, lasting=True)
            pinned = {self.charts.archive(other) for other in self.charts.lock.versions(entry.chart)}
            for other in set(target.parent.glob("*.tgz")) - pinned:
                other.unlink()  # of the previously pinned version
        except OSError as error:
            message = f"cannot write '{entry.chart}' into the tree: {error.strerror or error}"
            raise EnvironmentFault(message, hint="invoke charts.verify") from error
        return changed
