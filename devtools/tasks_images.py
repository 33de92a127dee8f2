"""The invoke tasks about container images; like `tasks`, nothing else is imported until one runs."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks_kit import our_task


@our_task(
    name="list",
    iterable=["layer"],
    help={
        "env": "environment whose overlays apply (default: the one in devtools.yaml)",
        "layer": "only images of this layer; can be given again (default: all layers)",
        "output": "text or json",
    },
)
def list_(_: Context, env: str = "", layer: list[str] | None = None, output: str = "text") -> None:
    """Show every image that the charts want, which releases want it, and whether images.yaml has it.

    Examples:
      invoke images.list
      invoke images.list --env dev --layer 40 --output json
    """
    from devtools.app import images as verbs
    from devtools.app.running import Options
    from devtools.app.shell import main

    main(lambda app: verbs.show(app, layer or (), Options(environment=env, output=output)), output)


namespace = Collection("images", list_)
