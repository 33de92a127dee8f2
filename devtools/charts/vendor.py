"""Brings a pinned chart's archive into the tree and its sha256 into the lock.

Everything is fetched, checked and packed beside the tree; then the archive is renamed into place, and after it the
lock. A process that dies between the two leaves an archive that the lock does not know yet: every check says so,
and vendoring again settles it. A lock never names bytes that were not there.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devtools.base.archives import UNREADABLE, packed, unpack
from devtools.base.atomic_write import write_whole
from devtools.base.machine_yaml import read_map, read_yaml
from devtools.base.open_file import read_file, read_source, sha256_of
from devtools.charts.archive import files_of_archive, inspect_archive, moved_from, path_in_chart
from devtools.charts.crds import inspect_crds
from devtools.charts.lock import LOCK, LockEntry, with_sha256
from devtools.charts.resolve import THIRD_PARTY, WORK, Charts
from devtools.charts.subcharts import load_chart
from devtools.charts.tree import files_of_tree, is_archive_of, tree_of
from devtools.errors import ConfigError, EnvironmentFault, Interrupted, TimedOut
from devtools.helm.chart_commands import OCI, PUBLISHER, HelmCharts, newest, oci_reference, split_credentials
from devtools.helm.failures import classify
from devtools.process.runner import Command, Runner

INDEX = "index.yaml"
_LOCKS = ("Chart.lock", "requirements.lock")
_ABOUT = frozenset({"Chart.yaml", "requirements.yaml"})


class NoSource(ConfigError):
    """The source is wrong as such: the same for every chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    """A chart that is in the tree now."""

    chart: str
    version: str
    sha256: str
    source: str
    provenance: str  # verified, not verified: …, none
    packed: tuple[str, ...] = ()  # dependencies that had to be fetched
    changed: bool = True  # its archive was not there, or was another


class Vendor:
    """Vendors charts of one repository; one process at a time is for the caller to see to."""

    def __init__(
        self, charts: Charts, helm: Callable[[Path], HelmCharts], runner: Runner, keyring: Path | None
    ) -> None:
        """`helm` gives commands that keep their caches in a directory; `keyring` holds trusted public keys."""
        self._charts = charts
        self._helm = helm
        self._runner = runner
        self._keyring = keyring

    def vendor(self, entry: LockEntry, source: str = "") -> Vendored:
        """Fetch, check, settle. `source` (URL or directory of archives or charts) replaces the lock's own.

        Raises ConfigError where the chart is not what the lock says, or unsafe; EnvironmentFault where its source or
        the disk fails. Nothing has changed then.
        """
        with self._work() as work:
            helm = self._helm(work / "helm")
            archive, shown = self._fetched(helm, entry, source, work)
            inspect_archive(archive, entry)
            provenance = self._provenance(helm, entry, archive)
            missing = missing_dependencies(archive)
            if missing:
                archive = self._packed(helm, entry, archive, work)
                inspect_archive(archive, entry)
            self._run(helm.show_archive(archive), f"chart archive {archive.name} of '{entry.chart}' cannot be used")
            inspect_crds(archive, entry)
            sha256 = sha256_of(archive)
            changed = self._settle(entry, archive, sha256, shown)
        return Vendored(
            chart=entry.chart,
            version=entry.version,
            sha256=sha256,
            source=shown,
            provenance=provenance,
            packed=missing,
            changed=changed,
        )

    @contextmanager
    def _work(self) -> Iterator[Path]:
        """A directory beside the tree, on its disk; those of runs that were killed go first."""
        below = self._charts.directory / THIRD_PARTY
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

    def _fetched(self, helm: HelmCharts, entry: LockEntry, source: str, work: Path) -> tuple[Path, str]:
        """The archive as its source gives it, and what the source is called."""
        into = work / "pulled"
        into.mkdir()
        if source and "://" not in source:
            place = source.replace(PUBLISHER, entry.publisher)
            return self._of_directory(helm, entry, Path(place), into), place
        helm, where, login = source_of(helm, entry, source)
        if login:
            self._run(login, f"{where} refuses the login for '{entry.chart}'")
        self._run(helm.pull(where, entry.name, entry.version, into), f"'{entry.chart}' cannot be pulled from {where}")
        found = sorted(into.glob("*.tgz"))
        if len(found) != 1:
            raise ConfigError(f"pulling '{entry.chart}' from {where} gave {len(found)} archives, not one")
        return found[0], where

    def _of_directory(self, helm: HelmCharts, entry: LockEntry, directory: Path, into: Path) -> Path:
        """A copy of the archive in a directory laid out in any usual way, or of a chart directory, packed."""
        if not directory.is_dir():
            raise NoSource(f"{directory} is not a directory", hint="--from takes a URL or a directory of archives")
        file = f"{entry.name}-{entry.version}.tgz"
        for place in (directory, directory / entry.publisher, directory / entry.publisher / entry.name):
            if (place / file).is_file():
                for name in (file, f"{file}.prov"):
                    if (place / name).is_file():
                        shutil.copyfile(place / name, into / name)
                return into / file
        for place in (directory, directory / entry.publisher):
            if (place / entry.name / "Chart.yaml").is_file():
                if strange := tree_of(place / entry.name).problems:  # helm would wait for ever for some of them
                    raise ConfigError(f"{strange[0].where.file} {strange[0].message}", hint=strange[0].hint)
                raw = _raw(place / entry.name, into / file)
                if missing_dependencies(raw):
                    return raw  # helm packs it when it has them
                raw.unlink()
                self._run(helm.package(place / entry.name, into), f"{place / entry.name} cannot be packed")
                return _repacked(next(into.glob("*.tgz")), into / file)
        hint = f"it would be {directory / file}, or a chart in {directory / entry.name}"
        raise ConfigError(f"{directory} does not contain {file}", hint=hint)

    def _provenance(self, helm: HelmCharts, entry: LockEntry, archive: Path) -> str:
        """What the provenance file says, where there is one; ConfigError where it says that this is another archive."""
        signed = archive.with_name(f"{archive.name}.prov")
        if not signed.exists():
            return "none"
        text = read_file(signed).decode("utf-8", "replace")
        digest = re.search(rf"^\s*{re.escape(archive.name)}:\s*sha256:([0-9a-f]{{64}})\s*$", text, re.MULTILINE)
        if not digest or digest[1] != sha256_of(archive):
            raise ConfigError(f"chart archive {archive.name} of '{entry.chart}' does not match its provenance file")
        if self._keyring is None:
            return "not verified: there is no keyring"
        failed = f"the signature of chart archive {archive.name} of '{entry.chart}' is not trusted"
        self._run(helm.verify(archive, self._keyring), failed, hint=f"the keyring is {self._keyring}")
        return "verified"

    def _packed(self, helm: HelmCharts, entry: LockEntry, archive: Path, work: Path) -> Path:
        """The same chart with its dependencies in it."""
        try:
            unpack(archive, work / "chart")
        except UNREADABLE as error:
            raise ConfigError(f"chart archive {archive.name} of '{entry.chart}' cannot be unpacked: {error}") from error
        (chart,) = (work / "chart").iterdir()
        locked = any((chart / name).exists() for name in _LOCKS)
        for number, url in enumerate(_repositories(_files(archive))):
            self._run(
                helm.add_repository(f"dependency-{number}", url), f"a dependency of '{entry.chart}' is out of reach"
            )
        self._run(helm.build_dependencies(chart), f"the dependencies of '{entry.chart}' cannot be fetched")
        self._run(helm.package(chart, work), f"'{entry.chart}' cannot be packed")
        # A lock that helm has just made holds the time: without it, the same chart has the same bytes tomorrow.
        left_out = set() if locked else {f"{entry.name}/{name}" for name in _LOCKS}
        return _repacked(work / archive.name, work / "packed.tgz", without=left_out)

    def _settle(self, entry: LockEntry, archive: Path, sha256: str, source: str) -> bool:
        """Into the tree, then into the lock; whether the tree changed."""
        moved = moved_from(self._charts.archive(entry), entry)
        if entry.sha256 and entry.sha256 != sha256 and not moved:
            message = f"{source} gives another '{entry.chart}' {entry.version} than the one that is locked"
            hint = f"its sha256 is {sha256}; if that is right, set sha256 to null at {entry.where} and vendor again"
            raise ConfigError(message, hint=hint)
        target = self._charts.archive(entry)
        lock = self._charts.directory / LOCK
        changed = not target.exists() or sha256_of(target) != sha256
        try:
            new = None
            if not entry.sha256 or moved:
                new = with_sha256(read_source(lock), entry.pin, sha256, self._charts.lock.file)
            if changed:
                write_whole(target, read_file(archive), lasting=True)
            if new is not None:
                write_whole(lock, new, lasting=True)
            pinned = {self._charts.archive(other) for other in self._charts.lock.versions(entry.chart)}
            for other in set(target.parent.glob("*.tgz")) - pinned:
                other.unlink()  # of a version that was pinned before
        except OSError as error:
            message = f"cannot write '{entry.chart}' into the tree: {error.strerror or error}"
            raise EnvironmentFault(message, hint="invoke charts.verify") from error
        return changed

    def _run(self, command: Command, failed: str, hint: str = "") -> None:
        """Run helm; its complaint follows `failed`."""
        result = self._runner.run(command)
        if result.ok:
            return
        if result.cancelled:
            raise Interrupted("interrupted while helm ran")
        if result.timed_out:
            raise TimedOut(f"{failed}: helm took longer than {command.timeout:.0f} s")
        failure = classify(result.stderr)
        if failure.kind in {"away", "network"}:
            raise EnvironmentFault(
                f"{failed}: {failure.text}", hint=hint or "check the network, or vendor from a directory with --from"
            )
        raise ConfigError(f"{failed}: {failure.text}", hint=hint)


def source_of(helm: HelmCharts, entry: LockEntry, source: str) -> tuple[HelmCharts, str, Command | None]:
    """Where an entry's chart comes from, without credentials, the helm to use, and how it logs in where there are some.

    `source` replaces the lock's own; `{publisher}` in it stands for the chart's publisher.
    """
    named = source.replace(PUBLISHER, entry.publisher) or entry.repository or entry.oci
    where, username, password = split_credentials(named)
    login = helm.log_in(where, username, password) if username else None
    if where.startswith(OCI):
        where = oci_reference(where, entry.name)
    return replace(helm, is_logged_in=login is not None), where, login


def missing_dependencies(archive: Path) -> tuple[str, ...]:
    """Dependencies that the chart in an archive asks for and that it does not hold; it was inspected before.

    Raises ConfigError where what it asks for cannot be read.
    """
    wanted = [str(item.get("name") or "") for item in _dependencies(_files(archive))]
    with tarfile.open(archive) as file:
        paths = [path_in_chart(member.name).split("/") for member in file]
    held = {parts[1] for parts in paths if parts[0] == "charts" and len(parts) > 1}
    return tuple(
        dict.fromkeys(
            name for name in wanted if name not in held and not any(is_archive_of(name, file) for file in held)
        )
    )


def _repositories(files: Mapping[str, bytes]) -> list[str]:
    """The chart repositories that the dependencies of a chart come from, each once."""
    found = [str(item.get("repository") or "") for item in _dependencies(files)]
    return list(dict.fromkeys(url for url in found if url.startswith(("https://", "http://"))))


def _dependencies(files: Mapping[str, bytes]) -> tuple[Mapping[str, Any], ...]:
    """Those of a Chart.yaml, and of the requirements.yaml that older charts have beside it."""
    return load_chart(files, lambda _: False).dependencies or ()


def _files(archive: Path) -> Mapping[str, bytes]:
    """What is said of the chart's dependencies in an archive."""
    return files_of_archive(read_file(archive), _ABOUT.__contains__, f"chart archive {archive.name}")


def _raw(directory: Path, into: Path) -> Path:
    """A chart directory as an archive with all its files."""
    files = files_of_tree(directory)
    into.write_bytes(packed({f"{directory.name}/{name}": read_file(path) for name, path in files.items()}))
    return into


def _repacked(archive: Path, into: Path, without: Collection[str] = ()) -> Path:
    """The same files (but for some) without the times that packing gave them."""
    with tarfile.open(archive) as file:
        members = [(member.name, file.extractfile(member)) for member in file if member.isfile()]
        files = {name: content.read() for name, content in members if content and name not in without}
    into.write_bytes(packed(files))
    return into


def latest_of(entry: LockEntry, source: str, helm: HelmCharts, runner: Runner) -> tuple[str, str]:
    """The newest version of the entry's chart that `source` (else its own) has, and what went wrong."""
    helm, where, login = source_of(helm, entry, source.removesuffix(f"/{INDEX}"))
    result = runner.run(login) if login else None
    if result is None or result.ok:
        result = runner.run(helm.latest(where, entry.name))
    if result.cancelled:
        raise Interrupted("interrupted while helm ran")
    if not result.ok:
        return "", classify(result.stderr).text if not result.timed_out else f"{where} does not answer in time"
    try:
        return str(read_map(result.stdout.encode()).get("version", "")), ""
    except ValueError as error:
        return "", f"{where} has a Chart.yaml that helm cannot read: {error}"


def latest_in_index(path: Path) -> dict[str, str]:
    """The newest version of each chart in an `index.yaml` (or the directory that holds it), by the chart's name.

    Format: https://helm.sh/docs/topics/chart_repository/#the-index-file. Raises ConfigError where it is none.
    """
    file = path / INDEX if path.is_dir() else path
    try:
        data = read_yaml(read_file(file))
        return {name: newest([str(item["version"]) for item in items]) for name, items in data["entries"].items()}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} is not the index of a chart repository", hint="create one with: helm repo index DIR"
        ) from error
