"""Builds the provider that `App.provider_name` names."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.base.words import plural
from devtools.clusters.provider import Cluster, Provider
from devtools.errors import ConfigError, EnvironmentFault, Interrupted

if TYPE_CHECKING:
    from devtools.app.environment import App
    from devtools.clusters.context import ContextProvider
    from devtools.clusters.embedded.layout import Layout
    from devtools.clusters.k3d.commands import K3d
    from devtools.clusters.k3d.config import Config
    from devtools.clusters.k3d.provider import K3dProvider

_TICK = 0.1  # seconds


def make_provider(app: App) -> Provider:
    """Build the provider of this app's cluster; raises EnvironmentFault if it cannot work on this machine."""
    if app.provider_name != "k3d":
        return _kwok(app) if app.provider_name == "kwok" else _context(app)
    if app.which("k3d") is None:
        raise EnvironmentFault("k3d is not installed", hint="install k3d 5, or use provider kwok")
    if not app.docker_answers():
        raise EnvironmentFault("no Docker engine answers", hint="start Docker, or use provider kwok")
    return k3d_provider(app)


def prefers_k3d(app: App) -> bool:
    """Return whether `auto` selects k3d.

    That is if k3d can work and either its cluster exists, or no embedded cluster does and every chart is vendored. The
    Docker engine is checked last.
    """
    if app.which("k3d") is None:
        return False
    exists = _state(app, "k3d").joinpath("kubeconfig").exists()
    return (exists or not (_state(app, "kwok").is_dir() or unvendored(app))) and app.docker_answers()


def unvendored(app: App) -> tuple[str, ...]:
    """Return the pinned charts that are not vendored; none if the lock cannot be read, which every run reports."""
    try:
        entries = app.charts.lock.entries.values()
    except ConfigError:
        return ()
    return tuple(e.chart for e in entries if not e.sha256 and not app.charts.archive(e).exists())


def why_embedded(app: App) -> str:
    """Return why `auto` selects the embedded cluster although k3d could work; empty if it does not."""
    if app.provider_name != "kwok" or app.requested_provider not in {"", "auto"}:
        return ""
    charts = unvendored(app)
    if not charts or app.which("k3d") is None or not app.docker_answers():
        return ""
    verb = plural(len(charts), "pinned chart is", "pinned charts are")
    return f"{verb} not vendored: the embedded cluster is used, with stand-ins for them"


def say_why_embedded(app: App) -> None:
    """Explain once, before the cluster is created, why it will be the embedded one."""
    if app.provider_name == "kwok" and not _state(app).is_dir() and (why := why_embedded(app)):
        app.say(f"{why} (for k3d: invoke charts.vendor first)")


def say_unused_keys(app: App) -> None:
    """Warn of keys of devtools.yaml that are unused because `auto` selected another provider."""
    from devtools.config.cluster_keys import unused

    if keys := unused(app.provider_name, app.cluster_settings.declared):
        app.say(f"provider {app.provider_name} ignores {', '.join(f'cluster.{key}' for key in keys)}")


def confirm_writing(app: App, context: str) -> None:
    """Ask before a run changes a cluster that devtools did not make; ConfigError unless the answer is yes."""
    if app.provider_name != "context":
        return
    message = f"this run changes the cluster of context {context}, which devtools did not make"
    if not (app.is_terminal and sys.stdin and sys.stdin.isatty()):
        raise ConfigError(message, hint="add --yes to agree; to see what it would do: --dry-run")
    app.say(message)
    print("go on? [y/N] ", end="", file=app.err, flush=True)
    while not select.select([sys.stdin], [], [], _TICK)[0]:
        if app.cancel.is_set():
            raise Interrupted(app.cancel.reason)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ConfigError(f"not confirmed: nothing was changed in context {context}", hint="--yes agrees in advance")


def own_kubeconfig(app: App) -> Path:
    """Return the absolute path of the kubeconfig of this app's cluster, whether or not the file exists."""
    is_context = app.provider_name == "context"
    return (_context(app).kubeconfig() if is_context else _state(app) / "kubeconfig").absolute()


def _state(app: App, provider: str = "") -> Path:
    """Return the directory of a provider's cluster (default: this app's): two providers may use the same name."""
    provider = provider or app.provider_name
    folder = "clusters" if provider == "kwok" else provider
    return app.folders.state / folder / app.cluster_name


def remove_stale_copies(app: App) -> None:
    """Remove unused copies of kubeconfigs, whatever the provider is now."""
    if (app.folders.state / "context").is_dir():
        _context(app).remove_stale_copies()


def _kwok(app: App) -> Provider:
    from devtools.clusters.embedded.provider import KwokProvider

    return KwokProvider(
        app.cluster_name,
        runner=app.runner,
        tool=lambda name: app.toolchain.path(name),  # noqa: PLW0108 - only now: a cluster that runs needs none
        state=_state(app),
        nodes=app.cluster_settings.nodes,
        stages=tuple(sorted(app.settings.simulation.glob("*.yaml"))),
        is_root=os.geteuid() == 0,
        cancel=app.cancel,
    )


def embedded_layout(app: App) -> Layout:
    """Return the paths of the embedded cluster."""
    from devtools.clusters.embedded.layout import Layout

    return Layout(name=app.cluster_name, state=_state(app).resolve())


def k3d_config(app: App) -> Config:
    """Return the requested configuration of the k3d cluster."""
    from devtools.clusters.k3d.base_file import read_base
    from devtools.clusters.k3d.config import Config, Registry

    name, settings, root = app.cluster_name, app.cluster_settings, app.settings.root
    version = settings.kubernetes.removeprefix("v").replace("+", "-")
    image = f"rancher/k3s:v{version}{'' if 'k3s' in version else '-k3s1'}" if version else settings.image
    return Config(
        name=name,
        api_port=settings.api_port,
        registry=Registry(name=f"{name}-registry", port=settings.registry_port),
        servers=settings.servers,
        agents=settings.agents,
        image=image,
        ports=settings.ports,
        mirrors=settings.mirrors,
        volumes=tuple(_from_root(volume, root) for volume in settings.volumes),
        traefik=settings.traefik,
        base=read_base(root, settings.config) if settings.config else {},
        directory=(root / settings.config).parent if settings.config else None,
    )


def _from_root(volume: str, root: Path) -> str:
    """Resolve a volume's source path from the repository's root; without a slash it names a Docker volume."""
    source, _, target = volume.partition(":")
    return f"{root / source}:{target}" if "/" in source or source.startswith(".") else volume


def k3d_tool(app: App) -> K3d:
    """Return the k3d program, isolated from the user's files."""
    from devtools.clusters.k3d.commands import K3d

    return K3d(program=app.which("k3d") or Path("k3d"), home=_state(app))


def k3d_provider(app: App) -> K3dProvider:
    """Build the provider of a k3d cluster, whether or not k3d and Docker are available."""
    from devtools.clusters.k3d.provider import K3dProvider
    from devtools.docker.engine import DockerEngine

    return K3dProvider(
        k3d_config(app),
        runner=app.runner,
        tool=k3d_tool(app),
        state=_state(app),
        engine=DockerEngine(app.environ),
        in_container=Path("/.dockerenv").exists(),
        cancel=app.cancel,
        patience=app.patience,
    )


def _context(app: App) -> ContextProvider:
    from devtools.clusters.context import ContextProvider

    default = Path(app.environ.get("HOME", "~")).expanduser() / ".kube" / "config"
    named = app.environ.get("KUBECONFIG", "")
    return ContextProvider(
        app.cluster_settings.context,
        allowed=app.settings.allowed_contexts,
        kubeconfigs=tuple(Path(part) for part in named.split(os.pathsep) if part) or (default,),
        state=_state(app, "context"),
        root=app.settings.root,
        cancel=app.cancel,
    )


def require_target(cluster: Cluster, context: str, kubeconfig: str) -> Cluster:
    """Return the cluster if it has the expected context and kubeconfig ("": any); else raise EnvironmentFault."""
    for what, expected, found in (
        ("context", context, cluster.context),
        ("kubeconfig", kubeconfig, str(cluster.kubeconfig)),
    ):
        if expected and expected != found:
            message = f"this command is for {what} {expected}, but the cluster has {found}"
            raise EnvironmentFault(message, hint="type: invoke specs, then start Tilt again")
    return cluster
