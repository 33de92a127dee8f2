"""`invoke gitops.rollback`: reverts an environment's component to before its last change, on a git branch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.commands.gitops.export import gitops_settings, place_of, require_exported
from devtools.commands.promotion.branch import Change, find_components, make_change, repository
from devtools.config.stack import load_stack
from devtools.errors import ConfigError, ExitCode
from devtools.gitops.tree.git import Repository
from devtools.gitops.tree.write import MANIFEST, note_restored
from devtools.model import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    components: str = ""
    environment: str = ""
    to_ref: str = ""  # empty: before the last change
    branch: str = ""
    dry_run: bool = False
    output: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Revision:
    """The commit that a component is restored from, and its files there."""

    commit: str
    note: str
    paths: tuple[str, ...]  # from the top of the repository


def rollback(app: App, typed: Arguments) -> ExitCode:
    """Restore the overlays and exported files of components, show the effect, and commit on a branch."""
    settings = gitops_settings(app)
    name = typed.environment
    if not name:
        hint = "invoke gitops.rollback api --env staging"
        raise ConfigError("--env is missing: the environment to change", hint=hint)
    require_exported(settings, name)
    releases = find_components(load_stack(app.settings, name, app.real_charts), typed.components)
    git = repository(app)
    revisions = [_revision(app, git, release, typed) for release in releases]
    names = ", ".join(release.name for release in releases)
    change = Change(
        kind="gitops-rollback",
        environment=name,
        before=f"{name} at HEAD",
        after=f"{name} with {names} as {revisions[0].note}" if len(revisions) == 1 else f"{name} rolled back",
        releases=releases,
        subject=f"Roll {names} back in {name}",
        trailers={"Rolled-back-in": name, "Rolled-back-to": revisions[0].commit},
        branch=typed.branch or f"rollback/{name}/{'-'.join(release.name for release in releases)}",
        dry_run=typed.dry_run,
        output=typed.output,
    )
    return make_change(app, change, lambda there: _restore(app, there, git, revisions))


def _revision(app: App, git: Repository, release: Release, typed: Arguments) -> _Revision:
    """Return the revision to restore; ConfigError if nothing ever changed the component in this environment."""
    paths = tuple(_paths(app, git, release, typed.environment))
    if typed.to_ref:
        commit = git.commit_of(typed.to_ref)
        return _Revision(commit=commit, note=f"at {typed.to_ref}", paths=paths)
    last, subject = git.last_change(paths)
    before = git.parent_of(last) if last else ""
    exported = [path for path in git.differing(before, paths) if path.endswith(".yaml")] if before else []
    if not before or any(git.content(before, path) is None for path in exported if _is_object(app, git, path)):
        message = f"{release.id} has no earlier revision in {typed.environment}"
        raise ConfigError(message, hint="name one: --to REF")
    return _Revision(commit=before, note=f"before {last[:10]} ({subject})", paths=paths)


def _paths(app: App, git: Repository, release: Release, environment: str) -> Iterator[str]:
    """Yield git patterns for the files that belong only to this component."""
    base = app.settings.environments / environment
    top = git.top
    own = [file for file in release.values_files if file.is_relative_to(base)]
    for file in own or [base / release.layer / f"{release.name}.yaml"]:
        yield file.relative_to(top).as_posix()
    out, _ = place_of(app, "")
    if out.is_relative_to(top):
        where = out.relative_to(top).as_posix()
        for folder in (f"environments/{environment}/components", f"addons/environments/{environment}"):
            yield f":(glob){where}/{folder}/*/{release.name}/**"
        yield f":(glob){where}/argocd/applications/{environment}/{release.name}.yaml"
        yield f":(glob){where}/flux/{environment}/**/{release.name}.yaml"


def _is_object(app: App, git: Repository, path: str) -> bool:
    """Return whether a file makes a controller deploy the component, so that deleting it would undeploy that."""
    out, _ = place_of(app, "")
    file = git.top / path
    return file.is_relative_to(out) and (file.name == "component.yaml" or "flux" in file.parts)


def _restore(app: App, there: App, git: Repository, revisions: Sequence[_Revision]) -> list[str]:
    """Restore files in the scratch work tree; return a line for each that changes."""
    inside = app.settings.root.relative_to(git.top).parts
    tree = there.cwd.parents[len(inside) - 1] if inside else there.cwd
    restored: dict[PurePosixPath, bytes | None] = {}
    lines = []
    for revision in revisions:
        for path in git.differing(revision.commit, revision.paths):
            content = git.content(revision.commit, path)
            restored[PurePosixPath(path)] = content
            lines.append(f"{path}: {'removed, ' if content is None else ''}as {revision.note}")
            if content is None:
                (tree / path).unlink(missing_ok=True)
            else:
                write_whole(tree / path, content)
    out, _ = place_of(there, "")
    ours = {
        PurePosixPath((tree / path).relative_to(out).as_posix()): content
        for path, content in restored.items()
        if (tree / path).is_relative_to(out)
    }
    if ours and (out / MANIFEST).exists():
        note_restored(out, ours)
    return lines
