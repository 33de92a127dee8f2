"""The invoke tasks; a repository gets them by `from devtools.tasks import namespace` in its tasks.py.

Each parses its arguments and calls `devtools.app`; nothing else is imported until a task runs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task, task

if TYPE_CHECKING:
    from devtools.app.running import Options
    from devtools.stack.choice import Selector

_ENV = "environment whose overlays apply (default: the one in devtools.yaml)"
_OUTPUT = "text, json (one document at the end) or jsonl (events as they come)"
_HELP = {
    "env": _ENV,
    "output": _OUTPUT,
    "force": "sync releases that are unchanged, too",
    "dry-run": "print the plan and touch nothing",
    "no-test": "sync only",
    "only-test": "run contracts and smoke tests of what is there, sync nothing",
    "no-wait": "refuse when another run holds the lock, instead of waiting for it",
    "stage": "only layers of this stage (may be given again)",
    "release": "only this release, name or namespace/name (may be given again)",
    "label": "only releases with this label, key=value (given again: with all of them)",
    "with-needs": "and everything that the chosen releases need",
    "verbose": "show what helm and the hooks print",
}


# invoke would give every flag a letter by its own lights, `--` among them; long flags read better in scripts
class _OurTask(Task[Callable[..., None]]):
    """A task with the one short flag that everybody expects: `-l` for a label, as in kubectl and helmfile."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See `Task`."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        return {**options, "names": (name, "l")} if name == "label" else options


_task = functools.partial(task, klass=_OurTask, auto_shortflags=False)
_SELECTORS = ["stage", "release", "label"]


def _help(*names: str, **more: str) -> dict[str, str]:
    return {name: _HELP[name] for name in names} | more


@_task(
    help=_help(
        *("env", "only-test", "no-test", "force", "dry-run", "no-wait", "verbose", "output"),
        name="the layer: 40-data-plane, its alias, data-plane, 40, or any unique start",
    )
)
def layer(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    name: str,
    env: str = "",
    only_test: bool = False,
    no_test: bool = False,
    force: bool = False,
    dry_run: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    output: str = "text",
) -> None:
    """Replay one layer: sync its releases in order, then run its smoke tests.

    Examples:
      invoke layer 40-data-plane
      invoke layer 40 --dry-run
      invoke layer data-plane --only-test --output json
    """
    from devtools.app import layer as verb
    from devtools.app.shell import main

    options = _options(env, output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    main(lambda app: verb.replay(app, name, _with(options, test=not no_test, sync=not only_test)), output)


@_task(
    iterable=_SELECTORS,
    help=_help(
        *("env", "no-test", "force", "dry-run", "no-wait", "verbose", "output", *_SELECTORS, "with-needs"),
        retest="test unchanged layers, too",
    ),
)
def up(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    env: str = "",
    no_test: bool = False,
    retest: bool = False,
    force: bool = False,
    dry_run: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_needs: bool = False,
    output: str = "text",
) -> None:
    """Make the cluster if there is none, then sync and test every layer.

    Examples:
      invoke up
      invoke up --env dev --dry-run
      invoke up --stage data-plane --with-needs
      invoke up -l layer=12-crds
    """
    from devtools.app import up as verb
    from devtools.app.shell import main

    chosen = _selector(stage, release, label, with_needs=with_needs)
    options = _options(env, output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    main(lambda app: verb.up(app, _with(options, test=not no_test, retest=retest, selector=chosen)), output)


@_task(help=_help("env", "dry-run", "no-wait", "verbose", "output"))
def down(
    _: Context,
    env: str = "",
    dry_run: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    output: str = "text",
) -> None:
    """Uninstall every release of the stack, in reverse order; the cluster stays.

    Examples:
      invoke down
      invoke down --dry-run
    """
    from devtools.app import up as verb
    from devtools.app.shell import main

    main(lambda app: verb.down(app, _options(env, output, dry_run=dry_run, wait=not no_wait, verbose=verbose)), output)


@_task(iterable=_SELECTORS, help=_help("env", *_SELECTORS, "with-needs", output="text or json"))
def layers(
    _: Context,
    env: str = "",
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_needs: bool = False,
    output: str = "text",
) -> None:
    """Show layers and releases, and what the cluster holds of them.

    Examples:
      invoke layers
      invoke layers --output json
    """
    from devtools.app import show
    from devtools.app.shell import main

    chosen = _selector(stage, release, label, with_needs=with_needs)
    main(lambda app: show.layers(app, _with(_options(env, output), selector=chosen)), output)


@_task(
    iterable=_SELECTORS,
    help=_help("env", "force", "output", *_SELECTORS, "with-needs", name="only this layer (default: all)"),
    optional=["name"],
)
def plan(
    _: Context,
    name: str = "",
    env: str = "",
    force: bool = False,
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_needs: bool = False,
    output: str = "text",
) -> None:
    """Show what `up` would do and why, and touch nothing.

    Examples:
      invoke plan
      invoke plan --name 40 --env dev
    """
    from devtools.app import show
    from devtools.app.shell import main

    chosen = _selector(stage, release, label, with_needs=with_needs)
    options = _with(_options(env, output, force=force), selector=chosen)
    main(lambda app: show.plan(app, name, options), output)


@_task(
    help=_help(
        "env",
        name="the release, name or namespace/name",
        explain="chart defaults, too, and for each key the file and line that set it",
        output="text or json",
    )
)
def values(_: Context, name: str, env: str = "", explain: bool = False, output: str = "text") -> None:
    """Show the values a release is given, and with --explain where each key comes from.

    Examples:
      invoke values clickhouse
      invoke values clickhouse --env dev --explain
    """
    from devtools.app import values as verb
    from devtools.app.shell import main

    main(lambda app: verb.show(app, name, _options(env, output), explain=explain), output)


@_task(help={"output": "text or json"})
def toolchain(_: Context, output: str = "text") -> None:
    """Get the pinned tools that are missing and show where each comes from.

    Examples:
      invoke toolchain
      invoke toolchain --output json
    """
    from devtools.app import tools
    from devtools.app.shell import main

    main(lambda app: tools.show(app, output), output)


@_task(help={"output": "text or json"})
def create(_: Context, output: str = "text") -> None:
    """Make the cluster, start it, or find it running.

    Example: invoke cluster.create
    """
    from devtools.app import cluster
    from devtools.app.shell import main

    main(lambda app: cluster.create(app, output), output)


@_task(help={"output": "text or json"})
def status(_: Context, output: str = "text") -> None:
    """Show the cluster, how to reach it, and what differs from a production one.

    Examples:
      invoke cluster.status
      invoke cluster.status --output json
    """
    from devtools.app import cluster
    from devtools.app.shell import main

    main(lambda app: cluster.status(app, output), output)


@_task
def delete(_: Context) -> None:
    """Remove the cluster and everything it left on this machine.

    Example: invoke cluster.delete
    """
    from devtools.app import cluster
    from devtools.app.shell import main

    main(cluster.delete)


@_task(
    iterable=["name"],
    help={
        "name": "vendor only this chart, as publisher/chart; can be given again (default: all that are not vendored)",
        "from": "take charts from this URL (chart repository or oci://) or directory instead of where the lock says",
        "keyring": "file of the public keys to check provenance with (default: GnuPG's pubring.gpg, if there is one)",
        "output": "text or json",
    },
)
def vendor(_: Context, name: list[str], from_: str = "", keyring: str = "", output: str = "text") -> None:
    """Fetch pinned charts, check them, and write their sha256 into the lock.

    Examples:
      invoke charts.vendor
      invoke charts.vendor --name hashicorp/vault --name jetstack/cert-manager
      invoke charts.vendor --from ../archives
    """
    from devtools.app import charts
    from devtools.app.shell import main

    main(lambda app: charts.vendor(app, name, from_, keyring, output), output)


@_task(help={"output": "text or json"})
def verify(_: Context, output: str = "text") -> None:
    """Check every vendored chart against the lock.

    Examples:
      invoke charts.verify
    """
    from devtools.app import charts
    from devtools.app.shell import main

    main(lambda app: charts.verify(app, output), output)


@_task(name="list", help={"output": "text or json"})
def list_(_: Context, output: str = "text") -> None:
    """Show every pinned chart and what there is of it.

    Examples:
      invoke charts.list
      invoke charts.list --output json
    """
    from devtools.app import charts
    from devtools.app.shell import main

    main(lambda app: charts.show(app, output), output)


@_task(
    help={
        "from": "an index.yaml, a directory that holds one, or the URL of a chart repository",
        "output": "text or json",
    }
)
def outdated(_: Context, from_: str = "", output: str = "text") -> None:
    """Show which pinned charts have newer versions.

    Examples:
      invoke charts.outdated
      invoke charts.outdated --from ../archives/index.yaml
    """
    from devtools.app import charts
    from devtools.app.shell import main

    main(lambda app: charts.outdated(app, from_, output), output)


def _options(
    env: str, output: str, *, force: bool = False, dry_run: bool = False, wait: bool = True, verbose: bool = False
) -> Options:
    """Options of a run as typed; whether `output` is one is the renderer's to say."""
    from devtools.app.running import Options

    return Options(environment=env, output=output, force=force, dry_run=dry_run, wait=wait, verbose=verbose)


def _selector(
    stage: Sequence[str] | None, release: Sequence[str] | None, label: Sequence[str] | None, *, with_needs: bool
) -> Selector:
    """Which releases were asked for."""
    from devtools.stack.choice import Selector

    return Selector(
        stages=tuple(stage or ()), releases=tuple(release or ()), labels=tuple(label or ()), with_needs=with_needs
    )


def _with(options: Options, **changes: bool | Selector) -> Options:
    return dataclasses.replace(options, **changes)  # type: ignore[arg-type] # each caller's keys are right


namespace = Collection(layer, layers, up, down, plan, values, toolchain)
namespace.add_collection(Collection("cluster", create, status, delete))
namespace.add_collection(Collection("charts", vendor, verify, list_, outdated))
