"""The invoke tasks that compare, promote and migrate environments; nothing else is imported until one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from devtools.tasks.declaration import EVENTS, layer_task, our_task, run

if TYPE_CHECKING:
    from devtools.app.options import Options


@our_task(
    reads=True,
    help={
        "env": "the environment to compare",
        "against": "with this other environment",
        "from": "with the same environment at this git ref",
        "to": "with --from: at this git ref (default: the working tree)",
        "live": "with what its cluster holds: what a controller would change there",
        "engine": "with --live: argocd or flux (default: the controller in devtools.yaml, else argocd)",
        "fail-on-change": "exit with 1 if anything differs",
        "output": "text, json or markdown",
    },
)
def diff(
    _: Context,
    env: str = "",
    against: str = "",
    from_: str = "",
    to: str = "",
    live: bool = False,
    engine: str = "",
    fail_on_change: bool = False,
    output: str = "text",
) -> None:
    """Show which objects and fields differ between environments, git revisions, or Git and a cluster.

    Examples:
      invoke gitops.diff --env staging --against dev
      invoke gitops.diff --env dev --from main --output markdown
      invoke gitops.diff --env dev --from v1.2 --to v1.3 --fail-on-change
      invoke gitops.diff --env dev --live --engine flux
    """
    from devtools.commands.gitops import diff as verb

    typed = verb.Arguments(
        environment=env,
        against=against,
        from_ref=from_,
        to_ref=to,
        live=live,
        engine=engine,
        fail_on_change=fail_on_change,
        output=output,
    )
    run(lambda app: verb.diff(app, typed), output, verb.OUTPUTS, environment=env)


@layer_task(
    help={
        "name": "the components: a release's name, or several as api,web",
        "from": "the environment to promote from (default: the one set in devtools.yaml)",
        "to": "the environment to promote to",
        "only": "promote only this part: chart, values or images",
        "branch": "the branch to commit on (default: promote/ENVIRONMENT/COMPONENT)",
        "dry-run": "show what would change, and make no branch",
    },
)
def promote(
    _: Context,
    name: str,
    from_: str = "",
    to: str = "",
    only: str = "",
    branch: str = "",
    dry_run: bool = False,
    output: str = "text",
) -> None:
    """Promote components from the previous environment, as a commit on a git branch.

    Examples:
      invoke gitops.promote api --from dev --to staging
      invoke gitops.promote api,web --to staging --only images
      invoke gitops.promote api --to production --dry-run
    """
    from devtools.commands.promotion import promote as verb

    typed = verb.Arguments(
        components=name, source=from_, target=to, only=only, branch=branch, dry_run=dry_run, output=output
    )
    run(lambda app: verb.promote(app, typed), output)


@layer_task(
    help={
        "name": "the components: a release's name, or several as api,web",
        "env": "the environment to change",
        "to": "the git ref whose state is restored (default: before the component's last change)",
        "branch": "the branch to commit on (default: rollback/ENVIRONMENT/COMPONENT)",
        "dry-run": "show what would change, and make no branch",
    },
)
def rollback(
    _: Context,
    name: str,
    env: str = "",
    to: str = "",
    branch: str = "",
    dry_run: bool = False,
    output: str = "text",
) -> None:
    """Restore a component of an environment as it was before its last change, as a commit on a git branch.

    Examples:
      invoke gitops.rollback api --env staging
      invoke gitops.rollback api,web --env production --to v1.2 --dry-run
    """
    from devtools.commands.promotion import rollback as verb

    typed = verb.Arguments(components=name, environment=env, to_ref=to, branch=branch, dry_run=dry_run, output=output)
    run(lambda app: verb.rollback(app, typed), output)


@our_task(
    reads=True,
    help={
        "env": "the environment whose cluster is checked",
        "engine": "argocd or flux (default: the controller in devtools.yaml, else argocd)",
    },
)
def adopt(_: Context, env: str = "", engine: str = "", output: str = "text") -> None:
    """Show which releases a controller would take over on a cluster, what it would change, and whose fields it takes.

    Everything is a dry run; exit code 1 if it would take fields of others or something would be refused.

    Examples:
      invoke gitops.adopt --env dev
      invoke gitops.adopt --env dev --engine flux --output json
    """
    from devtools.commands.takeover import adopt as verb

    run(lambda app: verb.adopt(app, engine, output), output, environment=env)


@our_task(
    reads=True,
    help={
        "env": "the environment whose cluster is checked",
        "engine": "argocd or flux (default: the controller in devtools.yaml, else argocd)",
    },
)
def preflight(_: Context, env: str = "", engine: str = "", output: str = "text") -> None:
    """Check what a cluster must have before a controller deploys to it; exit code 1 if something is missing.

    Examples:
      invoke gitops.preflight --env dev
      invoke gitops.preflight --env production --engine flux --output json
    """
    from devtools.commands.takeover import preflight as verb

    run(lambda app: verb.preflight(app, engine, output), output, environment=env)


@our_task(
    *("env", "no-test", "verbose", "output"),
    help={"keep-cluster": "leave the cluster that was made for the rehearsal"},
)
def rehearse(_: Context, env: str = "", keep_cluster: bool = False, output: str = "text", *, options: Options) -> None:
    """Install an exported environment wave after wave, as Argo CD does, on an embedded cluster made for it.

    Examples:
      invoke gitops.rehearse --env dev
      invoke gitops.rehearse --env staging --no-test --output json
    """
    from devtools.commands.takeover import rehearse as verb

    run(lambda app: verb.rehearse(app, options, keep_cluster=keep_cluster), output, EVENTS, environment=env)


TASKS = (diff, promote, rollback, preflight, adopt, rehearse)
