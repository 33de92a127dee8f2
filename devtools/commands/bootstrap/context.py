"""Builds the shared context of the stages of a bootstrap, and checks the machine for them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.app.environment import App
from devtools.bootstrap.builder import ClusterBuilder
from devtools.bootstrap.prerequisites import (
    Finding,
    Machine,
    Requirements,
    check,
    disk_free,
    inotify_limits,
    memory_free,
    port_holders,
)
from devtools.bootstrap.tilt_commands import PORT, Tilt
from devtools.bootstrap.tilt_process import Running, TiltProcess
from devtools.clusters.ports import is_free
from devtools.docker.buildx import Buildx, obstacle
from devtools.errors import ConfigError, EnvironmentFault
from devtools.process.runner import Command

if TYPE_CHECKING:
    from devtools.clusters.k3d.provider import K3dProvider
    from devtools.docker.engine import DockerEngine

TILTFILE = "Tiltfile"
NO_PUSH = "--no-push"  # of infra_config() in infra.star


@dataclass(frozen=True, kw_only=True)
class BootstrapContext:
    """The objects that the stages of one bootstrap share."""

    app: App
    push: bool  # let Tilt publish the protobuf module
    provider: str
    asked: bool  # the provider was requested by name
    context: str
    kubeconfig: Path
    k3d: K3dProvider | None
    builder: ClusterBuilder | None
    no_builder: str  # why there is none
    process: TiltProcess
    program: Path | None  # tilt
    port: int
    tilt: Running | None  # the Tilt on the configured port before the bootstrap

    @property
    def has_tiltfile(self) -> bool:
        """Return whether Tilt can be started."""
        return (self.app.settings.root / TILTFILE).is_file()

    @property
    def tilt_arguments(self) -> tuple[str, ...]:
        """The arguments for the Tiltfile."""
        return () if self.push else (NO_PUSH,)

    @cached_property
    def k3d_commands(self) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        """Return the commands for the registry, and then for the cluster."""
        return self.k3d.planned() if self.k3d else ((), ())

    def invoke(self, task: str) -> Command:
        """Return the command of a devtools task on this cluster."""
        from devtools.commands.specs import surroundings

        around = surroundings(self.app)
        return Command(argv=(*around.invoke, task), env=around.env)


def build_context(app: App, *, push: bool = True) -> BootstrapContext:
    """Build the context for this app's cluster; raises ConfigError for an invalid provider or port."""
    from devtools.app.providers import k3d_provider
    from devtools.commands.specs import surroundings

    around = surroundings(app)
    program = app.which("tilt")
    host, port = _address(app)
    tool = Tilt(
        program=program or Path("tilt"),
        root=app.settings.root,
        kubeconfig=around.kubeconfig,
        context=around.context,
        host=host,
        port=port,
    )
    process = TiltProcess(tool, runner=app.tilt_runner, cancel=app.cancel)
    running = process.ours()
    if running is None and program is not None and not is_free(port):
        running = process.others()
    is_k3d = app.provider_name == "k3d"
    no_builder = _no_builder(app, around.kubeconfig) if is_k3d else ""
    return BootstrapContext(
        app=app,
        push=push,
        provider=app.provider_name,
        asked=app.requested_provider not in {"", "auto"},
        context=around.context,
        kubeconfig=around.kubeconfig,
        k3d=k3d_provider(app) if is_k3d else None,
        builder=_builder(app, around.kubeconfig) if is_k3d and not no_builder else None,
        no_builder=no_builder,
        process=process,
        program=program,
        port=port,
        tilt=running,
    )


def check_machine(context: BootstrapContext) -> tuple[Finding, ...]:
    """Return every obstacle and warning; changes nothing."""
    from devtools.app.providers import why_embedded
    from devtools.docker.engine import DockerEngine

    app = context.app
    engine = DockerEngine(app.environ)
    why = None if context.provider == "context" else engine.problem()
    ports = _ports(context, docker=why is None)
    free, where = disk_free(app.folders.state)
    machine = Machine(
        docker=why.message if why else "",
        docker_hint=why.hint if why else "",
        buildx=context.no_builder,
        programs={name: app.which(name) for name in ("k3d", "docker", "tilt")},
        used_ports=port_holders(ports, lambda: _published(engine) if why is None and context.k3d else {}),
        disk_free=free,
        disk_of=where,
        memory_free=memory_free(),
        inotify=inotify_limits(),
    )
    needs = Requirements(
        provider=context.provider,
        asked=context.asked,
        unvendored=why_embedded(app),
        ports=ports,
        tiltfile=context.has_tiltfile,
        token=not context.push or context.tilt is not None or _has_token(app),
    )
    return (*(_other_cluster(context) or _publishing(context)), *check(machine, needs))


def _no_builder(app: App, kubeconfig: Path) -> str:
    """Return why there can be no builder in the cluster; empty if there can."""
    program = app.which("docker")
    if program is None:
        return "the docker program is not installed"
    try:
        return obstacle(app.runner.run(Buildx(program=program, kubeconfig=kubeconfig).version()))
    except EnvironmentFault as error:
        return error.message


def _builder(app: App, kubeconfig: Path) -> ClusterBuilder:
    from devtools.clusters.k3d.config import REGISTRY_PORT

    name = app.cluster_name
    return ClusterBuilder(
        name=f"devtools-{name}",
        tool=Buildx(program=app.which("docker") or Path("docker"), kubeconfig=kubeconfig),
        runner=app.runner,
        registry=f"k3d-{name}-registry:{REGISTRY_PORT}",
    )


def _address(app: App) -> tuple[str, int]:
    """Return where Tilt's UI listens: TILT_HOST and TILT_PORT, as Tilt itself reads them."""
    typed = app.environ.get("TILT_PORT", "")
    if typed and not (re.fullmatch(r"\d{1,5}", typed, re.ASCII) and 0 < int(typed) < 2**16):  # 0 would disable the UI
        raise ConfigError(f"TILT_PORT={typed!r} is not a port", hint="set it to a number from 1 to 65535, or unset it")
    return app.environ.get("TILT_HOST") or "127.0.0.1", int(typed) if typed else PORT


def _ports(context: BootstrapContext, *, docker: bool) -> dict[int, str]:
    """Return the ports that the bootstrap will newly use, and the setting that moves each."""
    found: dict[int, str] = {}
    if context.k3d and docker:
        with contextlib.suppress(EnvironmentFault):  # reported by the stage of k3d
            found |= context.k3d.needed_ports()
    if context.program and context.has_tiltfile and context.tilt is None:
        found[context.port] = f"choose another: TILT_PORT={context.port + 1} invoke bootstrap"
    return found


def _other_cluster(context: BootstrapContext) -> tuple[Finding, ...]:
    """Check the cluster of a running Tilt: Tilt stores its context at the start, so it cannot switch to another."""
    if context.tilt is None or context.tilt.context == context.context:
        return ()
    of = context.tilt.context or "no cluster"
    message = f"Tilt (pid {context.tilt.pid}) runs for {of}, not for {context.context}"
    hint = "invoke bootstrap.down --keep-cluster" if context.tilt.ours else "stop it where it was started"
    return (Finding(check="tilt", level="problem", message=message, hint=f"{hint}, then: invoke bootstrap"),)


def _publishing(context: BootstrapContext) -> tuple[Finding, ...]:
    """Check --no-push against a running Tilt: it is an argument of Tilt's, so it has no effect on that one."""
    if context.push or context.tilt is None or NO_PUSH in context.tilt.command:
        return ()
    restart = "then: invoke bootstrap --no-push"
    if context.tilt.ours:
        message = f"Tilt (pid {context.tilt.pid}) was started without --no-push and continues to publish"
        hint = f"invoke bootstrap.down --keep-cluster, {restart}"
    else:
        message = f"Tilt (pid {context.tilt.pid}) was not started by invoke bootstrap: --no-push cannot change it"
        hint = f"stop it where it was started, {restart}"
    return (Finding(check="tilt", level="problem", message=message, hint=hint),)


def _published(engine: DockerEngine) -> dict[int, str]:
    """Return the ports of containers; none if the engine stopped meanwhile."""
    try:
        return engine.published()
    except EnvironmentFault:
        return {}


def _has_token(app: App) -> bool:
    """Return whether there is a BUF_TOKEN or none is needed; its users report a malformed one."""
    from devtools.buf.token import find_token

    if not (app.settings.root / "scripts" / "buf-build-push.sh").is_file():
        return True
    try:
        return bool(find_token(app.environ, app.settings.root))
    except ConfigError:
        return False
