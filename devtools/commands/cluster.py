"""`invoke cluster.create`, `cluster.status`, `cluster.stop` and `cluster.delete`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from devtools.app.environment import App
from devtools.app.locks import own_holder
from devtools.app.providers import remove_stale_copies, say_unused_keys, say_why_embedded
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault, ExitCode, Interrupted
from devtools.locks.run_lock import run_lock, runs_on, shutdown_subject

_LOOK_FOR = 10.0  # seconds for one query about runs


def create(app: App, output: str, *, recreate: bool = False, force: bool = False) -> ExitCode:
    """Create the cluster, start it, or find it running; with `recreate`, replace an existing one.

    With `force` it is replaced even if runs are under way on it.
    """
    if force and not recreate:
        raise ConfigError("--force requires --recreate", hint="only --recreate affects runs: add it, or remove --force")
    say_why_embedded(app)
    say_unused_keys(app)
    with without_runs(app, "cluster.create --recreate", "replaces", force=force) if recreate else nullcontext():
        app.toolchain.ensure(progress=app.say)
        if recreate:
            app.provider.delete(app.say)
    app.provider.ensure(app.say)
    return status(app, output)


def status(app: App, output: str) -> ExitCode:
    """Show the cluster's state; exit code 4 unless it runs."""
    from devtools.report.tables import cluster_json, cluster_lines

    remove_stale_copies(app)
    found = app.provider.status()
    app.show(cluster_json(found), cluster_lines, output)
    return ExitCode.OK if found.state == "running" else ExitCode.ENVIRONMENT


def stop(app: App, *, force: bool = False) -> ExitCode:
    """Stop the cluster and keep its data; with `force` also while runs are under way on it."""
    remove_stale_copies(app)
    with without_runs(app, "cluster.stop", "stops", force=force):
        app.provider.stop(app.say)
    return ExitCode.OK


def delete(app: App, *, force: bool = False) -> ExitCode:
    """Remove the cluster and everything it left on this machine; with `force` also while runs are under way on it."""
    remove_stale_copies(app)
    with without_runs(app, "cluster.delete", "removes", force=force):
        app.provider.delete(app.say)
    return ExitCode.OK


@contextmanager
def without_runs(app: App, command: str, verb: str, *, force: bool) -> Iterator[None]:
    """Block new runs of this machine on the cluster while the body stops or removes it.

    Raises EnvironmentFault, naming them, if runs are under way on it; with `force` they are only named. A run checks
    for this lock after acquiring its own, and this function checks for locks of runs after acquiring this one.
    """
    if app.provider_name == "context":  # that cluster is never stopped or removed
        yield
        return
    locks, subject = app.folders.state / "locks", shutdown_subject(_label(app))
    with run_lock(locks, subject, own_holder(app, command), wait=True, cancel=app.cancel, say=app.say):
        _check_runs(app, verb, force=force)
        yield


def _label(app: App) -> str:
    """Return the cluster's name in the notes of run locks."""
    return f"{app.provider_name} {app.cluster_name}"


def _check_runs(app: App, verb: str, *, force: bool) -> None:
    """Raise EnvironmentFault, naming them, if runs are under way on the cluster; with `force` only name them."""
    if not (runs := runs_on_cluster(app)):
        return
    message = f"a run is under way on cluster {app.cluster_name}: {', '.join(runs)}"
    if not force:
        hint = f"wait for it or stop it; --force {verb} the cluster anyway"
        raise EnvironmentFault(message, hint=hint)
    app.say(message)


def runs_on_cluster(app: App) -> list[str]:
    """Return the runs on this cluster: those that hold a lock of this machine, else those that hold a Lease."""
    from devtools.kube.client import Kube
    from devtools.locks.lease import find_holders

    if app.provider_name == "context":  # that cluster is never stopped or removed
        return []
    if runs := runs_on(app.folders.state / "locks", _label(app)):
        return runs
    try:
        found = app.find_cluster()
        where = (found.kubeconfig, found.context, app.cancel)
        kube = Kube(*where, retry_for=0.0, read_for=_LOOK_FOR, connections=found.connections, redactor=app.redactor)
        return [str(holder) for holder in find_holders(kube)]
    except Interrupted:
        raise
    except DevtoolsError:  # a cluster that does not answer has no runs that could be asked for
        return []
