"""The stages of a bootstrap, one by one: make sure, and look."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devtools.base.open_file import read_source
from devtools.bootstrap.prerequisites import INSTALL_BUILDX, TILT
from devtools.bootstrap.processes import Process
from devtools.bootstrap.server import Running
from devtools.bootstrap.stages import Stage, State
from devtools.commands.bootstrap.parts import NO_PUSH, TILTFILE, Parts
from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode


def registry(parts: Parts) -> Stage:
    """The registry runs."""
    if parts.k3d is None:
        return _unused("registry")
    return _registry_ready(parts.k3d.ensure_registry(parts.app.say).port)


def cluster(parts: Parts) -> Stage:
    """The cluster runs, and what its layers are synced with is there."""
    app = parts.app
    # Only the embedded cluster needs the tools of a control plane; layers and Tilt need helm everywhere.
    app.toolchain.ensure(None if parts.provider == "kwok" else ("helm",), progress=app.say)
    if parts.provider == "context":
        app.provider.find()
    else:
        app.provider.ensure(app.say)
    return _cluster_ready(parts)


def builder(parts: Parts) -> Stage:
    """The builder runs, where there is docker to make it with."""
    if parts.builder is None:
        return _no_builder(parts)
    parts.builder.ensure(parts.app.say)
    return _builder_ready(parts)


def images(parts: Parts) -> Stage:
    """Every node has the images of images.yaml; one that cannot be had is told, and stops nothing."""
    from devtools.commands.images.preload import load_images

    if not wants_images(parts):
        return _no_images(parts)
    results, _ = load_images(parts.app)
    failed = [result for result in results if result.problem]
    detail = "; ".join(f"{result.image}: {result.problem}" for result in failed) or f"{len(results)} in every node"
    state: State = "broken" if failed else "ready"
    code = next((result.code for result in failed), ExitCode.OK)
    return Stage(stage="images", state=state, detail=detail, hint="invoke images.preload", code=code)


def specs(parts: Parts) -> Stage:
    """What Tilt reads is written, before Tilt looks."""
    from devtools.app.options import Options
    from devtools.commands.specs import specs as write

    write(parts.app, Options())
    return _specs_state(parts)


def tilt(parts: Parts, *, push: bool) -> Stage:
    """Tilt runs, where there is one; one that runs already is left alone. `parts.tilt` is it."""
    if parts.program is None or not parts.has_tiltfile:
        return _no_tilt(parts)
    if parts.tilt:
        without = f", started with {NO_PUSH}" if push and NO_PUSH in parts.tilt.command else ""
        parts.app.say(f"Tilt runs already (pid {parts.tilt.pid}){without}: it is left alone")
    else:
        if orphans := parts.server.orphans():
            parts.app.say(f"{_still_run(orphans)}; layers wait for what holds the run lock")
        parts.tilt = parts.server.start(parts.app.say, *(() if push else (NO_PUSH,)))
    return _loaded(parts, parts.tilt, parts.server.await_load(parts.tilt, parts.app.say))


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


def _looked(name: str, look: Callable[[Parts], Stage], parts: Parts) -> Stage:
    """The state of one stage; what cannot be told is broken, with the reason."""
    try:
        return look(parts)
    except DevtoolsError as error:
        return Stage(stage=name, state="broken", detail=error.message, hint=error.hint)


def _unused(stage: str) -> Stage:
    return Stage(stage=stage, state="unused", detail="only k3d has one")


def _registry_ready(port: int) -> Stage:
    return Stage(stage="registry", state="ready", detail=f"localhost:{port}")


def _registry_state(parts: Parts) -> Stage:
    if parts.k3d is None:
        return _unused("registry")
    state = parts.k3d.registry_state()
    if state == "running":
        return _registry_ready(parts.k3d.registry_port())
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
    return Stage(stage="builder", state="missing", detail=parts.no_builder, hint=INSTALL_BUILDX)


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


def wants_images(parts: Parts) -> bool:
    """Whether there are images to bring into this cluster."""
    from devtools.images.catalog import load_catalog

    return parts.k3d is not None and bool(load_catalog(parts.app.settings.root).images)


def _no_images(parts: Parts) -> Stage:
    detail = "images are not loaded into this cluster" if parts.k3d is None else "images.yaml names none"
    return Stage(stage="images", state="unused", detail=detail)


def _images_state(parts: Parts) -> Stage:
    from devtools.commands.images.preload import lacking

    if not wants_images(parts):
        return _no_images(parts)
    if _cluster_state(parts).state != "ready":
        return Stage(stage="images", state="missing", detail="without a cluster", hint="invoke bootstrap")
    if left := lacking(parts.app):
        return Stage(stage="images", state="missing", detail=", ".join(left), hint="invoke images.preload")
    return Stage(stage="images", state="ready", detail="in every node")


def _specs_state(parts: Parts) -> Stage:
    from devtools.commands.specs import surroundings
    from devtools.project import Project
    from devtools.tilt.specs import FILE, layer_specs, to_json

    app = parts.app
    path = app.settings.root / FILE
    if not path.is_file():
        return Stage(stage="specs", state="missing", hint="invoke specs")
    if read_source(path).decode() != to_json(layer_specs(Project(app).stack(), surroundings(app))):
        return Stage(stage="specs", state="stale", detail=str(FILE), hint="invoke specs")
    return Stage(stage="specs", state="ready", detail=str(FILE))


def _no_tilt(parts: Parts) -> Stage:
    if not parts.has_tiltfile:
        return Stage(stage="tilt", state="unused", detail="there is no Tiltfile here")
    hint = f"install it: {TILT}; without it: invoke up"
    return Stage(stage="tilt", state="missing", detail="tilt is not installed", hint=hint)


def _tilt_state(parts: Parts) -> Stage:
    if parts.tilt is None:
        return _tilt_missing(parts)
    if parts.tilt.context != parts.context:
        detail = f"pid {parts.tilt.pid} works on {parts.tilt.context or 'no cluster'}{_starter(parts.tilt)}"
        return Stage(stage="tilt", state="foreign", detail=detail, hint="invoke bootstrap.down --keep-cluster")
    found = _loaded(parts, parts.tilt, parts.server.load_error(parts.tilt))
    dead = parts.server.dead_watches(parts.tilt) if found.ok else {}
    if not dead:
        return found
    reason = next(iter(dead.values()))
    detail = f"{found.detail}, does not notice changed files of {', '.join(dead)}:\n{reason}"
    hint = "raise the limit, then: invoke bootstrap.down --keep-cluster; invoke bootstrap"
    return Stage(stage="tilt", state="broken", detail=detail, hint=hint)


def _tilt_missing(parts: Parts) -> Stage:
    """Tilt does not run: it cannot, it was not started, or it ended by itself."""
    if not (parts.program and parts.has_tiltfile):
        return _no_tilt(parts)
    if orphans := parts.server.orphans():
        hint = "invoke bootstrap, or end them first: invoke bootstrap.down --keep-cluster"
        return Stage(stage="tilt", state="stopped", detail=_still_run(orphans), hint=hint)
    if parts.server.ended_unasked():
        detail = f"ended without being stopped, log in {parts.server.log}"
        return Stage(stage="tilt", state="stopped", detail=detail, hint="invoke bootstrap")
    return Stage(stage="tilt", state="missing", detail="not started", hint="invoke bootstrap")


def _loaded(parts: Parts, running: Running, error: str | None) -> Stage:
    """Tilt runs; the stage is ready once its Tiltfile is loaded."""
    where = f"pid {running.pid}{_starter(running)}, {running.url}"
    if error is None:
        return Stage(stage="tilt", state="loading", detail=f"{where}, the Tiltfile is being loaded")
    if not error:
        return Stage(stage="tilt", state="ready", detail=where)
    detail = f"{where}, the Tiltfile did not load:\n{error}"
    hint = f"correct {parts.app.settings.root / TILTFILE}: Tilt then loads it by itself; invoke bootstrap.status"
    return Stage(stage="tilt", state="broken", detail=detail, hint=hint, code=ExitCode.CONFIG)


def _starter(running: Running) -> str:
    return "" if running.ours else ", not started by invoke bootstrap"


def _still_run(orphans: Sequence[Process]) -> str:
    pids = ", ".join(str(process.pid) for process in orphans)
    return f"Tilt has ended, and commands that it started still run (pid {pids})"
