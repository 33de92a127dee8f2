"""The invoke tasks of GitOps exports; like `tasks`, nothing else is imported until one runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import SELECTORS, layer_task, our_task, run
from devtools.tasks.gitops.operations import TASKS

if TYPE_CHECKING:
    from devtools.app.options import Options


@our_task(
    *SELECTORS,
    iterable=["env", "layer"],
    help={
        "env": "export only this environment (repeatable; default: all in devtools.yaml)",
        "engine": "argocd, flux or kustomize",
        "out": "directory to write into (default: gitops)",
        "layout": "components, addons or infra",
        "charts": "where controllers take third-party charts from: upstream, extracted or an oci:// registry",
        "order": "rolling, waves or none: how Argo CD keeps the stack's order (default: as devtools.yaml says)",
        "layer": "only components of this layer (repeatable)",
        "revision": "branch, tag or commit that controllers follow (default: as devtools.yaml says)",
        "check": "change nothing; exit 1 if the directory is not as exported",
        "overwrite": "replace files that were edited by hand",
        "dry-run": "print what would change and write nothing",
    },
)
def export(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    engine: str = "argocd",
    env: Sequence[str] | None = None,
    out: str = "",
    layout: str = "components",
    charts: str = "",
    order: str = "",
    layer: Sequence[str] | None = None,
    revision: str = "",
    check: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    output: str = "text",
    *,
    options: Options,
) -> None:
    """Write the stack's environments as files that a GitOps controller reads.

    Examples:
      invoke gitops.export
      invoke gitops.export --engine argocd --env dev --dry-run
      invoke gitops.export --check
      invoke gitops.export --order waves --charts extracted
    """
    from devtools.commands.gitops import export as verb

    typed = verb.Arguments(
        engine=engine,
        environments=tuple(env or ()),
        out=out,
        layout=layout,
        charts=charts,
        order=order,
        revision=revision,
        layers=tuple(layer or ()),
        selector=options.selector,
        check=check,
        dry_run=dry_run,
        overwrite=overwrite,
        output=output,
    )
    run(lambda app: verb.export(app, typed), output)


@layer_task(
    reads=True,
    iterable=["crds"],
    help={
        "name": "the directory of GitOps files (default: gitops/ of this repository)",
        "root": "the repository's root, from which paths in the files count (default: found by those paths)",
        "repository": "the repository's URL (default: as devtools.yaml says; also those whose paths exist here)",
        "crds": "a directory of CRD files, for schemas (repeatable)",
        "schemas": "auto, server (the embedded cluster's API server), kubeconform or none",
    },
)
def verify(
    _: Context,
    name: str = "",
    root: str = "",
    repository: str = "",
    crds: Sequence[str] | None = None,
    schemas: str = "auto",
    output: str = "text",
) -> None:
    """Find what goes wrong silently in a tree for Argo CD or Flux; exit code 1 if there are findings.

    Examples:
      invoke gitops.verify
      invoke gitops.verify ../fleet --output json
      invoke gitops.verify clusters/dev --root .
      invoke gitops.verify --crds ../crds --schemas kubeconform
    """
    from devtools.commands.gitops import verify as verb

    typed = verb.Arguments(directory=name, root=root, repository=repository, crds=tuple(crds or ()), schemas=schemas)
    run(lambda app: verb.verify(app, typed, output), output)


_TREE = {
    "name": "the directory of exported files (default: gitops)",
    "only": "only this ApplicationSet or app-of-apps (repeatable)",
    "clusters": "a file of cluster Secrets of Argo CD, for clusters generators",
    "new-globbing": "match git files as Argo CD does with --enable-new-git-file-globbing",
}


@layer_task(
    reads=True,
    iterable=["only"],
    help={
        **_TREE,
        "broken": "say what waits while this Application is not healthy",
        "manifests": "render every Application with helm, its value files in Argo CD's order",
        "from": "compare with the files at this git ref",
    },
)
def preview(
    _: Context,
    name: str = "",
    only: Sequence[str] | None = None,
    broken: str = "",
    manifests: bool = False,
    from_: str = "",
    clusters: str = "",
    new_globbing: bool = False,
    output: str = "text",
) -> None:
    """Show the Applications that Argo CD will generate from exported files, without a cluster.

    The exit code is 1 if Argo CD would not generate, render or sync all of them.

    Examples:
      invoke gitops.preview
      invoke gitops.preview --from main
      invoke gitops.preview --only shop-dev --broken dev-api
      invoke gitops.preview --manifests --output json
    """
    from devtools.commands.gitops import preview as verb

    typed = verb.Arguments(
        directory=name,
        sets=tuple(only or ()),
        broken=broken,
        against=from_,
        manifests=manifests,
        clusters=clusters,
        new_globbing=new_globbing,
        output=output,
    )
    run(lambda app: verb.preview(app, typed), output)


@layer_task(
    iterable=["only"],
    help={
        **_TREE,
        "golden": "the directory of golden files (default: gitops-golden next to the exported files)",
        "update": "write the golden files instead",
    },
)
def compare_golden(
    _: Context,
    name: str = "",
    only: Sequence[str] | None = None,
    golden: str = "",
    update: bool = False,
    clusters: str = "",
    new_globbing: bool = False,
    output: str = "text",
) -> None:
    """Compare the Applications that Argo CD will generate with golden files; exit code 1 if they differ.

    Examples:
      invoke gitops.test --update
      invoke gitops.test
    """
    from devtools.commands.gitops import golden as verb
    from devtools.commands.gitops.preview import Arguments

    typed = Arguments(
        directory=name, sets=tuple(only or ()), clusters=clusters, new_globbing=new_globbing, output=output
    )
    run(lambda app: verb.compare(app, typed, golden, update=update), output)


@layer_task(
    reads=True,
    help={
        "name": "the component: a release's name, or namespace/name",
        "env": "in this environment (default: the first one that has it)",
    },
)
def explain(_: Context, name: str, env: str = "", output: str = "text") -> None:
    """Show each key of a release and its counterparts in Argo CD and Flux, with file and line.

    Examples:
      invoke gitops.explain clickhouse
      invoke gitops.explain ameide/clickhouse --env production --output json
    """
    from devtools.commands.gitops import explain as verb

    run(lambda app: verb.explain(app, name, env, output), output)


@our_task(
    name="import",
    help={
        "name": "the directory of the GitOps tree",
        "out": "the new directory to write the stack into (default: imported)",
        "root": "the repository's root, from which paths in the files count (default: found by those paths)",
        "repository": "the URL of the repository that the stack will be in, for devtools.yaml",
        "dry-run": "say what would be written and write nothing",
    },
)
def import_(
    _: Context,
    name: str,
    out: str = "imported",
    root: str = "",
    repository: str = "",
    dry_run: bool = False,
    output: str = "text",
) -> None:
    """Make layers of a GitOps tree for Argo CD or Flux, with a note for each conversion.

    Examples:
      invoke gitops.import ../fleet
      invoke gitops.import ../fleet --out ../stack --repository https://git.example.com/team/stack.git
      invoke gitops.import clusters/dev --root . --dry-run
    """
    from devtools.commands.gitops import imports as verb

    typed = verb.Arguments(directory=name, out=out, root=root, repository=repository, dry_run=dry_run)
    run(lambda app: verb.import_tree(app, typed, output), output)


gitops = Collection("gitops", export, verify, preview, explain, *TASKS)
gitops.add_task(compare_golden, name="test")
gitops.add_task(import_)
