"""The locks of a run: a file for the runs of this machine, Leases on the cluster for runs of other machines."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from devtools.app.environment import App
from devtools.app.options import Request
from devtools.events import Bus
from devtools.process.runner import Cancel

if TYPE_CHECKING:
    from devtools.clusters.provider import Cluster
    from devtools.kube.client import Kube
    from devtools.locks.holder import Holder
    from devtools.model import Stack

_DEFAULT = "default"  # exists on every cluster
_NAMESPACE = 300.0  # seconds to wait until a namespace that is being deleted is gone
_RENEW_FOR = 10.0  # seconds that one renewal may take


@contextlib.contextmanager
def machine_lock(app: App, bus: Bus, cluster: Cluster, request: Request) -> Iterator[None]:
    """Hold this machine's run lock for a request's stack and context; EnvironmentFault if its cluster is removed."""
    from devtools.locks.run_lock import check_shutdown, run_lock

    locks, where = app.folders.state / "locks", f"{cluster.provider} {cluster.name}"
    subject, holder = run_subject(request.stack, cluster.context), own_holder(app, request.command, where)
    with run_lock(locks, subject, holder, wait=request.options.wait, cancel=app.cancel, say=bus.note):
        check_shutdown(locks, where)
        yield


def run_subject(stack: Stack, context: str) -> str:
    """Return the name of what a run locks."""
    return f"stack {stack.name} on {context}"


@contextlib.contextmanager
def cluster_lock(app: App, bus: Bus, kube: Kube, cluster: Cluster, request: Request) -> Iterator[None]:
    """Hold the cluster's run lock for a request's stack while the body runs: the Leases of `lease_namespaces`."""
    from devtools.helm.labels import LABEL_STACK
    from devtools.kube.client import Kube as Client
    from devtools.locks.lease import Lease, hold
    from devtools.readiness.wait import Wait
    from devtools.releases.namespaces import NamespaceMissing, make_namespace

    stack, say = request.stack, bus.note
    holder = own_holder(app, request.command)
    # Its own connections: the run's are closed when it must stop, and the Lease is released after that.
    renewing = Client(cluster.kubeconfig, cluster.context, Cancel(), retry_for=0.0, read_for=_RENEW_FOR)
    refusals = []
    with contextlib.ExitStack() as leases:
        for where in lease_namespaces(stack):
            if where != _DEFAULT:
                patience = Wait(deadline=time.monotonic() + _NAMESPACE, say=say, cancel=kube.cancel)
                create = where not in stack.must_exist()
                try:
                    make_namespace(kube, where, {LABEL_STACK: stack.name}, patience, create=create)
                except NamespaceMissing:
                    continue  # it contains nothing that a run could change
            lease = Lease(kube, where, stack.name, holder, renewing=renewing)
            attempt = hold(lease, wait=request.options.wait, cancel=kube.cancel, say=say, lost=kube.cancel.fail)
            refusals.append(leases.enter_context(attempt))
        if all(refusals):
            say(f"no run lock on the cluster, so runs on other machines are not blocked ({refusals[-1]})")
        yield


def lease_namespaces(stack: Stack) -> tuple[str, ...]:
    """Return the namespaces of a stack's Leases, in the order in which every run acquires them.

    All runs try the first, so that branches whose releases are in different namespaces exclude each other. The other
    is the stack's namespace if it has only one, so that rights to that one are enough.
    """
    names = {release.namespace for release in stack.releases()}
    return tuple(dict.fromkeys((_DEFAULT, *names))) if len(names) == 1 else (_DEFAULT,)


def own_holder(app: App, command: str, cluster: str = "") -> Holder:
    """Return this process as the holder of a run lock, on a cluster (`<provider> <name>`, "": none)."""
    from devtools.locks.holder import Holder

    started = datetime.fromtimestamp(app.clock(), UTC).strftime("%H:%M:%S UTC")
    return Holder(what=f"invoke {command}", who=_who(), pid=os.getpid(), started=started, cluster=cluster)


def origin_of(app: App) -> str:
    """Return an id of this machine and state directory.

    Processes that a run started end with it, or the next run with the same id ends them.
    """
    from devtools.locks.holder import this_machine

    machine = this_machine() or platform.node()
    return hashlib.sha256(f"{machine} {app.folders.state.resolve()}".encode()).hexdigest()[:12]


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # in a container the user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{platform.node() or 'an unknown host'}"
