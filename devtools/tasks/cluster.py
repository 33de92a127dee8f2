"""`invoke cluster.create`, `cluster.status` and `cluster.delete`."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task


@our_task(help={"output": "text or json"})
def create(_: Context, output: str = "text") -> None:
    """Make the cluster, start it, or find it running.

    Example: invoke cluster.create
    """
    from devtools.app.exit_codes import main
    from devtools.commands import cluster

    main(lambda app: cluster.create(app, output), output)


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
def delete(_: Context) -> None:
    """Remove the cluster and everything it left on this machine.

    Example: invoke cluster.delete
    """
    from devtools.app.exit_codes import main
    from devtools.commands import cluster

    main(cluster.delete)


namespace = Collection("cluster", create, status, delete)
