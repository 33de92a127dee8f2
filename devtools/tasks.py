"""The invoke tasks; a repository gets them by `from devtools.tasks import namespace` in its tasks.py.

Each parses its arguments and calls `devtools.app`; nothing else is imported until a task runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks_bootstrap import namespace as bootstrap
from devtools.tasks_charts import charts
from devtools.tasks_cluster import namespace as cluster
from devtools.tasks_images import namespace as images
from devtools.tasks_kit import our_task
from devtools.tasks_proto import namespace as proto

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
_SELECTORS = ["stage", "release", "label"]


def _help(*names: str, **more: str) -> dict[str, str]:
    return {name: _HELP[name] for name in names} | more


@our_task(
    help=_help(
        *("env", "only-test", "no-test", "force", "dry-run", "no-wait", "verbose", "output"),
        name="the layer: 40-data-plane, its alias, data-plane, 40, or any unique start",
        context="refuse a cluster whose kube context is another",
        kubeconfig="refuse a cluster whose kubeconfig is another file",
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
    context: str = "",
    kubeconfig: str = "",
    output: str = "text",
) -> None:
    """Replay one layer: sync its releases in order, then run its smoke tests.

    Examples:
      invoke layer 40-data-plane
      invoke layer 40 --dry-run
      invoke layer data-plane --only-test --output json
    """
    from devtools.app import layer as verb
    from devtools.app.shell import EVENTS, main

    options = _options(env, output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    options = _with(options, test=not no_test, sync=not only_test)
    main(lambda app: verb.replay(app, name, options, context=context, kubeconfig=kubeconfig), output, EVENTS)


@our_task(
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
    from devtools.app.shell import EVENTS, main

    chosen = _selector(stage, release, label, with_needs=with_needs)
    options = _options(env, output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    main(lambda app: verb.up(app, _with(options, test=not no_test, retest=retest, selector=chosen)), output, EVENTS)


@our_task(
    help=_help(
        *("env", "dry-run", "no-wait", "verbose", "output"),
        crds="CRDs too, when every release is gone; without it they stay, with what is stored in their kinds",
        force="with --crds: also where objects of their kinds are left, which go with them",
        undeclared="only releases that no layer declares any more",
    )
)
def down(
    _: Context,
    env: str = "",
    crds: bool = False,
    force: bool = False,
    undeclared: bool = False,
    dry_run: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    output: str = "text",
) -> None:
    """Uninstall every release of the stack, in reverse order; the cluster stays, and so do CRDs without --crds.

    Examples:
      invoke down
      invoke down --dry-run
      invoke down --crds
      invoke down --undeclared
    """
    from devtools.app import up as verb
    from devtools.app.shell import EVENTS, main

    options = _options(env, output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    main(lambda app: verb.down(app, options, undeclared=undeclared, crds=crds), output, EVENTS)


@our_task(iterable=_SELECTORS, help=_help("env", *_SELECTORS, "with-needs", output="text or json"))
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


@our_task(
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
    from devtools.app.shell import EVENTS, main

    chosen = _selector(stage, release, label, with_needs=with_needs)
    options = _with(_options(env, output, force=force), selector=chosen)
    main(lambda app: show.plan(app, name, options), output, EVENTS)


@our_task(
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


@our_task(help=_help("env", output="text, json (the document) or starlark (the document, for Tiltfiles that load it)"))
def specs(_: Context, env: str = "", output: str = "text") -> None:
    """Write what Tilt reads about the layers, where it would read differently.

    Examples:
      invoke specs
      invoke specs --env dev --output json
    """
    from devtools.app import specs as verb
    from devtools.app.shell import main

    main(lambda app: verb.specs(app, _options(env, output)), output, verb.OUTPUTS)


@our_task(help={"output": "text or json"})
def toolchain(_: Context, output: str = "text") -> None:
    """Get the pinned tools that are missing and show where each comes from.

    Examples:
      invoke toolchain
      invoke toolchain --output json
    """
    from devtools.app import tools
    from devtools.app.shell import main

    main(lambda app: tools.show(app, output), output)


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


namespace = Collection(layer, layers, up, down, plan, values, specs, toolchain)
namespace.add_collection(bootstrap)
namespace.add_collection(cluster)
namespace.add_collection(charts)
namespace.add_collection(proto)
namespace.add_collection(images)
