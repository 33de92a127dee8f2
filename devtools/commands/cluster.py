"""`invoke cluster.create`, `cluster.status`, `cluster.stop` and `cluster.delete`."""

from __future__ import annotations

from devtools.app.environment import App
from devtools.errors import ExitCode


def chosen(app: App, environment: str) -> App:
    """The app of an environment as typed: devtools.yaml may give each a cluster of its own."""
    app.environment = environment
    return app


def create(app: App, output: str, *, recreate: bool = False) -> ExitCode:
    """Make the cluster, start it, or find it running; with `recreate`, replace one that exists."""
    from devtools.app.providers import say_unused_keys, say_why_embedded

    say_why_embedded(app)
    say_unused_keys(app)
    app.toolchain.ensure(progress=app.say)
    if recreate:
        app.provider.delete(app.say)
    app.provider.ensure(app.say)
    return status(app, output)


def status(app: App, output: str) -> ExitCode:
    """What is there now; exit code 4 unless it runs."""
    from devtools.report.tables import show_cluster

    _remove_stale_copies(app)
    found = app.provider.status()
    show_cluster(found, output=output, out=app.out, environ=app.environ)
    return ExitCode.OK if found.state == "running" else ExitCode.ENVIRONMENT


def stop(app: App) -> ExitCode:
    """Stop the cluster, keeping all that it stores."""
    _remove_stale_copies(app)
    app.provider.stop(app.say)
    return ExitCode.OK


def delete(app: App) -> ExitCode:
    """Remove the cluster and everything it left on this machine."""
    _remove_stale_copies(app)
    app.provider.delete(app.say)
    return ExitCode.OK


def _remove_stale_copies(app: App) -> None:
    """Remove copies of kubeconfigs that nothing can use any more."""
    from devtools.app.providers import remove_stale_copies

    remove_stale_copies(app)
