"""Changes files in Git: edits a scratch work tree, shows the effect on rendered objects, commits on a branch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from devtools.app.environment import App
from devtools.commands.gitops.preview import checkout_of
from devtools.commands.gitops.sides import compare_sides, difference_json, difference_lines, side_of
from devtools.errors import ConfigError, ExitCode
from devtools.gitops.tree.git import Repository
from devtools.model import Release, Stack
from devtools.planning.selection import find_release
from devtools.report.text import Line, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change to make in Git, and its names."""

    kind: str  # of the JSON document
    environment: str  # the environment whose releases change
    before: str  # names of the two sides
    after: str
    releases: tuple[Release, ...]
    subject: str
    trailers: Mapping[str, str]
    branch: str
    dry_run: bool
    output: str


def repository(app: App) -> Repository:
    """Return the project's Git repository; raises ConfigError if there is none, EnvironmentFault without git."""
    program = app.git()
    top = checkout_of(app, app.settings.root)
    if not (top / ".git").exists():
        raise ConfigError(f"{app.settings.root} is not in a Git repository", hint="git init, then commit")
    return Repository(program=program, top=top, runner=app.runner)


def find_components(stack: Stack, typed: str) -> tuple[Release, ...]:
    """Return the releases of a list `api,web`; ConfigError for each that is not installed."""
    found = tuple(find_release(stack, name) for name in dict.fromkeys(filter(None, typed.split(","))))
    if not found:
        raise ConfigError("no component is named", hint="name releases: api, or api,web")
    for release in found:
        if not release.installed:
            message = f"{release.id} is not installed in {stack.environment.name}"
            raise ConfigError(message, hint=f"it is disabled by {release.disabled_by}" if release.disabled_by else "")
    return found


def make_change(app: App, change: Change, edit: Callable[[App], Sequence[str]]) -> ExitCode:
    """Edit files in a scratch work tree, show the effect on rendered objects, and commit unless it is a dry run.

    `edit` receives the app of that tree and returns a line for each change; without lines there is nothing to do.
    """
    started = time.monotonic()
    git = repository(app)
    root = app.settings.root
    if not change.dry_run:
        git.refuse_branch(change.branch)
    _warn(app, git)
    with git.scratch() as tree:
        there = replace(app, cwd=tree / root.relative_to(git.top))
        if not (there.cwd / "layers").exists() and not (there.cwd / "devtools.yaml").exists():
            raise ConfigError("the stack is not in HEAD", hint="commit it first")
        before = side_of(there, change.environment)
        lines = edit(there)
        after = side_of(replace(there), change.environment)
        found = compare_sides(app, before, after, {release.id for release in change.releases})
        effect = difference_json(found, change.before, change.after, time.monotonic() - started)
        commit = ""
        if lines and not change.dry_run:
            commit = git.commit_branch(tree, change.branch, _message(change, lines))
    document = {
        "version": 1,
        "kind": change.kind,
        "environment": change.environment,
        "components": [str(release.id) for release in change.releases],
        "changes": list(lines),
        "branch": change.branch if commit else "",
        "commit": commit,
        "effect": effect,
    }

    app.show(document, _lines, change.output)
    return ExitCode.CONFIG if effect["counts"]["not_predicted"] else ExitCode.OK


def _warn(app: App, git: Repository) -> None:
    if git.is_changed([str(app.settings.root)]):
        app.say("uncommitted changes are left out: the branch begins at HEAD")


def _message(change: Change, lines: Iterable[str]) -> str:
    trailers = "\n".join(f"{key}: {value}" for key, value in change.trailers.items())
    return f"{change.subject}\n\n" + "\n".join(lines) + f"\n\n{trailers}\n"


def _lines(document: Mapping[str, Any], width: int) -> list[Line]:
    if not document["changes"]:
        return [(Span(f"nothing to change in {document['environment']}", "good"),)]
    lines: list[Line] = [(Span(line),) for line in document["changes"]]
    lines += [(), *difference_lines(document["effect"], width), ()]
    if document["branch"]:
        lines.append((Span(f"committed on branch {document['branch']}: git push origin {document['branch']}", "good"),))
    else:
        lines.append((Span("dry run: no branch was made", "dim"),))
    return lines
