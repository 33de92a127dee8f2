"""Builds the objects that commands need; the only module that reads the process environment."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from devtools.errors import ConfigError, EnvironmentFault
from devtools.process.runner import Cancel, SubprocessRunner

if TYPE_CHECKING:
    from devtools.charts.lock import Lock, LockEntry
    from devtools.charts.packaged.packages import Packages
    from devtools.charts.resolve import Charts
    from devtools.charts.standin import StandIns
    from devtools.clusters.provider import Cluster, Provider, ProviderName
    from devtools.config.settings import ClusterSettings, Settings
    from devtools.events import Bus
    from devtools.kube.client import Kube
    from devtools.model import Stack
    from devtools.redaction import Redactor
    from devtools.rendering.renderer import Renderer
    from devtools.report.text import Line
    from devtools.toolchain.chain import Toolchain

APP = "ameide-devtools"
Value = TypeVar("Value")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")  # as devtools.yaml's
# Variables that would make a child process use another cluster, or pass it a secret that it does not need.
_DROPPED = ("KUBECONFIG", "HELM_", "KUBE_", "KUBERNETES_", "KWOK_", "BUF_TOKEN", "VAULT_TOKEN", "DEVTOOLS_CHART_")
_CHART_PASSWORD = "DEVTOOLS_CHART_PASSWORD_"  # noqa: S105 - the beginning of names, whatever a publisher is called
_DIRECTORIES = frozenset({"PWD", "OLDPWD"})  # set by shells: named like passwords, but not secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The directories of this machine's state; DEVTOOLS_CACHE and DEVTOOLS_STATE override them."""

    cache: Path  # built tools and images: can be rebuilt
    state: Path  # clusters, locks


@dataclass(kw_only=True)
class App:
    """One invocation: its environment, and the objects built from it on first use."""

    environ: Mapping[str, str]
    cwd: Path
    out: TextIO
    err: TextIO
    environment: str = ""  # as typed
    sets: tuple[str, ...] = ()  # values of the environment for this run, as typed: `key=value`
    cancel: Cancel = field(default_factory=Cancel)
    clock: Callable[[], float] = time.time
    decrypted: dict[Path, Mapping[str, Any]] = field(default_factory=dict, repr=False)  # values of encrypted files

    @cached_property
    def redactor(self) -> Redactor:
        """Hides secrets in everything that is printed or written; starts with those of the process environment."""
        from devtools.redaction import Redactor

        redactor = Redactor()
        redactor.learn({key: value for key, value in self.environ.items() if key not in _DIRECTORIES})
        redactor.learn({"passwords": [value for key, value in self.environ.items() if key.startswith(_CHART_PASSWORD)]})
        return redactor

    @cached_property
    def settings(self) -> Settings:
        """The settings in devtools.yaml."""
        from devtools.config.settings import FILE, Settings, find_root, load_settings

        root = find_root(self.cwd)
        return self.cached(f"settings {root}", (root / FILE,), lambda: load_settings(root), kind=Settings)

    @property
    def environment_name(self) -> str:
        """The environment: as typed, else DEVTOOLS_ENVIRONMENT, else the one in devtools.yaml."""
        return self.environment or self.environ.get("DEVTOOLS_ENVIRONMENT") or self.settings.environment

    @property
    def cluster_settings(self) -> ClusterSettings:
        """The settings of this environment's cluster in devtools.yaml."""
        return self.settings.cluster_of(self.environment_name)

    def cached(
        self,
        name: str,
        inputs: Iterable[Path],
        make: Callable[[], Value],
        *,
        kind: Any,
        good: Callable[[Value], bool] = lambda _: True,
    ) -> Value:
        """See `devtools.app.disk_cache`; without a cache directory the value is built each time."""
        from devtools.app.disk_cache import cached

        try:
            directory = self.folders.cache / "parsed"
        except EnvironmentFault:
            return make()
        return cached(directory, name, inputs, make, kind=kind, good=good)

    @cached_property
    def folders(self) -> Folders:
        """The user's cache and state directories."""
        from platformdirs import user_cache_path, user_state_path

        cache, state = self.environ.get("DEVTOOLS_CACHE"), self.environ.get("DEVTOOLS_STATE")
        found = Folders(
            cache=self.cwd / cache if cache else user_cache_path(APP),
            state=self.cwd / state if state else user_state_path(APP),
        )
        if not (found.cache.is_absolute() and found.state.is_absolute()):
            raise EnvironmentFault("this user has no home directory", hint="set DEVTOOLS_CACHE and DEVTOOLS_STATE")
        return found

    @cached_property
    def runner(self) -> SubprocessRunner:
        """Runs every tool."""
        return self._runner()

    @cached_property
    def tilt_runner(self) -> SubprocessRunner:
        """Runs Tilt, whose resources publish the protobuf module: the only child process that gets BUF_TOKEN."""
        return self._runner("BUF_TOKEN")

    def _runner(self, also: str = "") -> SubprocessRunner:
        inherited = {key: value for key, value in self.environ.items() if key == also or not key.startswith(_DROPPED)}
        return SubprocessRunner(inherited, self.cancel)

    @cached_property
    def toolchain(self) -> Toolchain:
        """The pinned tools."""
        from devtools.toolchain.chain import Toolchain

        packaged = Path(__file__).parent.parent / "_tools"
        return Toolchain(
            cache=self.folders.cache,
            runner=self.runner,
            path=self.environ.get("PATH", ""),
            sources=packaged if packaged.is_dir() else packaged.parent.parent / "tools",
            cancel=self.cancel,
        )

    def tool(self, name: str) -> Path:
        """Return the program of a pinned tool, which is built first if it is missing."""
        self.toolchain.ensure((name,), progress=self.say)
        return self.toolchain.path(name)

    def rendering(self, cluster: Cluster | None = None) -> AbstractContextManager[Renderer]:
        """Return a renderer of charts, by helm; with a cluster, templates can look up its objects."""
        from devtools.rendering.renderer import renderer

        where = (cluster.kubeconfig, cluster.context) if cluster else ()
        return renderer(self.tool("helm"), self.runner, *where)

    def stack(self) -> Stack:
        """Load and validate the stack; raise ConfigError with every problem."""
        from devtools.app.stack_cache import cached_stack

        return cached_stack(self)

    @cached_property
    def charts(self) -> Charts:
        """The charts of the repository, with stand-ins for those that are not vendored."""
        return self._charts(self._stand_in)

    @cached_property
    def real_charts(self) -> Charts:
        """The charts of the repository, without stand-ins."""
        return self._charts(None)

    def _charts(self, stand_in: Callable[[LockEntry], Path | None] | None) -> Charts:
        from devtools.charts.resolve import Charts

        directory, root = self.settings.charts, self.settings.root

        def lock() -> Lock:
            from devtools.charts.lock import LOCK, Lock, load_lock

            return self.cached(f"lock {root}", (directory / LOCK,), lambda: load_lock(directory, root), kind=Lock)

        return Charts(directory, root, stand_in, lock=lock, packages=self._packages)

    def _packages(self) -> Packages:
        """Return the packager of manifests and kustomizations; kubectl is built on first use."""
        from devtools.charts.packaged.packages import ISOLATED, Kustomize, Packages
        from devtools.toolchain.versions import tool

        runner = SubprocessRunner(ISOLATED, self.cancel)
        version = tool("kubectl").version
        kustomize = Kustomize(program=lambda: self.tool("kubectl"), version=version, runner=runner)
        return Packages(
            charts=self.settings.charts,
            root=self.settings.root,
            cache=self.folders.cache / "packaged",
            kustomize=kustomize,
            say=self.say,
        )

    def _stand_in(self, entry: LockEntry) -> Path | None:
        """Return a stand-in for a chart that is not vendored, on the embedded cluster only: it simulates workloads."""
        try:
            embedded = self.provider_name == "kwok"
        except EnvironmentFault:
            return None  # a command that needs the cluster reports it
        return self._stand_ins(entry) if embedded else None

    @cached_property
    def _stand_ins(self) -> StandIns:
        from devtools.charts.standin import StandIns

        return StandIns(self.folders.cache / "stand-ins")

    @cached_property
    def cluster_name(self) -> str:
        """The cluster's name: DEVTOOLS_CLUSTER, else the one in devtools.yaml."""
        typed = self.environ.get("DEVTOOLS_CLUSTER", "")
        if typed and not _NAME.fullmatch(typed):
            hint = "lower-case letters, digits and '-', a letter or digit at both ends, at most 32 characters"
            raise ConfigError(f"DEVTOOLS_CLUSTER={typed!r} is not a valid cluster name", hint=hint)
        return typed or self.cluster_settings.name

    @cached_property
    def patience(self) -> float:
        """Seconds to wait for an API server that does not answer; ConfigError if it is not a number."""
        from devtools.kube.client import RETRY_FOR

        typed = self.environ.get("DEVTOOLS_PATIENCE", "")
        if typed and not re.fullmatch(r"\d{1,4}", typed, re.ASCII):
            hint = "use a whole number, such as 30, at most 9999"
            raise ConfigError(f"DEVTOOLS_PATIENCE={typed!r} is not a number of seconds", hint=hint)
        return float(typed) if typed else RETRY_FOR

    @cached_property
    def provider_name(self) -> ProviderName:
        """The name of the provider that makes the cluster."""
        from devtools.app.providers import prefers_k3d
        from devtools.clusters.provider import choose_provider

        return choose_provider(self.requested_provider, prefers_k3d=lambda: prefers_k3d(self))

    @property
    def requested_provider(self) -> str:
        """The provider that DEVTOOLS_PROVIDER or devtools.yaml names: a name, `auto` or "".

        ConfigError if an environment has an existing cluster of its own, and DEVTOOLS_PROVIDER selects another one.
        """
        typed, own = self.environ.get("DEVTOOLS_PROVIDER", ""), self.settings.clusters.get(self.environment_name)
        if own and own.provider == "context" and typed not in {"", "context"}:
            raise ConfigError(
                f"environment {self.environment_name} is deployed to context {own.context}, "
                f"but DEVTOOLS_PROVIDER={typed} means another cluster",
                hint="unset DEVTOOLS_PROVIDER",
            )
        return typed or self.cluster_settings.provider

    def docker_answers(self) -> bool:
        """Return whether a Docker engine can be used now."""
        from devtools.docker.engine import DockerEngine

        return DockerEngine(self.environ).answers()

    @cached_property
    def provider(self) -> Provider:
        """Makes, finds and removes the cluster."""
        from devtools.app.providers import make_provider

        return make_provider(self)

    def which(self, program: str) -> Path | None:
        """Return a program on the user's PATH."""
        found = shutil.which(program, path=self.environ.get("PATH", ""))
        return Path(found) if found else None

    def git(self, why: str = "") -> Path:
        """Return the git program; EnvironmentFault, which `why` completes, if it is not installed."""
        if program := self.which("git"):
            return program
        raise EnvironmentFault(f"git is not installed{why}", hint="install git")

    def find_cluster(self) -> Cluster:
        """Return the running cluster for a command that inspects releases; EnvironmentFault if there is none.

        Such a command needs installed releases, so the hint is to install them, too.
        """
        from devtools.clusters.provider import ClusterAbsent

        try:
            return self.provider.find()
        except ClusterAbsent as error:
            if self.provider_name == "context":
                raise
            raise error.changed(hint="invoke up makes it and installs the releases") from error

    def client(self, cluster: Cluster, bus: Bus | None = None, cancel: Cancel | None = None) -> Kube:
        """Return a client of the cluster's API server, which reports waiting for it on `bus` (default: stderr)."""
        from devtools.kube.client import Kube

        say = bus.warn if bus else self.say
        where = (cluster.kubeconfig, cluster.context, cancel or self.cancel, self.patience)
        return Kube(*where, say=say, connections=cluster.connections, redactor=self.redactor)

    @property
    def is_terminal(self) -> bool:
        """Whether the output is a terminal that supports cursor movements."""
        return self.err.isatty() and self.out.isatty()

    def say(self, line: str) -> None:
        """Print one line of progress for people."""
        from devtools.report.text import visible

        shown = map(visible, self.redactor.text(line).split("\n"))
        print("\n".join(shown), file=self.err, flush=True)

    def show(
        self,
        document: dict[str, Any],
        lines: Callable[[dict[str, Any], int], Iterable[Line]],
        output: str,
        markdown: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        """Print a document as JSON, as the lines that `lines` makes of it for a width, or as Markdown."""
        from devtools.report.tables import show_document

        if output == "markdown" and markdown:
            self.out.write(markdown(document))
        else:
            show_document(document, lines, output, self.out, self.environ)


def real_app(environment: str = "", sets: Iterable[str] = ()) -> App:
    """Return the app of this process.

    Output to a closed stream (`>&-`) is discarded; a character that a stream cannot encode is written as its escape.
    """
    out, err = _open(sys.stdout), _open(sys.stderr)
    environ = dict(os.environ)
    return App(environ=environ, cwd=Path.cwd(), out=out, err=err, environment=environment, sets=tuple(sets))


def _open(stream: TextIO | None) -> TextIO:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
