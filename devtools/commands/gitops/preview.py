"""`invoke gitops.preview`: shows the Applications that Argo CD generates from exported files, offline.

With `--manifests` each is rendered with helm, with the values in Argo CD's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.archives import unpack
from devtools.base.atomic_write import private_directory
from devtools.base.machine_yaml import read_documents
from devtools.base.open_file import read_source
from devtools.buf.git import Git
from devtools.commands.gitops.verify import repository_url, settings_of
from devtools.config.settings import find_root
from devtools.errors import ConfigError, EnvironmentFault, ExitCode, raise_problems
from devtools.gitops.preview.applications import ApplicationGroup
from devtools.gitops.preview.compare import changes
from devtools.gitops.preview.generate import cluster_secrets
from devtools.gitops.preview.manifests import render
from devtools.gitops.preview.value_files import HelmSource, helm_sources
from devtools.gitops.tree.applications import plain_url
from devtools.gitops.tree.read import Tree, read_tree
from devtools.report.gitops_preview import manifests_text, preview_json, preview_lines

PROGRAM = "argocd-preview"
DEFAULT = "gitops"  # the output directory of `gitops.export`

Sources = Mapping[tuple[str, str], Sequence["HelmSource"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    directory: str = ""
    sets: tuple[str, ...] = ()
    broken: str = ""
    against: str = ""  # a git ref to compare with
    manifests: bool = False
    clusters: str = ""  # a file of cluster Secrets
    new_globbing: bool = False
    output: str = "text"


def preview(app: App, typed: Arguments) -> ExitCode:
    """Show the Applications; FAILED if Argo CD would not generate or sync all of them."""
    directory, root = place_of(app, typed.directory)
    found = generated(app, directory, root, typed)
    sources = sources_of(app, found.tree, found.groups)
    differences = None
    if typed.against:
        with checked_out(app, root, typed.against) as older:
            there = older / directory.relative_to(root)
            before = generated(app, there, older, typed).groups if there.is_dir() else ()
        differences = changes(before, found.groups)
    document = preview_json(found.groups, sources, differences, typed.against, typed.broken)
    _hide_secrets(app, document)
    if typed.manifests:
        _add_manifests(app, document, found, sources)
    app.show(document, preview_lines, typed.output)
    if typed.manifests and typed.output == "text":
        app.out.write("\n" + manifests_text(document))
    return ExitCode.FAILED if _is_broken(document) else ExitCode.OK


def _hide_secrets(app: App, document: dict[str, Any]) -> None:
    applications = [item for group in document["groups"] for item in group["applications"]]
    app.redactor.learn(*(item["spec"] for item in applications))
    for item in applications:
        item["spec"] = app.redactor.hide(item["spec"])
    for change in document.get("changes", ()):
        for field in change["fields"]:
            field.update({key: app.redactor.text(field[key]) for key in ("before", "after")})


def _is_broken(document: Mapping[str, Any]) -> bool:
    """Return whether anything is not generated, not synced or not rendered."""
    return any(
        group["errors"]
        or not group["applications"]
        or group["in_no_step"]
        or any(
            app.get("problem") or any(file["state"] == "missing" for file in app["value_files"])
            for app in group["applications"]
        )
        for group in document["groups"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A tree and the Applications generated from it."""

    tree: Tree
    groups: tuple[ApplicationGroup, ...]


def place_of(app: App, typed: str) -> tuple[Path, Path]:
    """Return the directory of exported files and the repository's root; ConfigError if it does not exist."""
    directory = ((app.cwd / typed) if typed else find_root(app.cwd) / DEFAULT).resolve()
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory", hint="write it with: invoke gitops.export")
    return directory, checkout_of(app, directory)


def checkout_of(app: App, directory: Path) -> Path:
    """Return the top of the git checkout that contains a directory, else the project's root, else the directory."""
    for parent in (directory, *directory.parents):
        if (parent / ".git").exists():
            return parent
    settings = settings_of(app)
    root = settings.root.resolve() if settings else directory
    return root if directory.is_relative_to(root) else directory


def generated(app: App, directory: Path, root: Path, typed: Arguments) -> Generated:
    """Read a directory and generate its Applications; ConfigError for an unknown set or unreadable files."""
    from devtools.gitops.preview.generate import Inputs, groups

    tree = read_tree(directory, root)
    raise_problems(tree.problems)
    inputs = Inputs(
        urls=urls_of(app, directory), clusters=_clusters(app, typed.clusters), new_globbing=typed.new_globbing
    )
    found = groups(tree, lambda: app.tool(PROGRAM), app.runner, inputs)
    if unknown := [name for name in typed.sets if name not in {group.name for group in found}]:
        from devtools.base.words import did_you_mean

        hint = did_you_mean(unknown[0], [group.name for group in found])
        raise ConfigError(f"{directory} has no ApplicationSet {unknown[0]}", hint=hint)
    chosen = tuple(group for group in found if not typed.sets or group.name in typed.sets)
    if typed.broken and not any(group.step_of(typed.broken) for group in chosen):
        raise ConfigError(f"no step has an Application {typed.broken}", hint="invoke gitops.preview lists them")
    return Generated(tree=tree, groups=chosen)


def _clusters(app: App, typed: str) -> tuple[Mapping[str, Any], ...]:
    """Read the cluster Secrets of a file; their contents are hidden in output. ConfigError if there are none."""
    if not typed:
        return ()
    hint = "write a Secret with the label argocd.argoproj.io/secret-type: cluster into it"
    try:
        objects = [item for item in read_documents(read_source(app.cwd / typed)) if isinstance(item, dict)]
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {typed}: {error}", hint=hint) from error
    app.redactor.learn(*objects)
    if not (found := cluster_secrets(objects)):
        raise ConfigError(f"{typed} has no cluster Secrets", hint=hint)
    return found


def urls_of(app: App, directory: Path) -> tuple[str, ...]:
    """Return the URLs of the repository that contains a directory: that of the settings, if they have one."""
    url = repository_url(settings_of(app), directory)
    return (url,) if url else ()


def sources_of(app: App, tree: Tree, found: Sequence[ApplicationGroup]) -> Sources:
    """Return the Helm sources of each Application, by group and name."""
    known = {plain_url(url) for url in urls_of(app, tree.directory)}

    def is_here(url: str) -> bool:
        return not known or plain_url(url) in known

    return {
        (group.name, item.name): helm_sources(item, tree.has, is_here) for group in found for item in group.applications
    }


@contextmanager
def checked_out(app: App, root: Path, ref: str) -> Iterator[Path]:
    """Extract the repository at a git ref into a temporary directory; ConfigError if there is no such ref."""
    git = Git(program=app.git(f": {ref} cannot be read"), directory=root)
    commit = app.runner.run(git.commit_of(ref)).stdout.strip()
    if not commit:
        raise ConfigError(f"{ref} is not a commit of {root}", hint="name a branch, a tag or a commit: --from main")
    with private_directory("gitops") as scratch:
        archive, into = Path(scratch, "tree.tar"), Path(scratch, "tree")
        into.mkdir()
        result = app.runner.run(git.archive(commit, ["."], archive))
        if not result.ok:
            raise EnvironmentFault(f"cannot read {ref}: {result.stderr.strip()}")
        unpack(archive, into)
        yield into


def _add_manifests(app: App, document: dict[str, Any], found: Generated, sources: Sources) -> None:
    """Add `manifests` (objects, secrets hidden) or `problem` to each Application of the document."""
    helm, root = app.tool("helm"), found.tree.root
    applications = {(group.name, item.name): item for group in found.groups for item in group.applications}
    rows = {(group["name"], row["name"]): row for group in document["groups"] for row in group["applications"]}
    with private_directory("gitops") as scratch:
        for name, row in rows.items():
            parts = [
                render(applications[name], one, _chart(app, root, one.source), root, helm, app.runner, scratch)
                for one in sources[name]
            ]
            objects = [item for part in parts for item in read_documents(part.text) if item]
            app.redactor.learn(*objects)
            row["manifests"] = [app.redactor.hide(item) for item in objects]
            if problems := [part.problem for part in parts if part.problem]:
                row["problem"] = app.redactor.text("; ".join(problems))


def _chart(app: App, root: Path, source: Mapping[str, Any]) -> Path | None:
    """Return a source's chart on this disk: a directory of the repository, or the archive that the lock pins."""
    if path := source.get("path"):
        chart = (root / str(path)).resolve()
        return chart if chart.is_relative_to(root) and (chart / "Chart.yaml").is_file() else None
    name, version = str(source.get("chart")), str(source.get("targetRevision"))
    for entry in app.charts.lock.entries.values():
        if entry.name == name.rsplit("/", 1)[-1] and entry.version == version:
            archive = app.charts.archive(entry)
            return archive if archive.is_file() else None
    return None
