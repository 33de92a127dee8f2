"""`charts/third_party/lock.yaml`: the pinned charts, each with its source, its archive's sha256, and its contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from devtools.base.key_types import (
    ChartPart,
    ChartVersion,
    Derived,
    GitCommit,
    GitRef,
    GitSource,
    Oci,
    Sha256,
    Text,
    Url,
)
from devtools.base.open_file import relative
from devtools.base.yaml_edit import with_scalar
from devtools.base.yaml_positions import Document, KeyPath, parse, read
from devtools.charts.contract import ChartContract, contract_problems
from devtools.config.validate import is_inside, made, validated
from devtools.errors import ConfigError, Location, Problem, config_error

LOCK = Path("third_party") / "lock.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockEntry:
    """One pinned chart; other keys are kept as they are."""

    OTHER_KEYS: ClassVar = True

    publisher: ChartPart
    """Its publisher: the first part of its name in layer files."""
    name: ChartPart
    """Its name in Chart.yaml."""
    version: ChartVersion
    """Its version in Chart.yaml."""
    sha256: Sha256
    """Of the archive; null until it is vendored."""
    where: Derived[Location]
    repository: Url = ""
    """URL of its chart repository."""
    oci: Oci = ""
    """Reference of its OCI artifact, without a tag."""
    git: GitSource = ""
    """URL of its Git repository; then `ref` and `commit` are required."""
    ref: GitRef = ""
    """The branch, tag or whole commit of the Git repository."""
    commit: GitCommit = ""
    """The commit that `ref` was at; null until it is vendored."""
    path: Text = ""
    """The chart's directory in the Git repository; its root when absent."""
    license: Text = ""
    """Its license, as an SPDX expression."""
    contract: ChartContract = field(default_factory=ChartContract)
    """The objects that it installs."""

    @property
    def chart(self) -> str:
        """`<publisher>/<chart>`, as layer files name it."""
        return f"{self.publisher}/{self.name}"

    @property
    def pin(self) -> str:
        """`<publisher>/<chart>@<version>`, which no other entry has."""
        return f"{self.chart}@{self.version}"

    @property
    def source(self) -> str:
        """Where it comes from."""
        return self.repository or self.oci or self.git

    @property
    def archive(self) -> Path:
        """Where its archive lies below `charts/third_party`."""
        return Path(self.publisher) / self.name / f"{self.name}-{self.version}.tgz"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFile:
    """The chart lock: `charts/third_party/lock.yaml`."""

    charts: tuple[LockEntry, ...] = ()
    """The pinned charts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The parsed lock file: entries by `<publisher>/<chart>@<version>`."""

    file: Path
    entries: Mapping[str, LockEntry] = field(default_factory=dict)
    missing: bool = False

    def versions(self, chart: str) -> tuple[LockEntry, ...]:
        """Return every entry of `<publisher>/<chart>`, in the order of the file."""
        return tuple(entry for entry in self.entries.values() if entry.chart == chart)

    def names(self) -> tuple[str, ...]:
        """Return the names of the charts that layer files may use."""
        return tuple(map(self.reference, self.entries.values()))

    def reference(self, entry: LockEntry) -> str:
        """Return the shortest name of an entry in layer files: with its version only if there are several."""
        return entry.chart if len(self.versions(entry.chart)) == 1 else entry.pin


def load_lock(charts: Path, root: Path) -> Lock:
    """Return the lock, empty if there is no file; ConfigError with every problem, at a path relative to `root`."""
    path = charts / LOCK
    shown = relative(path, root)
    if not path.exists():
        return Lock(file=shown, missing=True)
    document = read(path, shown)
    data, problems = validated(LockFile, document)
    entries: dict[str, LockEntry] = {}
    found = list(problems)
    for index, keys in enumerate(data.get("charts", ())):
        entry = made(LockEntry, keys, where=document.at(("charts", index)))
        found += _entry_problems(entry, entries, document, index)
        entries.setdefault(entry.pin, entry)
    if found:
        raise config_error(found)
    return Lock(file=shown, entries=entries)


def _entry_problems(entry: LockEntry, before: Mapping[str, LockEntry], document: Document, index: int) -> list[Problem]:
    path = ("charts", index)
    problems = []
    if sum(map(bool, (entry.repository, entry.oci, entry.git))) != 1:
        message = f"chart '{entry.chart}' needs exactly one of 'repository', 'oci' and 'git'"
        problems.append(document.problem(path, message))
    problems += _git_problems(entry, document, path)
    problems += _url_problems(entry, document, path)
    if entry.pin in before:
        first = before[entry.pin].where
        problems.append(document.problem(path, f"chart '{entry.pin}' is locked twice", f"first at {first}"))
    if entry.publisher == "platform":
        message = "publisher 'platform' is reserved for charts of this repository"
        problems.append(document.problem((*path, "publisher"), message))
    return problems + [
        document.problem((*path, "contract"), f"contract of '{entry.chart}': {message}")
        for message in contract_problems(entry.contract)
    ]


def _url_problems(entry: LockEntry, document: Document, path: KeyPath) -> Iterator[Problem]:
    for key in ("repository", "oci", "git"):
        try:
            url = urlsplit(getattr(entry, key))
        except ValueError as error:
            yield document.problem((*path, key), f"'{key}' is not a URL: {error}")
            continue
        if "@" in url.netloc and (url.scheme != "ssh" or url.password):
            hint = "put them into DEVTOOLS_CHART_USER_NAME and DEVTOOLS_CHART_PASSWORD_NAME, or a netrc file"
            yield document.problem((*path, key), f"'{key}' must not contain credentials", hint)


def _git_problems(entry: LockEntry, document: Document, path: KeyPath) -> Iterator[Problem]:
    written = [key for key in ("ref", "commit", "path") if (*path, key) in document.marks]
    if not entry.git:
        for key in written:
            yield document.problem((*path, key), f"'{key}' is for charts from 'git'")
        return
    for key in ("ref", "commit"):
        if key not in written:
            hint = "commit: null" if key == "commit" else "a tag, such as ref: v1.2.3"
            yield document.problem((*path, "git"), f"chart '{entry.chart}' comes from Git and has no '{key}'", hint)
    if not is_inside(entry.path):
        yield document.problem((*path, "path"), "'path' must be a path inside the Git repository")


def with_sha256(raw: bytes, pin: str, sha256: str, file: Path, key: str = "sha256") -> bytes:
    """Return the lock's text with the `key` of a pin set, all else as written; ConfigError if that cannot be done."""
    document = parse(raw, file)
    index = index_of(document.data, pin)
    mark = document.marks.get(("charts", index, key))
    if document.problems or mark is None:
        raise ConfigError(f"{file} has no place for the {key} of '{pin}'", hint=f"look at {document.at()}")
    text = with_scalar(raw, file, ("charts", index, key), sha256)
    if text is None:
        where = document.at(("charts", index, key))
        raise ConfigError(f"the {key} of '{pin}' cannot be written at {where}", hint=f"write it there: {sha256}")
    return text


def index_of(data: object, pin: str) -> int:
    """Return the index of an entry in `charts`; -1 if it is not there."""
    for index, item in enumerate(data.get("charts", []) if isinstance(data, dict) else ()):
        if isinstance(item, dict) and pin == f"{item.get('publisher')}/{item.get('name')}@{item.get('version')}":
            return index
    return -1
