"""The `proto.*` tasks: build, check and publish the protobuf module. Nothing heavy is imported until one runs."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task, run


@our_task(reads=True)
def build(_: Context, output: str = "text") -> None:
    """Compile the protobuf module in proto/.

    Example: invoke proto.build
    """
    from devtools.commands import proto

    run(lambda app: proto.build(app, output), output)


@our_task(reads=True)
def lint(_: Context, output: str = "text") -> None:
    """Check the protobuf module against its lint rules.

    Example: invoke proto.lint
    """
    from devtools.commands import proto

    run(lambda app: proto.lint(app, output), output)


@our_task(reads=True, help={"against": "the git ref to compare with (default: origin/main, else main)"})
def breaking(_: Context, against: str = "", output: str = "text") -> None:
    """Check the protobuf module for breaking changes since a git ref.

    Examples:
      invoke proto.breaking
      invoke proto.breaking --against HEAD^
    """
    from devtools.commands import proto

    run(lambda app: proto.breaking(app, against, output), output)


@our_task(
    iterable=["label"],
    help={
        "label": "the label that the commit gets instead of the registry's default one (repeatable)",
        "no-push": "build only: clusters will see the last published module",
        "force": "push files that were pushed before, too",
    },
)
def push(
    _: Context, no_push: bool = False, force: bool = False, label: Sequence[str] | None = None, output: str = "text"
) -> None:
    """Build the protobuf module and publish it with BUF_TOKEN, unless it is unchanged since the last push.

    Examples:
      invoke proto.push
      invoke proto.push --no-push
      invoke proto.push --label my-branch
    """
    from devtools.commands import proto

    run(lambda app: proto.push(app, publish=not no_push, force=force, labels=tuple(label or ()), output=output), output)


namespace = Collection("proto", build, lint, breaking, push)
