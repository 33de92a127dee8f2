"""Charts made of `charts/manifests/<dir>` and `charts/kustomize/<dir>`, each once, in the user's cache directory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from devtools.base.archives import packed
from devtools.base.atomic_write import private_directory, write_whole
from devtools.base.open_file import read_file
from devtools.charts.packaged.kustomization import NAMES, kustomization_in
from devtools.charts.packaged.manifests import chart_files, syntax_problems
from devtools.charts.packaged.source_files import KINDS, KUSTOMIZE, MANIFESTS, Sources, manifests_in
from devtools.config.finder import ChartUnknown
from devtools.errors import ConfigError, EnvironmentFault, Interrupted, Location, Problem, config_error
from devtools.model import ChartRef
from devtools.process.runner import Command, Runner

FORM = 1  # raise it when the same sources result in different files: existing charts are found by it
_TIMEOUT = 300.0
_LARGE = 2**20  # bytes of sources that take about a second or more to package
_MOST = 20  # archives of one chart: the repositories and environments that one user works with
_SHOWN = 500  # characters of what kustomize complains of
_QUOTED = re.compile(  # its messages repeat text of files that may contain secrets
    r"(?<=with config: )`.*`|(?<=patch from )\[.*\]"
    r"|(?<=literal sources )\[.*\](?=: )|(?<=literal source ).*(?=, expected)",
    re.DOTALL,
)
# Isolates kustomize: nothing of the machine's environment, no git for cloning, and a proxy that does not exist.
ISOLATED = {"PATH": "", "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kustomize:
    """The `kubectl` that renders kustomizations; its runner has `ISOLATED` for its whole environment."""

    program: Callable[[], Path]
    version: str
    runner: Runner

    def render(self, sources: Sources) -> bytes:
        """Return the rendering, from copies of these files alone; raises ConfigError with kustomize's message."""
        with private_directory("kustomize") as home:
            root = home.resolve() / "repository"
            for path, content in sources.files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            out = Path(home, "rendered.yaml")
            argv = (str(self.program()), "kustomize", str(root / sources.entry), "--output", str(out))
            restricted = ("--load-restrictor", "LoadRestrictionsRootOnly")
            result = self.runner.run(Command(argv=(*argv, *restricted), cwd=root, timeout=_TIMEOUT))
            if result.cancelled:
                raise Interrupted("interrupted while kustomize rendered")
            if not result.ok:
                text = _QUOTED.sub("…", result.stderr.partition("error: ")[2].strip().replace(f"{root}/", ""))
                text = text.partition("\n\n")[0][:_SHOWN]  # a crash has the stacks after it
                problem = "takes too long to render" if result.timed_out else f"does not render: {text}"
                raise config_error([_refused(sources, problem)])
            return read_file(out)


@dataclass(kw_only=True)
class Packages:
    """Finds and makes packaged charts of one repository."""

    charts: Path
    root: Path
    cache: Path
    kustomize: Kustomize
    say: Callable[[str], None] = lambda _: None
    _sources: dict[str, Sources] = field(default_factory=dict)

    def find(self, kind: str, name: str, environment: str) -> ChartRef:
        """Return the chart of a directory, whether or not it has been made; runs nothing. Raises ChartUnknown."""
        directory = self._directory(kind, name, environment)
        shown = directory.relative_to(PurePosixPath(self.charts.relative_to(self.root))).as_posix()
        if shown not in self._sources:
            read = manifests_in if kind == MANIFESTS else kustomization_in
            self._sources[shown] = read(self.root, directory)
        sources = self._sources[shown]
        digest = sources.digest
        whole = PurePosixPath(self.charts.relative_to(self.root), kind, name)
        outside = [path for path in sources.directories if not path.is_relative_to(whole)]
        made_by = self.kustomize.version if kind == KUSTOMIZE else ""
        key = hashlib.sha256(repr((FORM, made_by, shown, digest)).encode()).hexdigest()[:16]
        return ChartRef(
            name=shown,
            path=self.cache / kind / name / f"{name}-{key}.tgz",
            kind="packaged",
            version=f"0.0.0+{digest[:12]}",
            sha256=digest,
            sources=tuple(self.root / path for path in (whole, *outside)),
        )

    def names(self) -> Iterator[str]:
        """Return every chart that layer files may name."""
        for kind in KINDS:
            directory = self.charts / kind
            for path in sorted(directory.iterdir()) if directory.is_dir() else ():
                if path.is_dir():
                    yield f"{kind}/{path.name}"

    def is_current(self, chart: ChartRef, environment: str) -> bool:
        """Return whether a chart found by an earlier process would be found unchanged."""
        kind, name, *_ = chart.name.split("/")
        try:
            return self.find(kind, name, environment) == chart
        except ChartUnknown:
            return False

    def make(self, chart: ChartRef) -> None:
        """Make a chart that was found, unless it exists.

        Raises ConfigError with every problem of its sources, EnvironmentFault if it cannot be written.
        """
        kind, name, *_ = chart.name.split("/")
        if chart.name not in self._sources:  # another process found it
            self.find(kind, name, chart.name.rpartition("/")[2])
        sources = self._sources[chart.name]
        if chart.path.exists() and not sources.problems:
            return
        problems = [*sources.problems, *syntax_problems({path: sources.files[path] for path in sources.manifests})]
        if problems:
            raise config_error(problems)
        if sum(map(len, sources.files.values())) > _LARGE:
            self.say(f"packaging {chart.name}")
        if kind == MANIFESTS:
            manifests = {
                path.relative_to(sources.entry).as_posix(): (Path(path), raw) for path, raw in sources.files.items()
            }
        else:
            manifests = {"kustomization.yaml": (Path(sources.entry, NAMES[0]), self.kustomize.render(sources))}
        files, problems = chart_files(name, chart.version, f"Made of {sources.entry}", manifests)
        if problems:
            raise config_error(problems if kind == MANIFESTS else [_rendered(sources, item) for item in problems])
        try:
            write_whole(chart.path, packed(files), mode=0o600, lasting=True)  # it may contain a Secret
            older = sorted(chart.path.parent.glob("*.tgz"), key=lambda path: path.stat().st_mtime_ns)
            for path in older[:-_MOST]:
                path.unlink(missing_ok=True)
        except OSError as error:
            message = f"cannot write the package of chart '{chart.name}': {error.strerror or error}"
            raise EnvironmentFault(message, hint=f"it belongs to {chart.path.parent}") from error

    def problems(self, chart: ChartRef) -> tuple[Problem, ...]:
        """Make a chart that was found; return the problems that prevent it."""
        try:
            self.make(chart)
        except ConfigError as error:
            return error.problems
        return ()

    def _directory(self, kind: str, name: str, environment: str) -> PurePosixPath:
        """Return the packaged directory, relative to the repository's root: for a kustomization possibly an overlay."""
        below = PurePosixPath(self.charts.relative_to(self.root), kind, name)
        if kind == MANIFESTS:
            return below
        found = (below / "overlays" / environment, below, below / "base")
        for directory in found:
            if any((self.root / directory / name).exists() for name in NAMES):
                return directory
        message = f"chart '{kind}/{name}' has no kustomization for environment '{environment}'"
        raise ChartUnknown(message, hint=f"write {found[0] / NAMES[0]}, or {found[2] / NAMES[0]} for all")


def _rendered(sources: Sources, problem: Problem) -> Problem:
    """Return the problem of a rendered object at the kustomization, because the object has no line of its own."""
    return _refused(sources, f"renders an object that cannot be deployed: {problem.message}", problem.hint)


def _refused(sources: Sources, message: str, hint: str = "") -> Problem:
    name = next(name for name in NAMES if sources.entry / name in sources.files)
    return Problem(where=Location(file=Path(sources.entry, name)), message=message, hint=hint)
