"""`invoke bootstrap`, `bootstrap.status` and `bootstrap.down`."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task, run


@our_task(
    help={
        "dry-run": "print every command that would be run, as a shell script, and touch nothing",
        "no-push": "let Tilt build the protobuf module without publishing it: needs no BUF_TOKEN",
    }
)
def up(_: Context, dry_run: bool = False, no_push: bool = False, output: str = "text") -> None:
    """Check this machine, make registry, cluster and builder, and start Tilt in the background.

    Examples:
      invoke bootstrap
      invoke bootstrap --dry-run
      invoke bootstrap --no-push
    """
    from devtools.commands.bootstrap import command

    options = command.Options(dry_run=dry_run, push=not no_push, output=output)
    run(lambda app: command.bootstrap(app, options), output)


@our_task(reads=True)
def status(_: Context, output: str = "text") -> None:
    """Show the state of each stage of a bootstrap.

    Examples:
      invoke bootstrap.status
      invoke bootstrap.status --output json
    """
    from devtools.commands.bootstrap import command

    run(lambda app: command.status(app, output), output)


@our_task(
    help={
        "keep-cluster": "stop Tilt only; the cluster and its builder stay",
        "registry": "remove k3d's registry and its images, too",
        "force": "also while a run of this or another machine is under way on the cluster",
    }
)
def down(
    _: Context, keep_cluster: bool = False, registry: bool = False, force: bool = False, output: str = "text"
) -> None:
    """Stop Tilt, remove the builder and the cluster; the registry stays.

    Tilt's own runs end with it. If another run is under way on the cluster, only Tilt is stopped.

    Examples:
      invoke bootstrap.down
      invoke bootstrap.down --keep-cluster
      invoke bootstrap.down --registry
    """
    from devtools.commands.bootstrap import command

    run(lambda app: command.down(app, output, keep_cluster=keep_cluster, registry=registry, force=force), output)


namespace = Collection("bootstrap")
namespace.add_task(up, default=True)
namespace.add_task(status)
namespace.add_task(down)
