"""What the engine works with: built for one run, and taken away after it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from devtools.app.wiring import App
from devtools.run.events import Bus

if TYPE_CHECKING:
    from devtools.app.running import Inputs, Options
    from devtools.clients.kube import Kube
    from devtools.clusters.base import Cluster
    from devtools.run.session import Session


def kube_of(app: App, cluster: Cluster, say: Callable[[str], None] | None = None) -> Kube:
    """A client of the cluster's API server; `say` is told when that is waited for (default: a line for people)."""
    from devtools.clients.kube import Kube  # noqa: PLC0415 - not every task needs it

    return Kube(cluster.kubeconfig, cluster.context, app.cancel, say=say or app.say)


@contextlib.contextmanager
def session(app: App, cluster: Cluster, bus: Bus, kube: Kube, inputs: Inputs, options: Options) -> Iterator[Session]:
    """The session of a run; the directory of its values files is private and goes away."""
    from devtools.app.bugs import bug  # noqa: PLC0415 - the imports of a run
    from devtools.app.private import private_directory  # noqa: PLC0415
    from devtools.run.observer import Observer  # noqa: PLC0415
    from devtools.run.session import Session  # noqa: PLC0415
    from devtools.tools.helm import Helm  # noqa: PLC0415

    helm = Helm(program=app.toolchain.path("helm"), kubeconfig=cluster.kubeconfig, context=cluster.context)
    with private_directory(app.folders.state / "private") as private:
        yield Session(
            kube=kube,
            observer=Observer(kube),
            helm=helm,
            runner=app.runner,
            bus=bus,
            cancel=app.cancel,
            slots=BoundedSemaphore(max(2, os.cpu_count() or 1)),
            private=private,
            root=inputs.stack.root,
            hook_env={
                "KUBECONFIG": str(cluster.kubeconfig),
                "DEVTOOLS_CONTEXT": cluster.context,
                "DEVTOOLS_PROVIDER": cluster.provider,
                "DEVTOOLS_ENVIRONMENT": inputs.stack.environment.name,
            },
            values=inputs.values,
            real_node=cluster.real_node if cluster.simulated else None,
            bug=bug,
            test=options.test,
            sync=options.sync,
            retest=options.retest,
        )
