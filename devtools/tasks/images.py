"""The invoke tasks about container images; as in `tasks`, nothing else is imported until one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task, run

if TYPE_CHECKING:
    from devtools.app.options import Options


@our_task(
    "env",
    reads=True,
    name="list",
    iterable=["layer"],
    help={
        "layer": "only images of this layer; can be given again (default: all layers)",
    },
)
def list_(_: Context, env: str = "", layer: list[str] | None = None, output: str = "text", *, options: Options) -> None:
    """Show every image that the charts use, the releases that use it, and whether images.yaml lists it.

    Examples:
      invoke images.list
      invoke images.list --env dev --layer 40 --output json
    """
    from devtools.commands.images import inventory as verbs

    run(lambda app: verbs.show(app, layer or (), options), output, environment=env)


@our_task(
    iterable=["name"],
    help={
        "name": "only this image of images.yaml, in full or its last part; can be given again (default: all)",
        "via": "registry (the cluster's own, the default) or import (k3d image import); both verify every node",
        "timeout": "how long each pull, build, push or import may take: 90s, 5m (the default)",
        "dry-run": "print the commands and touch nothing",
    },
)
def preload(
    _: Context,
    name: list[str] | None = None,
    via: str = "registry",
    timeout: str = "5m",
    dry_run: bool = False,
    output: str = "text",
) -> None:
    """Load the images of images.yaml into every node of the cluster and verify them.

    Examples:
      invoke images.preload
      invoke images.preload --name ameide-migrations --via import
      invoke images.preload --dry-run
    """
    from devtools.commands.images import preload as verbs

    run(lambda app: verbs.preload(app, name or (), via=via, timeout=timeout, dry_run=dry_run, output=output), output)


namespace = Collection("images", list_, preload)
