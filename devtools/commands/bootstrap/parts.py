"""What a bootstrap works with, built for one app: the provider, the builder, Tilt; and what the machine is like."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from devtools.app.environment import App
from devtools.bootstrap.builder import ClusterBuilder
from devtools.bootstrap.machine import Machine, disk_free, inotify_limits, memory_free, port_holders
from devtools.bootstrap.prerequisites import Finding, Wanted, check
from devtools.bootstrap.server import Running, TiltServer
from devtools.bootstrap.tilt import PORT, Tilt
from devtools.clusters.ports import is_free
from devtools.docker.buildx import Buildx, obstacle
from devtools.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from devtools.clusters.k3d.provider import K3dProvider
    from devtools.docker.engine import DockerEngine

TILTFILE = "Tiltfile"
NO_PUSH = "--no-push"  # of infra_config() in infra.star


@dataclass(kw_only=True)
class Parts:
    """The parts; `tilt` is the one that runs on our port, whoever started it."""

    app: App
    provider: str
    asked: bool  # the provider was asked for by name
    context: str
    kubeconfig: Path
    k3d: K3dProvider | None
    builder: ClusterBuilder | None
    no_builder: str  # why there is none
    server: TiltServer
    program: Path | None  # tilt
    port: int
    tilt: Running | None = None

    @property
    def has_tiltfile(self) -> bool:
        """Whether there is anything to start Tilt with."""
        return (self.app.settings.root / TILTFILE).is_file()


def parts_of(app: App) -> Parts:
    """The parts for this app's cluster.

    A provider that was asked for by name is taken at its word: what it lacks is for the prerequisites to say, all at
    once. Raises ConfigError for a provider or a port that there is not.
    """
    from devtools.commands.specs import surroundings

    wanted = app.wanted_provider
    if wanted == "k3d":
        app.provider_name = "k3d"
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
    server = TiltServer(tool, runner=app.tilt_runner, cancel=app.cancel)
    running = server.ours()
    if running is None and program is not None and not is_free(port):
        running = server.others()
    is_k3d = app.provider_name == "k3d"
    no_builder = _no_builder(app, around.kubeconfig) if is_k3d else ""
    return Parts(
        app=app,
        provider=app.provider_name,
        asked=wanted not in {"", "auto"},
        context=around.context,
        kubeconfig=around.kubeconfig,
        k3d=cast("K3dProvider", app.provider) if is_k3d else None,
        builder=_builder(app, around.kubeconfig) if is_k3d and not no_builder else None,
        no_builder=no_builder,
        server=server,
        program=program,
        port=port,
        tilt=running,
    )


def look(parts: Parts, *, push: bool) -> tuple[Finding, ...]:
    """Everything that is in the way, all at once: nothing is changed."""
    from devtools.app.providers import why_embedded
    from devtools.docker.engine import DockerEngine

    app = parts.app
    engine = DockerEngine(app.environ)
    why = None if parts.provider == "context" else engine.problem()
    ports = _ports(parts, docker=why is None)
    free, where = disk_free(app.folders.state)
    machine = Machine(
        docker=why.message if why else "",
        docker_hint=why.hint if why else "",
        buildx=parts.no_builder,
        programs={name: app.which(name) for name in ("k3d", "docker", "tilt")},
        held_ports=port_holders(ports, lambda: _published(engine) if why is None and parts.k3d else {}),
        disk_free=free,
        disk_of=where,
        memory_free=memory_free(),
        inotify=inotify_limits(),
    )
    wanted = Wanted(
        provider=parts.provider,
        asked=parts.asked,
        unvendored=why_embedded(app),
        ports=ports,
        tiltfile=parts.has_tiltfile,
        token=not push or parts.tilt is not None or _has_token(app),
    )
    return (*(_other_cluster(parts) or _publishing(parts, push=push)), *check(machine, wanted))


def _no_builder(app: App, kubeconfig: Path) -> str:
    """Why there can be no builder in the cluster; empty if there can."""
    program = app.which("docker")
    if program is None:
        return "the docker program is not installed"
    try:
        return obstacle(app.runner.run(Buildx(program=program, kubeconfig=kubeconfig).version()))
    except EnvironmentFault as error:
        return error.message


def _builder(app: App, kubeconfig: Path) -> ClusterBuilder:
    """The builder in the cluster of this kubeconfig."""
    from devtools.clusters.k3d.config import REGISTRY_PORT

    name = app.cluster_name
    return ClusterBuilder(
        name=f"devtools-{name}",
        tool=Buildx(program=app.which("docker") or Path("docker"), kubeconfig=kubeconfig),
        runner=app.runner,
        registry=f"k3d-{name}-registry:{REGISTRY_PORT}",
    )


def _address(app: App) -> tuple[str, int]:
    """Where Tilt's UI listens: TILT_HOST and TILT_PORT, as Tilt itself reads them."""
    typed = app.environ.get("TILT_PORT", "")
    if typed and not (re.fullmatch(r"\d{1,5}", typed, re.ASCII) and 0 < int(typed) < 2**16):  # 0 would be no UI at all
        raise ConfigError(f"TILT_PORT={typed!r} is not a port", hint="set it to a number from 1 to 65535, or unset it")
    return app.environ.get("TILT_HOST") or "127.0.0.1", int(typed) if typed else PORT


def _ports(parts: Parts, *, docker: bool) -> dict[int, str]:
    """Ports that will be taken, and what moves each: not those that what we made already holds."""
    found: dict[int, str] = {}
    if parts.k3d and docker:
        with contextlib.suppress(EnvironmentFault):  # reported when it is k3d's turn
            found |= parts.k3d.needed_ports()
    if parts.program and parts.has_tiltfile and parts.tilt is None:
        found[parts.port] = f"choose another: TILT_PORT={parts.port + 1} invoke bootstrap"
    return found


def _other_cluster(parts: Parts) -> tuple[Finding, ...]:
    """Tilt writes its context down when it starts: one that runs for another cluster cannot be used."""
    if parts.tilt is None or parts.tilt.context == parts.context:
        return ()
    of = parts.tilt.context or "no cluster"
    message = f"Tilt (pid {parts.tilt.pid}) runs for {of}, not for {parts.context}"
    hint = "invoke bootstrap.down --keep-cluster" if parts.tilt.ours else "end it where it was started"
    return (Finding(check="tilt", level="problem", message=message, hint=f"{hint}, then: invoke bootstrap"),)


def _publishing(parts: Parts, *, push: bool) -> tuple[Finding, ...]:
    """--no-push is an argument of Tilt's: it changes nothing about a Tilt that already runs."""
    if push or parts.tilt is None or NO_PUSH in parts.tilt.command:
        return ()
    restart = "then: invoke bootstrap --no-push"
    if parts.tilt.ours:
        message = f"Tilt (pid {parts.tilt.pid}) was started without --no-push and goes on publishing"
        hint = f"invoke bootstrap.down --keep-cluster, {restart}"
    else:
        message = f"Tilt (pid {parts.tilt.pid}) was not started by invoke bootstrap: --no-push cannot change it"
        hint = f"end it where it was started, {restart}"
    return (Finding(check="tilt", level="problem", message=message, hint=hint),)


def _published(engine: DockerEngine) -> dict[int, str]:
    """Ports of containers; none where the engine went away meanwhile."""
    try:
        return engine.published()
    except EnvironmentFault:
        return {}


def _has_token(app: App) -> bool:
    """Whether there is a BUF_TOKEN, or nothing that wants one; a malformed one is told by whoever uses it."""
    from devtools.buf.token import find_token

    if not (app.settings.root / "scripts" / "buf-build-push.sh").is_file():
        return True
    try:
        return bool(find_token(app.environ, app.settings.root))
    except ConfigError:
        return False
