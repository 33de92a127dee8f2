"""The invoke tasks; a repository imports them by `from devtools.tasks import namespace` in its tasks.py.

Each parses its arguments and calls `devtools.commands`; nothing else is imported until a task runs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.bootstrap import namespace as bootstrap
from devtools.tasks.charts import charts
from devtools.tasks.cluster import namespace as cluster
from devtools.tasks.declaration import EVENTS, OUTPUT_OF_PLANS, PLANS, SELECTORS, layer_task, our_task, run
from devtools.tasks.gitops import gitops
from devtools.tasks.images import namespace as images
from devtools.tasks.imports import namespace as imports
from devtools.tasks.proto import namespace as proto
from devtools.tasks.review import check, drift, history, render, rollback, secrets

if TYPE_CHECKING:
    from devtools.app.options import Options


@our_task(
    *("env", "set", *SELECTORS, "with-needs"),
    *("only-test", "no-test", "force", "force-local", "yes", "dry-run", "diff", "fail-on-change", "no-wait"),
    *("verbose", "recreate", "take-ownership"),
    help={
        "output": OUTPUT_OF_PLANS,
        "name": "the layer: 40-data-plane, its alias, data-plane, 40, or any unique start",
        "context": "refuse a cluster with another kube context",
        "kubeconfig": "refuse a cluster with another kubeconfig",
    },
)
def layer(
    _: Context,
    name: str,
    env: str = "",
    context: str = "",
    kubeconfig: str = "",
    output: str = "text",
    *,
    options: Options,
) -> None:
    """Replay one layer: sync its releases in order, then run its smoke tests.

    Examples:
      invoke layer 40-data-plane
      invoke layer 40 --dry-run --diff
      invoke layer data-plane --only-test --output json
      invoke layer 40 --recreate clickhouse
      invoke layer 40 -l name=clickhouse --set images.tag=1.4.2
    """
    from devtools.commands import runs

    verb = functools.partial(runs.layer, name=name, options=options, context=context, kubeconfig=kubeconfig)
    run(verb, output, PLANS, environment=env, sets=options.sets)


@our_task(
    *("env", "set", "no-test", "retest", "force", "force-local", "yes", "dry-run", "diff", "fail-on-change", "no-wait"),
    *("verbose", *SELECTORS, "with-needs", "recreate", "take-ownership"),
    help={"output": OUTPUT_OF_PLANS},
)
def up(_: Context, env: str = "", output: str = "text", *, options: Options) -> None:
    """Make the cluster if there is none, then sync and test every layer.

    Examples:
      invoke up
      invoke up --env dev --dry-run
      invoke up --stage data-plane --with-needs
      invoke up -l layer=12-crds
    """
    from devtools.commands import runs

    run(lambda app: runs.up(app, options), output, PLANS, environment=env, sets=options.sets)


@layer_task(
    *("env", *SELECTORS, "force", "force-local", "yes", "dry-run", "no-wait", "verbose", "output"),
    help={
        "crds": "also remove CRDs, after every release; without it CRDs and their objects are kept",
        "force": "with --crds: remove CRDs even if objects of their kinds still exist, and delete those",
        "undeclared": "only releases that no layer declares any more",
        "with-dependents": "also releases that need the chosen ones",
    },
)
def down(
    _: Context,
    name: str = "",
    env: str = "",
    with_dependents: bool = False,
    crds: bool = False,
    undeclared: bool = False,
    output: str = "text",
    *,
    options: Options,
) -> None:
    """Uninstall every release of the stack, or those of a layer, in reverse order; the cluster stays.

    CRDs stay without --crds.

    Examples:
      invoke down
      invoke down --dry-run
      invoke down 40 --with-dependents
      invoke down -l name=web
      invoke down --crds
      invoke down --undeclared
    """
    from devtools.commands import runs

    flags = {"undeclared": undeclared, "crds": crds, "with_dependents": with_dependents}
    run(lambda app: runs.down(app, options, name, **flags), output, EVENTS, environment=env)


@layer_task(
    *("env", *SELECTORS, "with-needs"),
    reads=True,
)
def layers(_: Context, name: str = "", env: str = "", output: str = "text", *, options: Options) -> None:
    """Show layers and releases, and what the cluster holds of them.

    Examples:
      invoke layers
      invoke layers 40 --output json
    """
    from devtools.commands.layers import layers as verb

    run(lambda app: verb(app, name, options), output, environment=env)


@layer_task(
    *("env", "set", "force", "diff", "fail-on-change", *SELECTORS, "with-needs"),
    reads=True,
    help={
        "diff": "also show which objects and fields would change",
        "output": OUTPUT_OF_PLANS,
    },
)
def plan(_: Context, name: str = "", env: str = "", output: str = "text", *, options: Options) -> None:
    """Show what `up` would do and why, and touch nothing.

    Examples:
      invoke plan
      invoke plan 40 --env dev
      invoke plan --diff
      invoke plan --diff --set images.tag=1.4.2
      invoke plan --diff --output markdown --fail-on-change
    """
    from devtools.commands import runs

    run(lambda app: runs.plan(app, name, options), output, PLANS, environment=env, sets=options.sets)


@layer_task(
    *("env", "set", *SELECTORS, "with-needs"),
    reads=True,
    help={
        "watch": "check every five seconds, print changes, and update the file that Tilt's resources read",
    },
)
def contracts(
    _: Context, name: str = "", env: str = "", watch: bool = False, output: str = "text", *, options: Options
) -> None:
    """Show which releases are deployed as declared and meet their contracts; exit code 1 unless all do.

    Examples:
      invoke contracts
      invoke contracts 40 --output json
      invoke contracts --release ameide/redis-failover
    """
    from devtools.commands import contracts as verb

    show = verb.watch if watch else verb.contracts
    run(lambda app: show(app, name, options), output, environment=env, sets=options.sets)


@our_task(
    *("env", "set", "show-secrets"),
    reads=True,
    help={
        "name": "the release, name or namespace/name",
        "tenant": "with the values of this tenant of tenants/ on top",
        "explain": "also show chart defaults, and for each key the file and line that set it",
    },
)
def values(
    _: Context,
    name: str,
    env: str = "",
    tenant: str = "",
    explain: bool = False,
    show_secrets: bool = False,
    output: str = "text",
    *,
    options: Options,
) -> None:
    """Show the merged values of a release; with --explain, where each key is set.

    Examples:
      invoke values clickhouse
      invoke values clickhouse --env dev --explain
      invoke values web --tenant acme
    """
    from devtools.commands import values as verb

    show = functools.partial(verb.show, typed=name, options=options, explain=explain, secrets=show_secrets)
    run(functools.partial(show, tenant=tenant), output, environment=env, sets=options.sets)


@our_task("env", help={"output": "text, json (the document) or starlark (the document, for Tiltfiles that load it)"})
def specs(_: Context, env: str = "", output: str = "text", *, options: Options) -> None:
    """Write the file Tilt reads, if its content changed.

    Examples:
      invoke specs
      invoke specs --env dev --output json
    """
    from devtools.commands import specs as verb

    run(lambda app: verb.specs(app, options), output, verb.OUTPUTS, environment=env)


@our_task(
    help={
        "prune": "remove unused builds of versions that are no longer pinned, and build nothing",
        "days": "with --prune: keep builds used within this many days",
        "dry-run": "with --prune: list what would be removed, and remove nothing",
    }
)
def toolchain(_: Context, prune: bool = False, days: str = "30", dry_run: bool = False, output: str = "text") -> None:
    """Get the pinned tools that are missing and show where each comes from.

    Examples:
      invoke toolchain
      invoke toolchain --output json
      invoke toolchain --prune --dry-run
    """
    from devtools.commands import toolchain as verb

    if prune:
        run(lambda app: verb.prune(app, output, days=days, dry_run=dry_run), output)
    else:
        run(lambda app: verb.show(app, output, dry_run=dry_run), output)


namespace = Collection(
    layer, layers, up, down, plan, render, check, contracts, drift, history, rollback, values, secrets, specs, toolchain
)
for group in (bootstrap, cluster, charts, proto, images, gitops, imports):
    namespace.add_collection(group)
for task_with_layer in (layers, plan, down, render, check, contracts, drift, rollback, gitops["verify"]):
    task_with_layer.beside = namespace
