"""The stages of a bootstrap, one by one: make sure, look, and say what would be run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from devtools.app.bootstrap_parts import Parts
from devtools.bootstrap.prerequisites import TILT
from devtools.bootstrap.script import Line
from devtools.bootstrap.stages import Stage, State
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.process import Command

_NO_PUSH = "--no-push"  # of infra_config() in infra.star


def registry(parts: Parts) -> Stage:
    """The registry runs."""
    if parts.k3d is None:
        return _unused("registry")
    parts.k3d.ensure_registry(parts.app.say)
    return _registry_ready(parts)


def cluster(parts: Parts) -> Stage:
    """The cluster runs, and what its layers are synced with is there."""
    app = parts.app
    if parts.provider == "context":
        app.provider.find()
    else:
        # k3d brings its own control plane: only what layers need is built
        app.toolchain.ensure(("helm",) if parts.k3d else None, progress=app.say)
        app.provider.ensure(app.say)
    return _cluster_ready(parts)


def builder(parts: Parts) -> Stage:
    """The builder runs, where there is docker to make it with."""
    if parts.builder is None:
        return _no_builder(parts)
    parts.builder.ensure(parts.app.say)
    return _builder_ready(parts)


def images(parts: Parts) -> Stage:
    """Images are pulled when pods first need them."""
    return _images_state(parts)


def specs(parts: Parts) -> Stage:
    """What Tilt reads is written, before Tilt looks."""
    from devtools.app.running import Options  # noqa: PLC0415
    from devtools.app.specs import specs as write  # noqa: PLC0415

    write(parts.app, Options())
    return _specs_state(parts)


def tilt(parts: Parts, *, push: bool) -> Stage:
    """Tilt runs, where there is one; one that runs already is left alone. `parts.tilt` is it."""
    if parts.program is None or not parts.has_tiltfile:
        return _no_tilt(parts)
    if parts.tilt:
        parts.app.say(f"Tilt runs already (pid {parts.tilt.pid}): it is left alone")
    else:
        parts.tilt = parts.server.start(parts.app.say, *(() if push else (_NO_PUSH,)))
    return _tilt_state(parts)


def remove_builder(parts: Parts) -> None:
    """Remove the builder; without Docker or buildx there is none to remove."""
    if parts.builder is None:
        return
    try:
        parts.builder.remove(parts.app.say)
    except EnvironmentFault as error:
        parts.app.say(f"the builder is left as it is: {error.message}")


def states(parts: Parts) -> tuple[Stage, ...]:
    """What there is of each stage; nothing is changed."""
    look: tuple[tuple[str, Callable[[Parts], Stage]], ...] = (
        ("registry", _registry_state),
        ("cluster", _cluster_state),
        ("builder", _builder_state),
        ("images", _images_state),
        ("specs", _specs_state),
        ("tilt", _tilt_state),
    )
    return tuple(_looked(name, one, parts) for name, one in look)


def planned(parts: Parts, *, push: bool) -> tuple[Line, ...]:
    """Every command that a bootstrap would run now, in order; nothing is changed."""
    return (
        *_planned_cluster(parts),
        *_planned_builder(parts),
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


def _planned_specs(parts: Parts) -> Iterator[Line]:
    yield Line(stage="specs", command=_invoke(parts, "specs"))


def _planned_tilt(parts: Parts, *, push: bool) -> Iterator[Line]:
    if parts.tilt is None and parts.has_tiltfile:
        skipped = "" if parts.program else "tilt is not installed; with it"
        command = parts.server.command(*(() if push else (_NO_PUSH,)))
        yield Line(stage="tilt", command=command, log=parts.server.log, pid=parts.server.pid_file, skipped=skipped)


def _invoke(parts: Parts, task: str) -> Command:
    """One of our tasks, on the cluster that this one means."""
    from devtools.app.specs import surroundings  # noqa: PLC0415

    around = surroundings(parts.app)
    return Command(argv=(*around.invoke, task), env=around.env)


def _looked(name: str, look: Callable[[Parts], Stage], parts: Parts) -> Stage:
    """The state of one stage; what cannot be told is broken, with the reason."""
    try:
        return look(parts)
    except DevtoolsError as error:
        return Stage(stage=name, state="broken", detail=error.message, hint=error.hint)


def _unused(stage: str) -> Stage:
    return Stage(stage=stage, state="unused", detail="only k3d has one")


def _registry_ready(parts: Parts) -> Stage:
    return Stage(stage="registry", state="ready", detail=f"localhost:{parts.app.settings.cluster.registry_port}")


def _registry_state(parts: Parts) -> Stage:
    if parts.k3d is None:
        return _unused("registry")
    state = parts.k3d.registry_state()
    if state == "running":
        return _registry_ready(parts)
    return Stage(stage="registry", state="missing" if state == "absent" else "stopped", hint="invoke bootstrap")


def _cluster_ready(parts: Parts) -> Stage:
    return Stage(stage="cluster", state="ready", detail=f"{parts.context}, kubeconfig {parts.kubeconfig}")


def _cluster_state(parts: Parts) -> Stage:
    found = parts.app.provider.status()
    if found.state == "running":
        return _cluster_ready(parts)
    names: dict[str, State] = {"absent": "missing", "stopped": "stopped"}
    state = names.get(found.state, "broken")
    return Stage(stage="cluster", state=state, detail=found.problem, hint=found.hint or "invoke bootstrap")


def _no_builder(parts: Parts) -> Stage:
    if parts.k3d is None:
        return _unused("builder")
    return Stage(stage="builder", state="missing", detail="there is no docker program", hint="install docker's CLI")


def _builder_ready(parts: Parts) -> Stage:
    name = parts.builder.name if parts.builder else ""
    return Stage(stage="builder", state="ready", detail=f"docker buildx build --builder {name}")


def _builder_state(parts: Parts) -> Stage:
    if parts.builder is None:
        return _no_builder(parts)
    state = parts.builder.state()
    if state == "running":
        return _builder_ready(parts)
    names: dict[str, State] = {"absent": "missing", "foreign": "foreign"}
    return Stage(stage="builder", state=names.get(state, "stopped"), hint="invoke bootstrap")


def _images_state(_: Parts) -> Stage:
    return Stage(stage="images", state="unused", detail="pulled when pods first need them")


def _specs_state(parts: Parts) -> Stage:
    from devtools.app.running import Options, load  # noqa: PLC0415
    from devtools.app.specs import surroundings  # noqa: PLC0415
    from devtools.tilt.specs import FILE, layer_specs, to_json  # noqa: PLC0415

    app = parts.app
    path = app.settings.root / FILE
    if not path.is_file():
        return Stage(stage="specs", state="missing", hint="invoke specs")
    if path.read_text(encoding="utf-8") != to_json(layer_specs(load(app, Options()), surroundings(app))):
        return Stage(stage="specs", state="stale", detail=str(FILE), hint="invoke specs")
    return Stage(stage="specs", state="ready", detail=str(FILE))


def _no_tilt(parts: Parts) -> Stage:
    if not parts.has_tiltfile:
        return Stage(stage="tilt", state="unused", detail="there is no Tiltfile here")
    hint = f"install it: {TILT}; without it: invoke up"
    return Stage(stage="tilt", state="missing", detail="tilt is not installed", hint=hint)


def _tilt_state(parts: Parts) -> Stage:
    if parts.tilt is None:
        missing = _no_tilt(parts)
        is_there = parts.program and parts.has_tiltfile
        return replace(missing, detail="not started", hint="invoke bootstrap") if is_there else missing
    whose = "" if parts.tilt.ours else ", started by somebody else"
    if parts.tilt.context != parts.context:
        detail = f"pid {parts.tilt.pid} works on {parts.tilt.context or 'no cluster'}{whose}"
        return Stage(stage="tilt", state="foreign", detail=detail, hint="invoke bootstrap.down --keep-cluster")
    return Stage(stage="tilt", state="ready", detail=f"pid {parts.tilt.pid}{whose}, {parts.tilt.url}")
