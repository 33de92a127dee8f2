"""`invoke images.preload`: loads images into the nodes of the cluster, whichever provider created it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from devtools.app.environment import App
from devtools.app.providers import embedded_layout, k3d_config, k3d_tool
from devtools.base.key_types import duration
from devtools.clusters.ctr import Ctr
from devtools.clusters.embedded.node.images import NodeImages
from devtools.clusters.k3d.config import Registry
from devtools.clusters.k3d.images import K3dImages, Preloaded, Via
from devtools.clusters.k3d.provider import K3dProvider
from devtools.config.validate import suggestion
from devtools.docker.images import DockerImages
from devtools.errors import ConfigError, EnvironmentFault, ExitCode
from devtools.images.catalog import Pinned, load_catalog
from devtools.images.fetch import ImageFetcher
from devtools.images.pinning import pin
from devtools.process.runner import Command
from devtools.report.text import Line, Span, clean

VERSION = 1  # of the JSON document
DEFAULT_TIMEOUT = "5m"
_HINT = "its nodes pull images themselves, from registries that they can reach"


def preload(
    app: App,
    names: Sequence[str] = (),
    *,
    via: str = "registry",
    timeout: str = DEFAULT_TIMEOUT,
    dry_run: bool = False,
    output: str = "text",
) -> ExitCode:
    """Load the named images of images.yaml, or all, into every node; all are tried before failures are reported.

    `timeout` is a duration for each command, pull, build or push. Raises ConfigError for an existing cluster, an
    unknown name or an invalid option; EnvironmentFault if there is no running cluster.
    """
    if dry_run:
        return _planned(app, preload_commands(app, names, via=via, timeout=timeout), output)
    results, there = load_images(app, names, via=via, timeout=timeout)
    if not results:
        app.say("images.yaml lists no images")
    document = {
        "version": VERSION,
        "kind": "images-preload",
        "provider": app.provider_name,
        "images": [_row(result) for result in results],
        "there": list(there),
    }
    app.show(document, _lines, output)
    if there and output == "text":
        app.say(f"the real node has {', '.join(there)}")
    return _code(results)


def load_images(
    app: App, names: Sequence[str] = (), *, via: str = "registry", timeout: str = DEFAULT_TIMEOUT
) -> tuple[tuple[Preloaded, ...], tuple[str, ...]]:
    """Do the work of `preload`: return each image's result, and the images of the embedded real node."""
    chosen, way, seconds = _chosen(app, names), _via(via), _seconds(timeout)
    if app.provider_name == "context":
        message = f"cluster {app.cluster_name} was not created by devtools: images.preload does not change it"
        raise ConfigError(message, hint=_HINT)
    if app.provider_name == "kwok":
        return _embedded(app, chosen, seconds, asked=bool(names))
    if chosen and way == "registry":
        results = _k3d(app, seconds, cast("K3dProvider", app.provider).ensure_registry(app.say)).load(chosen, way)
    else:
        results = _k3d(app, seconds).load(chosen, way)
    _pin(app, results)
    return results, ()


def lacking(app: App) -> tuple[str, ...] | None:
    """Return the images of images.yaml that a node of the k3d cluster lacks; None if images do not apply."""
    chosen = _chosen(app, ())
    if app.provider_name != "k3d" or not chosen:
        return None
    return tuple(map(str, _k3d(app, _seconds(DEFAULT_TIMEOUT)).lacking(chosen)))


def preload_commands(
    app: App, names: Sequence[str] = (), *, via: str = "registry", timeout: str = DEFAULT_TIMEOUT
) -> tuple[Command, ...]:
    """Return equivalent commands for `preload`, from files alone.

    Empty for the embedded cluster, which fetches nothing unless an image is requested by name.
    """
    chosen, way, seconds = _chosen(app, names), _via(via), _seconds(timeout)
    if app.provider_name == "k3d":
        return _k3d(app, seconds).commands(chosen, way)
    if app.provider_name == "context" or not names:
        return ()
    fetch, archive = _obtain(app, seconds), Path("image.tar")
    ctr = Ctr(socket=embedded_layout(app).runtime / "containerd.sock")
    found: list[Command] = []
    for image in chosen:
        save = fetch.docker_command("save", "--output", str(archive), str(image))
        found += [*fetch.commands(image), save, Command(argv=ctr.load(archive), timeout=seconds)]
    return tuple(found)


def _chosen(app: App, names: Sequence[str]) -> tuple[Pinned, ...]:
    return load_catalog(app.settings.root).chosen(names)


def _via(typed: str) -> Via:
    if typed not in get_args(Via):
        raise ConfigError(f"images cannot be loaded via '{typed}'", hint=suggestion(typed, get_args(Via), "ways"))
    return cast("Via", typed)


def _seconds(typed: str) -> float:
    try:
        return duration(int(typed) if typed.isdecimal() else typed)
    except ValueError as error:
        raise ConfigError(f"--timeout {error}") from error


def _obtain(app: App, timeout: float) -> ImageFetcher:
    return ImageFetcher(
        engine=DockerImages(app.environ, app.cancel),
        runner=app.runner,
        docker=app.which("docker") or Path("docker"),
        timeout=timeout,
        say=app.say,
    )


def _k3d(app: App, timeout: float, registry: Registry | None = None) -> K3dImages:
    """Return the loader for k3d; `registry` is the existing one, else the configured one."""
    fetch = _obtain(app, timeout)
    config = k3d_config(app)
    return K3dImages(
        config=dataclasses.replace(config, registry=registry or config.registry),
        runner=app.runner,
        tool=k3d_tool(app),
        engine=fetch.engine,
        fetch=fetch,
        timeout=timeout,
        say=app.say,
        cancel=app.cancel,
    )


def _embedded(
    app: App, chosen: Iterable[Pinned], timeout: float, *, asked: bool
) -> tuple[tuple[Preloaded, ...], tuple[str, ...]]:
    """Return the results, and the real node's images afterwards; without a real node no image is needed."""
    cluster = app.find_cluster()
    if not cluster.real_node:
        why = f"cluster {cluster.name} has no real node: all its pods are simulated and need no image"
        if asked:
            raise EnvironmentFault(why, hint="invoke cluster.status")
        app.say(why)
        return tuple(Preloaded(image=image, state="not needed") for image in chosen), ()
    images = _node_images(app, cluster.real_node, timeout)
    return tuple(images.load(image, asked=asked) for image in chosen), images.there()


def _node_images(app: App, node: str, timeout: float) -> NodeImages:
    from devtools.clusters.embedded.node.real_node import found

    socket = embedded_layout(app).runtime / "containerd.sock"
    fetch = _obtain(app, timeout) if app.docker_answers() else None
    ctr = Ctr(program=found("ctr"), socket=socket)
    return NodeImages(node=node, ctr=ctr, runner=app.runner, fetch=fetch, timeout=timeout, say=app.say)


def _pin(app: App, results: Iterable[Preloaded]) -> None:
    """Write digests of images pulled for the first time into images.yaml, as vendoring does with the lock."""
    digests = {str(r.image): r.digest for r in results if r.digest and not r.image.digest}
    for name in pin(app.settings.root, digests):
        app.say(f"pinned {name} at {digests[name]}")


def _code(results: Iterable[Preloaded]) -> ExitCode:
    """Return the exit code: a broken environment before a failed build, a timeout only if nothing else failed."""
    codes = {result.code for result in results}
    order = (ExitCode.BUG, ExitCode.ENVIRONMENT, ExitCode.CONFIG, ExitCode.FAILED, ExitCode.TIMEOUT)
    return next((code for code in order if code in codes), ExitCode.OK)


def _planned(app: App, commands: Sequence[Command], output: str) -> ExitCode:
    shown = [command.display() for command in commands]
    document = {"version": VERSION, "kind": "images-preload-plan", "commands": shown}
    app.show(document, lambda *_: [(Span(line),) for line in shown], output)
    if not commands and output == "text":
        app.say(f"no images are loaded into cluster {app.cluster_name} (provider {app.provider_name})")
    return ExitCode.OK


def _lines(document: Mapping[str, Any], _: int) -> list[Line]:
    width = max((len(row["image"]) for row in document["images"]), default=0)
    lines = []
    for row in document["images"]:
        note = row["problem"] or ", ".join(row["nodes"])
        lines.append(f"{row['state']:<10}  {row['image']:<{width}}  {note}")
        lines += [f"{'':<10}  {row['hint']}"] if row["hint"] else []
    return [(Span(clean(line)),) for line in lines]


def _row(result: Preloaded) -> dict[str, Any]:
    return {
        "image": str(result.image),
        "state": result.state,
        "nodes": list(result.nodes),
        "digest": result.digest or result.image.digest or None,
        "problem": result.problem,
        "hint": result.hint,
    }
