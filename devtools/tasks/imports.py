"""`invoke import.*`: import the releases that other tools declare."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task, run


@our_task(
    positional=["path"],
    iterable=["env"],
    help={
        "path": "the helmfile, or the directory that holds it",
        "env": "only this environment of the helmfile (repeatable; default: all it declares)",
        "out": "the root of the repository to write to (default: this one)",
        "namespace": "the namespace of releases that have none (default: default)",
        "overwrite": "replace files that are there with other content",
        "run-hooks": "allow hooks of prepare and cleanup, which helmfile runs while it reads",
        "dry-run": "show what would be carried over, and write nothing; helmfile still executes the templates",
    },
)
def helmfile(
    _: Context,
    path: str,
    env: Sequence[str] | None = None,
    out: str = "",
    namespace: str = "default",
    overwrite: bool = False,
    run_hooks: bool = False,
    dry_run: bool = False,
    output: str = "text",
) -> None:
    """Write layers, overlays and chart pins from a helmfile, which executes its templates.

    Examples:
      invoke import.helmfile helmfile.yaml --dry-run
      invoke import.helmfile ../shop --out . --env staging --env production
      invoke import.helmfile helmfile.yaml --output json
    """
    from devtools.commands.imports import helmfile as verb

    typed = verb.Arguments(
        path=path,
        environments=tuple(env or ()),
        out=out,
        namespace=namespace,
        overwrite=overwrite,
        dry_run=dry_run,
        run_hooks=run_hooks,
        output=output,
    )
    run(lambda app: verb.import_helmfile(app, typed), output)


@our_task(
    iterable=["namespace"],
    help={
        "namespace": "only releases in this namespace (repeatable; default: all)",
        "env": "the environment whose cluster is read, and whose overlays are written",
        "out": "the root of the repository to write to (default: this one)",
        "overwrite": "replace files that are there with other content",
        "dry-run": "show what would be carried over, and write nothing",
    },
)
def cluster(
    _: Context,
    namespace: Sequence[str] | None = None,
    env: str = "",
    out: str = "",
    overwrite: bool = False,
    dry_run: bool = False,
    output: str = "text",
) -> None:
    """Write layers, overlays and charts from the Helm releases that the cluster has; the cluster is only read.

    Examples:
      invoke import.cluster --dry-run
      invoke import.cluster --namespace shop --out ../shop
    """
    from devtools.commands.imports import cluster as verb

    run(
        lambda app: verb.import_cluster(app, tuple(namespace or ()), out, output, dry_run=dry_run, overwrite=overwrite),
        output,
        environment=env,
    )


namespace = Collection("import", helmfile, cluster)
