"""`invoke layer NAME`: replay one layer and run its smoke tests."""

from __future__ import annotations

from devtools.app.environment import App
from devtools.app.overrides import planner
from devtools.app.running import Options, Work, execute, load, typed
from devtools.clusters.provider import Cluster
from devtools.errors import ConfigError, EnvironmentFault, ExitCode
from devtools.planning.plan import Selection


def replay(app: App, name: str, options: Options, *, context: str = "", kubeconfig: str = "") -> ExitCode:
    """Sync one layer in dependency order on the cluster that is there, then test it.

    With `context` and `kubeconfig` only on that cluster: raises EnvironmentFault where another one is there.
    """
    from devtools.planning.layer_names import find_layer  # noqa: PLC0415

    if not options.sync and not options.test:
        raise ConfigError("--only-test and --no-test leave nothing to do", hint="give one of them")
    stack = load(app, options)
    layer = find_layer(stack, name)
    selection = Selection(layers=(layer.name,))

    plan = planner(stack, selection, options)

    def cluster() -> Cluster:
        return expected(app.find_cluster(), context, kubeconfig)

    what = typed(f"layer {layer.name}", options)
    return execute(app, Work(what=what, stack=stack, selection=selection, plan=plan, cluster=cluster), options)


def expected(cluster: Cluster, context: str, kubeconfig: str) -> Cluster:
    """The cluster, if it is the one meant ("": any): a command that Tilt keeps may outlive its cluster."""
    for what, wanted, there in (
        ("context", context, cluster.context),
        ("kubeconfig", kubeconfig, str(cluster.kubeconfig)),
    ):
        if wanted and wanted != there:
            message = f"this is meant for {what} {wanted}, but the cluster that is there has {there}"
            raise EnvironmentFault(message, hint="type: invoke specs, then start Tilt again")
    return cluster
