"""`invoke render`, `check`, `drift` and `secrets`: the effects of a change, and manual changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from devtools.tasks.declaration import SELECTORS, layer_task, our_task, run

if TYPE_CHECKING:
    from devtools.app.options import Options


@layer_task(
    *("env", "set", "show-secrets", *SELECTORS, "with-needs"),
    help={
        "to": "directory to write into",
        "values": "also write the merged values of each release, as values.yaml",
        "overwrite": "replace files that were edited by hand",
    },
)
def render(
    _: Context,
    name: str = "",
    to: str = "",
    env: str = "",
    values: bool = False,
    show_secrets: bool = False,
    overwrite: bool = False,
    output: str = "text",
    *,
    options: Options,
) -> None:
    """Write every object of the stack to files, one for each object; needs no cluster.

    Examples:
      invoke render --to rendered
      invoke render 40 --to rendered --env dev --values
      git diff --no-index before after
    """
    from devtools.commands.review import render as verb

    typed = verb.Arguments(
        name=name, to=to, values=values, show_secrets=show_secrets, overwrite=overwrite, options=options
    )
    run(lambda app: verb.render(app, typed), output, environment=env, sets=options.sets)


@layer_task(
    *("set", *SELECTORS, "with-needs"),
    reads=True,
    help={
        "server": "also apply every object in a strict dry run, on a control plane of its own",
    },
)
def check(_: Context, name: str = "", server: bool = False, output: str = "text", *, options: Options) -> None:
    """Find every fault of layer files, values and charts in all environments at once; exit code 2 if there is one.

    Examples:
      invoke check
      invoke check 40 --server
      invoke check --output json
    """
    from devtools.commands.review import check as verb

    run(lambda app: verb.check(app, name, options, server=server), output, sets=options.sets)


@layer_task(
    *("env", "force-local", "yes", "no-wait", "verbose", *SELECTORS, "with-needs"),
    reads=True,
    help={
        "fix": "restore drifted objects, overwriting other field managers",
    },
)
def drift(
    _: Context, name: str = "", env: str = "", fix: bool = False, output: str = "text", *, options: Options
) -> None:
    """Compare live objects with what was deployed, field by field; exit code 1 if anything differs.

    Examples:
      invoke drift
      invoke drift 40 --output json
      invoke drift --release web --fix
    """
    from devtools.commands.review import drift as verb

    run(lambda app: verb.drift(app, name, options, fix=fix), output, environment=env)


@our_task(
    reads=True,
    help={"env": "only this environment and what all share (default: all environments)"},
)
def secrets(_: Context, env: str = "", output: str = "text") -> None:
    """List the files of encrypted values, their recipients, and which of them this user can decrypt.

    Examples:
      invoke secrets
      invoke secrets --env prod --output json
    """
    from devtools.commands.review.secrets import secrets as verb

    run(lambda app: verb(app, output), output, environment=env)


@our_task("env", reads=True, help={"name": "the release, name or namespace/name"})
def history(_: Context, name: str, env: str = "", output: str = "text", *, options: Options) -> None:
    """Show the revisions that Helm has of a release.

    Examples:
      invoke history web
      invoke history shop/web --output json
    """
    from devtools.commands.review import revisions as verb

    run(lambda app: verb.history(app, name, options), output, environment=env)


@layer_task(
    *("env", "force-local", "yes", "dry-run", "no-wait"),
    help={
        "name": "the release, name or namespace/name",
        "revision": "the revision to go back to (default: the last one before the newest that was deployed)",
    },
)
def rollback(
    _: Context, name: str, revision: str = "", env: str = "", output: str = "text", *, options: Options
) -> None:
    """Deploy an earlier revision of a release again, by helm's rollback; the next run of its layer undoes it.

    Examples:
      invoke rollback web
      invoke rollback web 3
      invoke rollback web --dry-run
    """
    from devtools.commands.review import revisions as verb

    run(lambda app: verb.rollback(app, name, revision, options), output, environment=env)


rollback.bare = "revision"
