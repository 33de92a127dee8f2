"""Plain Applications, the Applications that deploy them in waves, and the root."""

from __future__ import annotations

from devtools.config.settings_file.gitops import GitopsEnvironment
from devtools.gitops.argocd.context import (
    COMPARED,
    FINALIZER,
    IN_CLUSTER,
    NAMESPACE,
    Context,
    argocd_object,
    component_labels,
    finalizers,
)
from devtools.gitops.argocd.spec import application_spec
from devtools.gitops.component import Component, Object

SYNC_WAVE = "argocd.argoproj.io/sync-wave"


def application(component: Component, environment: GitopsEnvironment, context: Context) -> Object:
    """Return a component's Application; its sync wave orders it in the one that deploys it."""
    return argocd_object(
        "Application",
        context.application_name(component),
        application_spec(component, environment, context),
        labels=component_labels(component),
        annotations={SYNC_WAVE: str(component.wave), **COMPARED},
        **finalizers(environment),
    )


def app_of_apps(environment: GitopsEnvironment, context: Context) -> Object:
    """Return the Application that deploys an environment's Applications, wave after wave."""
    path = context.path(context.layout.applications / environment.name)
    automated = {"prune": environment.prune == "auto", "selfHeal": True}
    return _deploys_applications(
        f"{context.stack}-{environment.name}",
        {"path": path},
        {"automated": automated} if environment.sync == "auto" else {},
        context,
        options=("Prune=false",) if environment.prune == "never" else (),
        cascades=environment.prune != "never",
    )


def root(context: Context) -> Object:
    """Return the Application that deploys the projects and the sets of every environment.

    It has no finalizer: a cascading deletion would delete all Applications at once, in no order, and would delete its
    own project first, without which Argo CD cannot finish the deletion.
    """
    directory = {"recurse": True, "include": context.layout.include}
    automated = {"prune": False, "selfHeal": True}
    return _deploys_applications(
        f"{context.stack}-root",
        {"path": context.path(context.layout.root), "directory": directory},
        {"automated": automated},
        context,
        options=(),
        cascades=False,
    )


def _deploys_applications(
    name: str, source: Object, policy: Object, context: Context, *, options: tuple[str, ...], cascades: bool
) -> Object:
    source = {"repoURL": context.settings.repository, "targetRevision": context.settings.revision, **source}
    spec = {
        "project": context.own_project,
        "source": source,
        "destination": {"server": IN_CLUSTER, "namespace": NAMESPACE},
        "syncPolicy": {**policy, "syncOptions": ["ApplyOutOfSyncOnly=true", *options]},
    }
    return argocd_object("Application", name, spec, **({"finalizers": [FINALIZER]} if cascades else {}))
