"""`invoke render`: writes every object of the stack to a file, without a cluster."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.app.stack_cache import is_inside_inputs, with_secrets
from devtools.base.words import plural
from devtools.config.values import with_stand_ins
from devtools.errors import ConfigError, ExitCode, Problem, raise_problems
from devtools.gitops.tree.write import Changes, changes_of, write_changes
from devtools.model import SYNCED, Inputs, Plan, Planned, ReleaseId, Stack
from devtools.planning.plan import Selection, behind
from devtools.planning.selection import choose
from devtools.project import Project, Request
from devtools.redaction import Redactor
from devtools.rendering.files import files_of
from devtools.rendering.steps import render_steps
from devtools.report.text import Line, Span
from devtools.toolchain.versions import tool

VERSION = 1  # of the JSON document
_ENGINE = "render"  # marks generated files in the directory's manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    name: str = ""  # of a layer
    to: str = ""
    values: bool = False
    show_secrets: bool = False
    overwrite: bool = False
    options: Options


def render(app: App, typed: Arguments) -> ExitCode:
    """Write every object of the chosen releases to files; raises ConfigError with every chart that does not render."""
    started = time.monotonic()
    out = _directory(app, typed.to)
    project, stack = Project(app), app.stack()
    chosen = choose(stack, typed.name, typed.options.selector)
    whole = Selection(layers=tuple(layer.name for layer in stack.layers))
    request = Request(command="render", stack=stack, selection=whole, options=typed.options)
    project.verify_charts(replace(request, selection=chosen))
    planned = _decrypted(app, project.plan(request, None), chosen)
    asked = [release.id for release in chosen.enabled(stack)]
    files = _files(app, planned.plan, planned.inputs, asked, typed)
    layers = set(chosen.layers)
    narrowed = typed.name or chosen.releases is not None
    changes = changes_of(
        out,
        _ENGINE,
        files,
        shown=Path(typed.to),
        overwrite=typed.overwrite,
        includes=(lambda path: path.parts[0] in layers) if narrowed else None,
    )
    write_changes(changes)
    document = render_json(stack, out, len(asked), len(files), changes, time.monotonic() - started)
    app.show(document, _lines, typed.options.output)
    return ExitCode.OK


def render_json(stack: Stack, out: Path, releases: int, files: int, changes: Changes, seconds: float) -> dict[str, Any]:
    """Return the documented `render` document."""
    return {
        "version": VERSION,
        "kind": "render",
        "stack": stack.name,
        "environment": stack.environment.name,
        "directory": str(out),
        "seconds": round(seconds, 3),
        "releases": releases,
        "files": files,
        "written": [str(path) for path in changes.written],
        "removed": [str(path) for path in changes.removed],
    }


def _directory(app: App, typed: str) -> Path:
    """Return the output directory; ConfigError if it is missing or the repository itself."""
    if not typed:
        raise ConfigError("--to is missing: the directory to write into", hint="invoke render --to rendered")
    out = (app.cwd / typed).resolve()
    if next(path for path in (out, *out.parents) if path.exists()).is_file():
        hint = "choose a directory: invoke render --to rendered"
        raise ConfigError(f"--to {typed} is a file, or below one", hint=hint)
    if app.settings.root.is_relative_to(out):
        raise ConfigError(f"--to {typed} contains the repository", hint="choose a separate directory")
    if is_inside_inputs(app, out):
        raise ConfigError(f"--to {typed} is among the stack's own files", hint="choose a separate directory")
    return out


def _files(
    app: App, plan: Plan, inputs: Inputs, asked: Collection[ReleaseId], typed: Arguments
) -> dict[PurePosixPath, bytes]:
    """Render the requested releases, and those they need, which may have CRDs for their kinds."""
    needed = {one.id for step in plan.steps if step.id in asked for one in behind(plan, step)}
    steps = tuple(step for step in plan.steps if step.id in needed and step.action in SYNCED)
    app.say(f"rendering {plural(len(asked), 'release')}")
    with app.rendering() as rendering:
        version = tool("kube-apiserver").version
        found = render_steps(rendering, replace(plan, steps=steps), inputs.values, None, version)
    problems: list[Problem] = []
    files: dict[PurePosixPath, bytes] = {}
    for step in steps:
        made, release = found[step.id], step.release
        if step.id not in asked:
            continue
        if made.failure:
            text = app.redactor.text(made.failure.message)
            problems.append(Problem(where=release.where, message=f"{release.id} cannot be rendered: {text}"))
            continue
        redactor = None if typed.show_secrets else _redactor(inputs.values[step.id], made)
        files |= files_of(release, made, inputs.values[step.id] if typed.values else None, redactor)
    raise_problems(problems)
    return files


def _decrypted(app: App, planned: Planned, chosen: Selection) -> Planned:
    """Return a plan with encrypted values for the chosen releases; others are rendered only for their kinds."""
    inputs, plan = planned.inputs, planned.plan
    values = with_stand_ins((step.release for step in plan.steps if not chosen.takes(step.release)), inputs.values)
    steps = tuple(step for step in plan.steps if chosen.takes(step.release))
    part = replace(planned, plan=replace(plan, steps=steps), inputs=replace(inputs, values=values))
    return replace(with_secrets(app, part), plan=plan)


def _redactor(values: Any, made: Any) -> Any:
    redactor = Redactor()
    redactor.learn(values, *(item for item in made.rendered.objects if item.get("kind") != "CustomResourceDefinition"))
    return redactor


def _lines(document: dict[str, Any], _: int) -> list[Line]:
    changed = f"{plural(len(document['written']), 'file')} written"
    if document["removed"]:
        changed += f", {len(document['removed'])} removed"
    unchanged = document["files"] - len(document["written"])
    where = f"{plural(document['releases'], 'release')} of {document['environment']} in {document['directory']}"
    return [(Span(f"{where}: {changed}, {unchanged} unchanged"),)]
