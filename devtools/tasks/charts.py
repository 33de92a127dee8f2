"""The invoke tasks about third-party charts; as in `tasks`, nothing else is imported until one runs."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from devtools.tasks.declaration import our_task, run


@our_task(
    iterable=["name"],
    help={
        "name": "vendor only this chart, as publisher/chart[@version]; can be repeated (default: all not vendored)",
        "from": "take charts from this URL (chart repository or oci://) or directory instead; {publisher} is filled in",
        "keyring": "file of the public keys to check provenance with (default: GnuPG's pubring.gpg, if there is one)",
    },
)
def vendor(_: Context, name: list[str], from_: str = "", keyring: str = "", output: str = "text") -> None:
    """Fetch pinned charts, check them, and write their sha256 into the lock; fetch dependencies of own charts.

    Examples:
      invoke charts.vendor
      invoke charts.vendor --name hashicorp/vault --name jetstack/cert-manager
      invoke charts.vendor --name platform/app
      invoke charts.vendor --from ../archives
    """
    from devtools.commands import charts as verbs

    run(lambda app: verbs.vendor(app, name, from_, keyring, output), output)


@our_task(reads=True)
def verify(_: Context, output: str = "text") -> None:
    """Check every vendored chart against the lock.

    Examples:
      invoke charts.verify
    """
    from devtools.commands import charts as verbs

    run(lambda app: verbs.verify(app, output), output)


@our_task(reads=True, name="list")
def list_(_: Context, output: str = "text") -> None:
    """Show every pinned chart and its state.

    Examples:
      invoke charts.list
      invoke charts.list --output json
    """
    from devtools.commands import charts as verbs

    run(lambda app: verbs.show(app, output), output)


@our_task(
    reads=True,
    help={
        "from": "an index.yaml, a directory that holds one, archives or charts, or the URL of a chart repository",
        "fail": "exit 1 if a chart is outdated, 4 if none is and the source of one does not answer",
    },
)
def outdated(_: Context, from_: str = "", fail: bool = False, output: str = "text") -> None:
    """Show which pinned charts have newer versions.

    Examples:
      invoke charts.outdated
      invoke charts.outdated --fail
      invoke charts.outdated --from ../archives/index.yaml
    """
    from devtools.commands import charts as verbs

    run(lambda app: verbs.outdated(app, from_, output, fail=fail), output)


@our_task(
    help={
        "check": "change nothing; exit 1 unless charts/ and Chart.lock are as Chart.yaml asks",
    },
)
def dependencies(_: Context, check: bool = False, output: str = "text") -> None:
    """Build charts/ and Chart.lock of this repository's charts from vendored archives, offline.

    Examples:
      invoke charts.dependencies
      invoke charts.dependencies --check
    """
    from devtools.commands import charts as verbs

    run(lambda app: verbs.dependencies(app, check=check, output=output), output)


@our_task(
    positional=["chart"],
    help={
        "chart": "the chart, as publisher/chart, with @version if the lock has several",
        "to": "the version to move to (default: the newest that is not a pre-release)",
        "from": "take the chart from this URL (chart repository or oci://) or directory instead",
        "keyring": "file of the public keys to check provenance with (default: GnuPG's pubring.gpg, if there is one)",
        "force": "write the lock even if a release cannot be rendered with the new version",
        "dry-run": "show what would change, and write nothing",
        "output": "text, json or markdown",
    },
)
def upgrade(
    _: Context,
    chart: str,
    to: str = "",
    from_: str = "",
    keyring: str = "",
    force: bool = False,
    dry_run: bool = False,
    output: str = "text",
) -> None:
    """Show what another version of a chart changes here, then pin and vendor it.

    Examples:
      invoke charts.upgrade jetstack/cert-manager --dry-run
      invoke charts.upgrade acme/web --to 1.5.0
      invoke charts.upgrade acme/web@1.4.0 --output markdown
    """
    from devtools.commands.upgrades import upgrade as verb

    typed = verb.Arguments(
        chart=chart, to=to, source=from_, keyring=keyring, force=force, dry_run=dry_run, output=output
    )
    run(lambda app: verb.upgrade(app, typed), output, ("text", "json", "markdown"))


charts = Collection("charts", vendor, verify, list_, outdated, upgrade, dependencies)
