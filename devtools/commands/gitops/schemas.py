"""Chooses the program that checks schemas: the embedded cluster's API server if it runs, else kubeconform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.errors import ConfigError, DevtoolsError

if TYPE_CHECKING:
    from devtools.clusters.provider import Cluster
    from devtools.config.settings import Settings
    from devtools.gitops.schemas import Checked
    from devtools.gitops.schemas.crds import Crds
    from devtools.gitops.tree.read import Tree

CHECKERS = ("auto", "server", "kubeconform", "none")
Check = Callable[[Sequence[Mapping[str, Any]]], "Checked"]


def checker(
    app: App, typed: str, directories: Iterable[str], tree: Tree, settings: Settings | None
) -> tuple[Check | None, str]:
    """Return the schema checker and why it is not the API server; None and a reason if there is none.

    `server` raises EnvironmentFault if no embedded cluster runs.
    """
    if typed not in CHECKERS:
        raise ConfigError(f"--schemas is {typed!r}", hint=f"choose one of {', '.join(CHECKERS)}")
    if typed == "none":
        return None, "switched off"
    crds = known_crds(app, directories, tree, settings)
    if typed == "kubeconform":
        return _by_kubeconform(app, crds), ""
    try:
        return _by_server(app, embedded_cluster(app), crds), ""
    except DevtoolsError as error:
        if typed == "server":
            raise
        why = error.message
    if not crds:
        return None, f"{why}, and kubeconform has no CRDs: use --crds DIR"
    return _by_kubeconform(app, crds), f"{why}; rules between fields (CEL) are not checked"


def embedded_cluster(app: App) -> Cluster:
    """Return the running embedded cluster; a real one is not used, because CRDs are created temporarily."""
    if app.provider_name != "kwok":
        raise ConfigError(
            f"the cluster is not an embedded one but of {app.provider_name}", hint="DEVTOOLS_PROVIDER=kwok"
        )
    return app.find_cluster()


def known_crds(app: App, directories: Iterable[str], tree: Tree, settings: Settings | None) -> Crds:
    """Return the CRDs of vendored charts, of the tree and of the named directories; later ones win."""
    from devtools.gitops.schemas.crds import crds_in, crds_of_charts, crds_of_directory

    found: Crds = {}
    if settings is not None:
        from devtools.charts.resolve import THIRD_PARTY

        archives = [settings.charts / THIRD_PARTY / entry.archive for entry in app.charts.lock.entries.values()]
        found |= crds_of_charts(path for path in archives if path.exists())
    found |= crds_in(item.data for item in tree.of("CustomResourceDefinition"))
    groups = {item.group for item in tree.objects} - {""} | {"argoproj.io"}
    for directory in directories:
        found |= crds_of_directory(app.cwd / directory, groups)
    return found


def _by_server(app: App, cluster: Cluster, crds: Crds) -> Check:
    from devtools.gitops.schemas.server import check
    from devtools.process.runner import Cancel
    from devtools.project import Project

    kube, cleaner = Project(app).client(cluster), Project(app).client(cluster, cancel=Cancel())
    return lambda objects: check(kube, objects, crds, cleaner)


def _by_kubeconform(app: App, crds: Crds) -> Check:
    from devtools.gitops.schemas.kubeconform import check
    from devtools.toolchain.versions import tool

    def run(objects: Sequence[Mapping[str, Any]]) -> Checked:
        app.toolchain.ensure(("kubeconform",), progress=app.say)
        path = app.toolchain.path("kubeconform")
        return check(path, app.runner, objects, crds, tool("kubeconform").version)

    return run
