"""The stages of a bootstrap, in order: creation, state, commands for a dry run, and removal of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from devtools.base.open_file import read_source
from devtools.bootstrap.dry_run_script import Line
from devtools.bootstrap.prerequisites import INSTALL_BUILDX, TILT
from devtools.bootstrap.processes import Process
from devtools.bootstrap.report import StageStatus, State
from devtools.bootstrap.tilt_process import Running
from devtools.commands.bootstrap.context import NO_PUSH, TILTFILE, BootstrapContext
from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode
from devtools.process.runner import Command


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: a row of the table at the end.

    `ensure` creates what is missing and raises EnvironmentFault, TimedOut or Interrupted; `status` and `commands` (the
    commands of `ensure`) change nothing; `remove` is not an error if there is nothing to remove.
    """

    name: str
    ensure: Callable[[BootstrapContext], StageStatus]
    status: Callable[[BootstrapContext], StageStatus]
    commands: Callable[[BootstrapContext], Iterable[Line]]
    remove: Callable[[BootstrapContext], None] = lambda _: None


def status_of(stage: Stage, context: BootstrapContext) -> StageStatus:
    """Return the state of a stage; `broken` with the reason if it cannot be determined."""
    try:
        return stage.status(context)
    except DevtoolsError as error:
        return _is(stage.name, "broken", error.message, error.hint)


def _is(stage: str, state: State, detail: str = "", hint: str = "") -> StageStatus:
    return StageStatus(stage=stage, state=state, detail=detail, hint=hint)


def _lines(stage: str, commands: Iterable[Command]) -> Iterable[Line]:
    return (Line(stage=stage, command=command) for command in commands)


def _ensure_registry(context: BootstrapContext) -> StageStatus:
    if context.k3d is None:
        return _only_k3d("registry")
    return _registry_ready(context.k3d.ensure_registry(context.app.say).port)


def _registry_status(context: BootstrapContext) -> StageStatus:
    if context.k3d is None:
        return _only_k3d("registry")
    state = context.k3d.registry_state()
    if state == "running":
        return _registry_ready(context.k3d.registry_port())
    return _is("registry", "missing" if state == "absent" else "stopped", hint="invoke bootstrap")


def _registry_commands(context: BootstrapContext) -> Iterable[Line]:
    return _lines("registry", context.k3d_commands[0])


def _remove_registry(context: BootstrapContext) -> None:
    if context.k3d:
        context.k3d.delete_registry(context.app.say)


def _registry_ready(port: int) -> StageStatus:
    return _is("registry", "ready", f"localhost:{port}")


def _only_k3d(stage: str) -> StageStatus:
    return _is(stage, "unused", "only k3d has one")


def _ensure_cluster(context: BootstrapContext) -> StageStatus:
    app, provider = context.app, context.provider
    # Only the embedded cluster needs the tools of a control plane; layers and Tilt need helm everywhere.
    app.toolchain.ensure(None if provider == "kwok" else ("helm",), progress=app.say)
    if provider == "context":
        app.provider.find()
    else:
        app.provider.ensure(app.say)
    return _cluster_ready(context)


def _cluster_status(context: BootstrapContext) -> StageStatus:
    found = context.app.provider.status()
    if found.state == "running":
        return _cluster_ready(context)
    names: dict[str, State] = {"absent": "missing", "stopped": "stopped"}
    return _is("cluster", names.get(found.state, "broken"), found.problem, found.hint or "invoke bootstrap")


def _cluster_commands(context: BootstrapContext) -> Iterable[Line]:
    if context.k3d is None:
        if context.provider == "kwok":  # created by many commands and API calls, so the dry run prints the task
            yield Line(stage="cluster", command=context.invoke("cluster.create"))
        return
    try:
        context.app.toolchain.path("helm")
    except EnvironmentFault:
        yield Line(stage="tools", command=context.invoke("toolchain"))
    *make, kubeconfig = context.k3d_commands[1]
    yield from _lines("cluster", make)
    through: tuple[str, ...] = ()
    if network := context.k3d.container_network():
        join = Command(argv=("docker", "network", "connect", network.name, network.container))
        yield Line(stage="cluster", command=join)  # the stage itself uses an API call
        through = ("sed", f"s|^\\( *server:\\) .*|\\1 {network.server}|")
    yield Line(stage="cluster", command=kubeconfig, to=context.kubeconfig, through=through)


def _remove_cluster(context: BootstrapContext) -> None:
    if context.provider != "context":
        context.app.provider.delete(context.app.say)


def _cluster_ready(context: BootstrapContext) -> StageStatus:
    return _is("cluster", "ready", f"{context.context}, kubeconfig {context.kubeconfig}")


def _ensure_builder(context: BootstrapContext) -> StageStatus:
    if context.builder is None:
        return _no_builder(context)
    context.builder.ensure(context.app.say)
    return _builder_ready(context.builder.name)


def _builder_status(context: BootstrapContext) -> StageStatus:
    if context.builder is None:
        return _no_builder(context)
    state = context.builder.state()
    if state == "running":
        return _builder_ready(context.builder.name)
    names: dict[str, State] = {"absent": "missing", "foreign": "foreign"}
    return _is("builder", names.get(state, "stopped"), hint="invoke bootstrap")


def _builder_commands(context: BootstrapContext) -> Iterable[Line]:
    builder = context.builder
    if builder is None:
        return
    try:
        state = builder.state()
    except DevtoolsError:
        state = "absent"  # docker does not answer: the commands for an empty machine
    yield Line(stage="builder", command=builder.tool.list())
    if state != "running":
        text = builder.configuration.encode()
        yield Line(stage="builder", command=Command(argv=("cat",), stdin=text), to=builder.config)
    yield from _lines("builder", builder.planned(state))


def _remove_builder(context: BootstrapContext) -> None:
    try:
        if context.builder:
            context.builder.remove(context.app.say)
    except EnvironmentFault as error:
        context.app.say(f"the builder is left as it is: {error.message}")


def _builder_ready(name: str) -> StageStatus:
    return _is("builder", "ready", f"docker buildx build --builder {name}")


def _no_builder(context: BootstrapContext) -> StageStatus:
    if context.k3d is None:
        return _only_k3d("builder")
    return _is("builder", "missing", context.no_builder, INSTALL_BUILDX)


def _ensure_images(context: BootstrapContext) -> StageStatus:
    """Load the images of images.yaml into every node; a failure is reported and does not stop the bootstrap."""
    from devtools.commands.images.preload import load_images

    if not _has_images(context):
        return _no_images(context)
    results, _ = load_images(context.app)
    failed = [result for result in results if result.problem]
    if not failed:
        return _is("images", "ready", f"{len(results)} in every node")
    detail = "; ".join(f"{result.image}: {result.problem}" for result in failed)
    return replace(_is("images", "broken", detail, "invoke images.preload"), code=failed[0].code)


def _images_status(context: BootstrapContext) -> StageStatus:
    from devtools.commands.images.preload import lacking

    if not _has_images(context):
        return _no_images(context)
    if _cluster_status(context).state != "ready":
        return _is("images", "missing", "without a cluster", "invoke bootstrap")
    if left := lacking(context.app):
        return _is("images", "missing", ", ".join(left), "invoke images.preload")
    return _is("images", "ready", "in every node")


def _images_commands(context: BootstrapContext) -> Iterable[Line]:
    from devtools.commands.images.preload import preload_commands

    return _lines("images", preload_commands(context.app)) if _has_images(context) else ()


def _has_images(context: BootstrapContext) -> bool:
    from devtools.images.catalog import load_catalog

    return context.k3d is not None and bool(load_catalog(context.app.settings.root).images)


def _no_images(context: BootstrapContext) -> StageStatus:
    detail = "images.yaml names none" if context.k3d else "images are not loaded into this cluster"
    return _is("images", "unused", detail)


def _ensure_specs(context: BootstrapContext) -> StageStatus:
    from devtools.app.options import Options
    from devtools.commands.specs import specs

    specs(context.app, Options())
    return _specs_status(context)


def _specs_status(context: BootstrapContext) -> StageStatus:
    from devtools.commands.specs import surroundings
    from devtools.tilt.specs import FILE, layer_specs, to_json

    app = context.app
    path = app.settings.root / FILE
    if not path.is_file():
        return _is("specs", "missing", hint="invoke specs")
    if read_source(path).decode() != to_json(layer_specs(app.stack(), surroundings(app))):
        return _is("specs", "stale", str(FILE), "invoke specs")
    return _is("specs", "ready", str(FILE))


def _ensure_tilt(context: BootstrapContext) -> StageStatus:
    """Start Tilt and wait until it has loaded the Tiltfile; a running Tilt is left alone."""
    running, process, say = context.tilt, context.process, context.app.say
    if context.program is None or not context.has_tiltfile:
        return _no_tilt(context)
    if running:
        without = f", started with {NO_PUSH}" if context.push and NO_PUSH in running.command else ""
        say(f"Tilt runs already (pid {running.pid}){without}: it is left alone")
    else:
        if orphans := process.orphans():
            say(f"{_orphans(orphans)}; layers wait for what holds the run lock")
        running = process.start(say, *context.tilt_arguments)
    return _tilt_running(context, running, process.await_load(running, say))


def _tilt_status(context: BootstrapContext) -> StageStatus:
    running, process = context.tilt, context.process
    if running is None:
        return _tilt_missing(context)
    if running.context != context.context:
        detail = f"pid {running.pid} works on {running.context or 'no cluster'}{_starter(running)}"
        return _tilt_at(context, running, _is("tilt", "foreign", detail, "invoke bootstrap.down --keep-cluster"))
    found = _tilt_running(context, running, process.load_error(running))
    dead = process.dead_watches(running) if found.ok else {}
    if not dead:
        return found
    reason = next(iter(dead.values()))
    detail = f"{found.detail}, does not notice changed files of {', '.join(dead)}:\n{reason}"
    hint = "raise the limit, then: invoke bootstrap.down --keep-cluster; invoke bootstrap"
    return replace(found, state="broken", detail=detail, hint=hint)


def _tilt_commands(context: BootstrapContext) -> Iterable[Line]:
    if context.tilt is None and context.has_tiltfile:
        skipped = "" if context.program else "tilt is not installed; with it"
        command, process = context.process.command(*context.tilt_arguments), context.process
        yield Line(stage="tilt", command=command, log=process.log, pid=process.pid_file, skipped=skipped)


def _remove_tilt(context: BootstrapContext) -> None:
    if not context.process.stop(context.app.say) and context.tilt:
        context.app.say(f"Tilt (pid {context.tilt.pid}) was not started by invoke bootstrap: it is left alone")


def _tilt_missing(context: BootstrapContext) -> StageStatus:
    """Return the state if Tilt does not run: it cannot, it was not started, or it ended by itself."""
    process = context.process
    if not (context.program and context.has_tiltfile):
        return _no_tilt(context)
    if orphans := process.orphans():
        hint = "invoke bootstrap, or end them first: invoke bootstrap.down --keep-cluster"
        return _is("tilt", "stopped", _orphans(orphans), hint)
    if process.ended_unexpectedly():
        return _is("tilt", "stopped", f"ended without being stopped, log in {process.log}", "invoke bootstrap")
    return _is("tilt", "missing", "not started", "invoke bootstrap")


def _no_tilt(context: BootstrapContext) -> StageStatus:
    if not context.has_tiltfile:
        return _is("tilt", "unused", "there is no Tiltfile here")
    return _is("tilt", "missing", "tilt is not installed", f"install it: {TILT}; without it: invoke up")


def _tilt_running(context: BootstrapContext, running: Running, error: str | None) -> StageStatus:
    """Return the state if Tilt runs: ready once its Tiltfile is loaded (`error` is None until then)."""
    where = f"pid {running.pid}{_starter(running)}, {running.url}"
    if error:
        path = context.app.settings.root / TILTFILE
        hint = f"correct {path}: Tilt then loads it by itself; invoke bootstrap.status"
        found = _is("tilt", "broken", f"{where}, the Tiltfile did not load:\n{error}", hint)
        found = replace(found, code=ExitCode.CONFIG)
    elif error is None:
        found = _is("tilt", "loading", f"{where}, the Tiltfile is being loaded")
    else:
        found = _is("tilt", "ready", where)
    return _tilt_at(context, running, found)


def _tilt_at(context: BootstrapContext, running: Running, found: StageStatus) -> StageStatus:
    return replace(found, ui=running.url, log=str(context.process.log) if running.ours else "")


def _starter(running: Running) -> str:
    return "" if running.ours else ", not started by invoke bootstrap"


def _orphans(orphans: Sequence[Process]) -> str:
    pids = ", ".join(str(process.pid) for process in orphans)
    return f"Tilt has ended, and commands that it started still run (pid {pids})"


STAGES = (
    Stage(
        "registry",
        _ensure_registry,
        _registry_status,
        lambda c: _lines("registry", c.k3d_commands[0]),
        _remove_registry,
    ),
    Stage("cluster", _ensure_cluster, _cluster_status, _cluster_commands, _remove_cluster),
    Stage("builder", _ensure_builder, _builder_status, _builder_commands, _remove_builder),
    Stage("images", _ensure_images, _images_status, _images_commands),
    Stage("specs", _ensure_specs, _specs_status, lambda c: _lines("specs", [c.invoke("specs")])),
    Stage("tilt", _ensure_tilt, _tilt_status, _tilt_commands, _remove_tilt),
)
