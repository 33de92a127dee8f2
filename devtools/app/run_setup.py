"""Builds the session of a run from the app."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.events import Bus

if TYPE_CHECKING:
    from devtools.app.options import Request
    from devtools.clusters.provider import Cluster
    from devtools.helm.commands import Helm
    from devtools.kube.client import Kube
    from devtools.model import ReleaseId
    from devtools.run_context.session import Session


def new_session(
    app: App,
    cluster: Cluster,
    bus: Bus,
    kube: Kube,
    request: Request,
    *,
    values: Mapping[ReleaseId, Mapping[str, Any]],
    variables: Mapping[str, str],
) -> Session:
    """Return the session of a request's run; `variables`, `RUN_VARIABLE` among them, are set for its processes."""
    from devtools.app.crash_reports import bug
    from devtools.app.locks import origin_of
    from devtools.run_context.durations import durations_file, load_durations
    from devtools.run_context.session import Session
    from devtools.run_context.slots import Slots

    stack, options = request.stack, request.options
    own = cluster.kubeconfig.parent / "helm"
    # Excludes the user's plugins and caches of another cluster on the same port; works without HOME.
    homes = {"KUBECACHEDIR": "kube", "HELM_CACHE_HOME": "cache", "HELM_CONFIG_HOME": "config", "HELM_DATA_HOME": "data"}
    env = {**variables, **{key: str(own / name) for key, name in homes.items()}}

    def helm() -> Helm:
        from devtools.helm.commands import Helm

        program = app.toolchain.path("helm")
        return Helm(program=program, kubeconfig=cluster.kubeconfig, context=cluster.context, env=env)

    return Session(
        kube=kube,
        find_helm=helm,
        runner=app.runner.under(kube.cancel),
        bus=bus,
        cancel=kube.cancel,
        slots=Slots((os.cpu_count() or 1) + 1),  # one more, because helm also waits for the API server
        root=stack.root,
        hook_env={
            **variables,
            "KUBECONFIG": str(cluster.kubeconfig),
            "DEVTOOLS_CONTEXT": cluster.context,
            "DEVTOOLS_PROVIDER": cluster.provider,
            "DEVTOOLS_ENVIRONMENT": stack.environment.name,
            "DEVTOOLS_STACK": stack.name,
        },
        values=values,
        durations=load_durations(durations_file(app.folders.state, stack.name, cluster.context)),
        real_node=cluster.real_node if cluster.simulated else None,
        origin=origin_of(app),
        bug=partial(bug, clean=app.redactor.text),
        test=options.test,
        sync=options.sync,
        retest=options.retest,
    )
