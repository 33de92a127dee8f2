"""What a bootstrap would run now, as commands; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

from devtools.bootstrap.script import Line
from devtools.commands.bootstrap.parts import NO_PUSH, Parts
from devtools.commands.bootstrap.stages import wants_images
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.process.runner import Command


def planned(parts: Parts, *, push: bool) -> tuple[Line, ...]:
    """Every command that a bootstrap would run now, in order; nothing is changed."""
    return (
        *_planned_cluster(parts),
        *_planned_builder(parts),
        *_planned_images(parts),
        *_planned_specs(parts),
        *_planned_tilt(parts, push=push),
    )


def _planned_cluster(parts: Parts) -> Iterator[Line]:
    if parts.k3d is None:
        if parts.provider == "kwok":  # many commands, and what is no command: one task makes it
            yield Line(stage="cluster", command=_invoke(parts, "cluster.create"))
        return
    if not _has_helm(parts):
        yield Line(stage="tools", command=_invoke(parts, "toolchain"))
    registry, cluster = parts.k3d.planned()
    for command in registry:
        yield Line(stage="registry", command=command)
    for command in cluster[:-1]:
        yield Line(stage="cluster", command=command)
    through: tuple[str, ...] = ()
    if beside := parts.k3d.beside():
        # An API call where we do it ourselves.
        yield Line(stage="cluster", command=Command(argv=("docker", "network", "connect", *beside[:2])))
        through = ("sed", f"s|^\\( *server:\\) .*|\\1 {beside[2]}|")
    yield Line(stage="cluster", command=cluster[-1], to=parts.kubeconfig, through=through)


def _has_helm(parts: Parts) -> bool:
    try:
        parts.app.toolchain.path("helm")
    except EnvironmentFault:
        return False
    return True


def _planned_builder(parts: Parts) -> Iterator[Line]:
    if parts.builder is None:
        return
    try:
        state = parts.builder.state()
    except DevtoolsError:
        state = "absent"  # docker cannot tell: all that an empty machine needs
    yield Line(stage="builder", command=parts.builder.tool.list())
    if state != "running":
        text = parts.builder.configuration.encode()
        yield Line(stage="builder", command=Command(argv=("cat",), stdin=text), to=parts.builder.config)
    for command in parts.builder.planned(state):
        yield Line(stage="builder", command=command)


def _planned_images(parts: Parts) -> Iterator[Line]:
    from devtools.commands.images.preload import preload_commands

    if wants_images(parts):
        for command in preload_commands(parts.app):
            yield Line(stage="images", command=command)


def _planned_specs(parts: Parts) -> Iterator[Line]:
    yield Line(stage="specs", command=_invoke(parts, "specs"))


def _planned_tilt(parts: Parts, *, push: bool) -> Iterator[Line]:
    if parts.tilt is None and parts.has_tiltfile:
        skipped = "" if parts.program else "tilt is not installed; with it"
        command = parts.server.command(*(() if push else (NO_PUSH,)))
        yield Line(stage="tilt", command=command, log=parts.server.log, pid=parts.server.pid_file, skipped=skipped)


def _invoke(parts: Parts, task: str) -> Command:
    """One of our tasks, on the cluster that this one means."""
    from devtools.commands.specs import surroundings

    around = surroundings(parts.app)
    return Command(argv=(*around.invoke, task), env=around.env)
