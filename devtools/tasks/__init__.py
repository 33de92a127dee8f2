"""The invoke tasks; a repository gets them by `from devtools.tasks import namespace` in its tasks.py.

Each parses its arguments and calls `devtools.commands`; nothing else is imported until a task runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.bootstrap import namespace as bootstrap
from devtools.tasks.charts import charts
from devtools.tasks.cluster import namespace as cluster
from devtools.tasks.declaration import (
    INSISTED,
    SELECTORS,
    changed,
    layer_task,
    options_of,
    our_task,
    selector_of,
    with_help,
)
from devtools.tasks.gitops import gitops
from devtools.tasks.images import namespace as images
from devtools.tasks.imports import namespace as imports
from devtools.tasks.proto import namespace as proto
from devtools.tasks.review import check, drift, history, render, rollback, secrets

_OUTPUT = "text, json (one document at the end) or jsonl (events as they come); with --diff text, json or markdown"


@our_task(
    iterable=INSISTED,
    help=with_help(
        *("env", "only-test", "no-test", "force", "force-local", "yes", "dry-run", "no-wait", "verbose"),
        *("diff", "fail-on-change", "recreate", "take-ownership"),
        output=_OUTPUT,
        name="the layer: 40-data-plane, its alias, data-plane, 40, or any unique start",
        context="refuse a cluster with another kube context",
        kubeconfig="refuse a cluster with another kubeconfig",
    ),
)
def layer(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    name: str,
    env: str = "",
    only_test: bool = False,
    no_test: bool = False,
    force: bool = False,
    force_local: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    diff: bool = False,
    fail_on_change: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    context: str = "",
    kubeconfig: str = "",
    recreate: Sequence[str] | None = None,
    take_ownership: Sequence[str] | None = None,
    output: str = "text",
) -> None:
    """Replay one layer: sync its releases in order, then run its smoke tests.

    Examples:
      invoke layer 40-data-plane
      invoke layer 40 --dry-run --diff
      invoke layer data-plane --only-test --output json
      invoke layer 40 --recreate clickhouse
    """
    from devtools.app.exit_codes import PLANS, main
    from devtools.commands import layer as verb

    options = options_of(output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    options = changed(options, test=not no_test, sync=not only_test)
    options = changed(options, diff=diff, fail_on_change=fail_on_change, force_local=force_local, yes=yes)
    options = changed(options, recreate=tuple(recreate or ()), take=tuple(take_ownership or ()))
    main(
        lambda app: verb.replay(app, name, options, context=context, kubeconfig=kubeconfig),
        output,
        PLANS,
        environment=env,
    )


@our_task(
    iterable=[*SELECTORS, *INSISTED],
    help=with_help(
        *("recreate", "take-ownership"),
        *("env", "no-test", "force", "force-local", "yes", "dry-run", "no-wait", "verbose", *SELECTORS, "with-needs"),
        *("diff", "fail-on-change"),
        output=_OUTPUT,
        retest="test unchanged layers, too",
    ),
)
def up(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    env: str = "",
    no_test: bool = False,
    retest: bool = False,
    force: bool = False,
    force_local: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    diff: bool = False,
    fail_on_change: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_needs: bool = False,
    recreate: Sequence[str] | None = None,
    take_ownership: Sequence[str] | None = None,
    output: str = "text",
) -> None:
    """Make the cluster if there is none, then sync and test every layer.

    Examples:
      invoke up
      invoke up --env dev --dry-run
      invoke up --stage data-plane --with-needs
      invoke up -l layer=12-crds
    """
    from devtools.app.exit_codes import PLANS, main
    from devtools.commands import up as verb

    chosen = selector_of(stage, release, label, with_needs=with_needs)
    options = options_of(output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    options = changed(options, test=not no_test, retest=retest, selector=chosen)
    options = changed(options, diff=diff, fail_on_change=fail_on_change, force_local=force_local, yes=yes)
    options = changed(options, recreate=tuple(recreate or ()), take=tuple(take_ownership or ()))
    main(lambda app: verb.up(app, options), output, PLANS, environment=env)


@layer_task(
    iterable=SELECTORS,
    help=with_help(
        *("env", "force-local", "yes", "dry-run", "no-wait", "verbose", "output", *SELECTORS),
        name="only this layer (default: all)",
        crds="also remove CRDs, after every release; without it CRDs and their objects are kept",
        force="with --crds: remove CRDs even if objects of their kinds still exist, and delete those",
        undeclared="only releases that no layer declares any more",
        **{"with-dependents": "also releases that need the chosen ones"},
    ),
)
def down(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    name: str = "",
    env: str = "",
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_dependents: bool = False,
    crds: bool = False,
    force: bool = False,
    undeclared: bool = False,
    force_local: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    output: str = "text",
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
    from devtools.app.exit_codes import EVENTS, main
    from devtools.commands import up as verb

    options = options_of(output, force=force, dry_run=dry_run, wait=not no_wait, verbose=verbose)
    chosen = selector_of(stage, release, label, with_needs=False)
    options = changed(options, force_local=force_local, yes=yes, selector=chosen)
    main(
        lambda app: verb.down(app, options, name, undeclared=undeclared, crds=crds, with_dependents=with_dependents),
        output,
        EVENTS,
        environment=env,
    )


@layer_task(
    reads=True,
    iterable=SELECTORS,
    help=with_help("env", *SELECTORS, "with-needs", name="only this layer (default: all)", output="text or json"),
)
def layers(
    _: Context,
    name: str = "",
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
      invoke layers 40 --output json
    """
    from devtools.app.exit_codes import main
    from devtools.commands import plan as show

    chosen = selector_of(stage, release, label, with_needs=with_needs)
    main(lambda app: show.layers(app, name, changed(options_of(output), selector=chosen)), output, environment=env)


@layer_task(
    reads=True,
    iterable=SELECTORS,
    help=with_help(
        *("env", "force", *SELECTORS, "with-needs"),
        diff="also show which objects and fields would change",
        **{"fail-on-change": "with --diff: exit with 1 if anything would be done"},
        output=_OUTPUT,
        name="only this layer (default: all)",
    ),
)
def plan(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    name: str = "",
    env: str = "",
    force: bool = False,
    diff: bool = False,
    fail_on_change: bool = False,
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_needs: bool = False,
    output: str = "text",
) -> None:
    """Show what `up` would do and why, and touch nothing.

    Examples:
      invoke plan
      invoke plan 40 --env dev
      invoke plan --diff
      invoke plan --diff --output markdown --fail-on-change
    """
    from devtools.app.exit_codes import PLANS, main
    from devtools.commands import plan as show

    chosen = selector_of(stage, release, label, with_needs=with_needs)
    options = changed(options_of(output, force=force), selector=chosen)
    options = changed(options, diff=diff, fail_on_change=fail_on_change)
    main(lambda app: show.plan(app, name, options), output, PLANS, environment=env)


@layer_task(
    reads=True,
    iterable=SELECTORS,
    help=with_help(
        *("env", *SELECTORS, "with-needs"),
        name="only this layer (default: all)",
        watch="check every five seconds, print changes, and update the file that Tilt's resources read",
        output="text or json",
    ),
)
def contracts(
    _: Context,
    name: str = "",
    env: str = "",
    watch: bool = False,
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_needs: bool = False,
    output: str = "text",
) -> None:
    """Show which releases are deployed as declared and meet their contracts; exit code 1 unless all do.

    Examples:
      invoke contracts
      invoke contracts 40 --output json
      invoke contracts --release ameide/redis-failover
    """
    from devtools.app.exit_codes import main
    from devtools.commands import contracts as verb

    chosen = selector_of(stage, release, label, with_needs=with_needs)
    options = changed(options_of(output), selector=chosen)
    main(lambda app: (verb.watch if watch else verb.contracts)(app, name, options), output, environment=env)


@our_task(
    reads=True,
    help=with_help(
        *("env", "show-secrets"),
        name="the release, name or namespace/name",
        tenant="with the values of this tenant of tenants/ on top",
        explain="also show chart defaults, and for each key the file and line that set it",
        output="text or json",
    ),
)
def values(
    _: Context,
    name: str,
    env: str = "",
    tenant: str = "",
    explain: bool = False,
    show_secrets: bool = False,
    output: str = "text",
) -> None:
    """Show the merged values of a release; with --explain, where each key is set.

    Examples:
      invoke values clickhouse
      invoke values clickhouse --env dev --explain
      invoke values web --tenant acme
    """
    from devtools.app.exit_codes import main
    from devtools.commands import values as verb

    main(
        lambda app: verb.show(app, name, options_of(output), explain=explain, secrets=show_secrets, tenant=tenant),
        output,
        environment=env,
    )


@our_task(
    help=with_help("env", output="text, json (the document) or starlark (the document, for Tiltfiles that load it)")
)
def specs(_: Context, env: str = "", output: str = "text") -> None:
    """Write the file Tilt reads, if its content changed.

    Examples:
      invoke specs
      invoke specs --env dev --output json
    """
    from devtools.app.exit_codes import main
    from devtools.commands import specs as verb

    main(lambda app: verb.specs(app, options_of(output)), output, verb.OUTPUTS, environment=env)


@our_task(
    help={
        "prune": "remove unused builds of versions that are no longer pinned, and build nothing",
        "days": "with --prune: keep builds used within this many days",
        "dry-run": "with --prune: list what would be removed, and remove nothing",
        "output": "text or json",
    }
)
def toolchain(_: Context, prune: bool = False, days: str = "30", dry_run: bool = False, output: str = "text") -> None:
    """Get the pinned tools that are missing and show where each comes from.

    Examples:
      invoke toolchain
      invoke toolchain --output json
      invoke toolchain --prune --dry-run
    """
    from devtools.app.exit_codes import main
    from devtools.commands import toolchain as verb

    if prune:
        main(lambda app: verb.prune(app, output, days=days, dry_run=dry_run), output)
    else:
        main(lambda app: verb.show(app, output, dry_run=dry_run), output)


namespace = Collection(
    layer, layers, up, down, plan, render, check, contracts, drift, history, rollback, values, secrets, specs, toolchain
)
namespace.add_collection(bootstrap)
namespace.add_collection(cluster)
namespace.add_collection(charts)
namespace.add_collection(proto)
namespace.add_collection(images)
namespace.add_collection(gitops)
namespace.add_collection(imports)
for task_with_layer in (layers, plan, down, render, check, contracts, drift, rollback, gitops["verify"]):
    task_with_layer.beside = namespace
