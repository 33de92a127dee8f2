"""`invoke cluster.create`, `cluster.status`, `cluster.stop` and `cluster.delete`."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task


@our_task(help={"recreate": "delete an existing cluster and everything in it first", "output": "text or json"})
def create(_: Context, recreate: bool = False, output: str = "text") -> None:
    """Make the cluster, start it, or find it running.

    Examples:
      invoke cluster.create
      invoke cluster.create --recreate
    """
    from devtools.app.exit_codes import main
    from devtools.commands import cluster

    main(lambda app: cluster.create(app, output, recreate=recreate), output)


@our_task(help={"output": "text or json"})
def status(_: Context, output: str = "text") -> None:
    """Show the cluster, how to reach it, and what differs from a production one.

    Examples:
      invoke cluster.status
      invoke cluster.status --output json
    """
    from devtools.app.exit_codes import main
    from devtools.commands import cluster

    main(lambda app: cluster.status(app, output), output)


@our_task
def stop(_: Context) -> None:
    """Stop the cluster, keeping all that it stores; cluster.create starts it again.

    Example: invoke cluster.stop
    """
    from devtools.app.exit_codes import main
    from devtools.commands import cluster

    main(cluster.stop)


@our_task
def delete(_: Context) -> None:
    """Remove the cluster and everything it left on this machine.

    Example: invoke cluster.delete
    """
    from devtools.app.exit_codes import main
    from devtools.commands import cluster

    main(cluster.delete)


namespace = Collection("cluster", create, status, stop, delete)
