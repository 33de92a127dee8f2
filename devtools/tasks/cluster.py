"""`invoke cluster.create`, `cluster.status`, `cluster.stop` and `cluster.delete`."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task, run

_ENV = "environment whose cluster to use, if it has its own (default: the one in devtools.yaml)"
_FORCE = "also while a run of this or another machine is under way on the cluster"


@our_task(
    help={
        "env": _ENV,
        "recreate": "delete an existing cluster and everything in it first",
        "force": f"with --recreate: {_FORCE}",
    }
)
def create(_: Context, env: str = "", recreate: bool = False, force: bool = False, output: str = "text") -> None:
    """Make the cluster, start it, or find it running.

    Examples:
      invoke cluster.create
      invoke cluster.create --recreate
      invoke cluster.create --env ci
    """
    from devtools.commands import cluster

    run(lambda app: cluster.create(app, output, recreate=recreate, force=force), output, environment=env)


@our_task(reads=True, help={"env": _ENV})
def status(_: Context, env: str = "", output: str = "text") -> None:
    """Show the cluster, how to reach it, and what differs from a production one.

    Examples:
      invoke cluster.status
      invoke cluster.status --output json
    """
    from devtools.commands import cluster

    run(lambda app: cluster.status(app, output), output, environment=env)


@our_task(help={"env": _ENV, "force": _FORCE})
def stop(_: Context, env: str = "", force: bool = False) -> None:
    """Stop the cluster, keeping all that it stores; cluster.create starts it again.

    It refuses while a run is under way on the cluster.

    Examples:
      invoke cluster.stop
      invoke cluster.stop --force
    """
    from devtools.commands import cluster

    run(lambda app: cluster.stop(app, force=force), environment=env)


@our_task(help={"env": _ENV, "force": _FORCE})
def delete(_: Context, env: str = "", force: bool = False) -> None:
    """Remove the cluster and everything it left on this machine.

    It refuses while a run is under way on the cluster.

    Examples:
      invoke cluster.delete
      invoke cluster.delete --force
    """
    from devtools.commands import cluster

    run(lambda app: cluster.delete(app, force=force), environment=env)


namespace = Collection("cluster", create, status, stop, delete)
