"""The spec of a component's Application, and its part in component.yaml."""

from __future__ import annotations

from devtools.base.machine_yaml import merged, yaml_text
from devtools.config.settings_file.gitops import GitopsEnvironment
from devtools.gitops.argocd.context import Context, component_labels, destination
from devtools.gitops.component import Component, Object, ValueFile
from devtools.model import Ignore

POST_SYNC = "post-sync.yaml"  # next to component.yaml
SECRETS = "secrets"  # a directory next to component.yaml
PRUNE_OPTIONS = {"auto": (), "confirm": ("Prune=confirm",), "never": ("Prune=false",)}
# Keys of an Application's spec that a set makes from other keys of component.yaml.
_OWN = ("project", "source", "sources", "syncPolicy", "ignoreDifferences", "destination")


def component_data(component: Component, environment: GitopsEnvironment, context: Context) -> Object:
    """Return the content of component.yaml, which ApplicationSets read."""
    chart, spec = component.chart.source, application_spec(component, environment, context)
    place = {"path": chart.path} if chart.kind == "git" else {"chart": chart.chart, "version": chart.version}
    return {
        "name": component.name,
        "application": context.application_name(component),
        "release": component.release.name,
        "project": component.project,
        "namespace": component.release.namespace,
        "tier": component.tier,
        "wave": str(component.wave),
        "labels": component_labels(component),
        "syncOptions": sync_options(component),
        "chart": {"repoURL": repository_of(component), **place},
        "helm": helm_options(component, context),
        "secrets": secrets_path(component, context),
        "valueFiles": [str(file.path) for file in value_files(component, context)],
        "ignoreMissingValueFiles": False,
        "ignoreDifferences": ignore_differences(component.release.ignore),
        # What the set does not make from other keys; the release's `argocd` is merged over what it makes.
        "spec": {key: value for key, value in spec.items() if key in component.release.argocd or key not in _OWN},
    }


def repository_of(component: Component) -> str:
    """Return a chart's repository as Argo CD writes it: an OCI registry without its scheme."""
    return component.chart.source.repository.removeprefix("oci://")


def sync_options(component: Component) -> list[str]:
    """Return the sync options that a component needs in every environment."""
    return [
        f"{option}=true"
        for option, is_needed in (
            ("CreateNamespace", component.creates_namespace),
            ("PruneLast", True),
            ("RespectIgnoreDifferences", bool(component.release.ignore)),
            ("ServerSideApply", bool(component.chart.crds)),
            ("SkipDryRunOnMissingResource", component.chart.needs_foreign_crds or bool(component.release.secrets)),
        )
        if is_needed
    ]


def ignore_differences(ignored: tuple[Ignore, ...]) -> list[Object]:
    """Return the fields that other managers set; Argo CD writes `*` for any group."""
    return [
        {
            "group": item.group or "*",
            "kind": item.kind,
            **({"name": item.name} if item.name else {}),
            "jsonPointers": list(item.paths),
        }
        for item in ignored
    ]


def value_files(component: Component, context: Context) -> tuple[ValueFile, ...]:
    """Return a component's value files, weakest first, after the one that makes its tests hooks of Argo CD.

    Encrypted files are left out: Argo CD would pass on what it cannot read.
    """
    files = tuple(file for file in component.value_files if not file.encrypted)
    if not (component.chart.post_sync and component.release.smoke):
        return files
    path = context.options.place.out / context.layout.directory_of(component) / POST_SYNC
    return (ValueFile(path=path, content=yaml_text({component.chart.post_sync: "argocd"}).encode()), *files)


def secrets_path(component: Component, context: Context) -> str:
    """Return the directory of a component's ExternalSecrets, from the Git repository's root; empty if it has none."""
    return context.path(context.layout.directory_of(component) / SECRETS) if component.release.secrets else ""


def helm_options(component: Component, context: Context) -> Object:
    """Return the other options that Argo CD passes to Helm."""
    options: Object = {}
    if component.skips_crds:
        options["skipCrds"] = True
    source = component.chart.source
    if source.kind == "helm" and source.repository in context.settings.credentials:
        options["passCredentials"] = True
    return options


def source_of(component: Component, context: Context) -> Object:
    """Return `source`, or `sources` if the values are in another repository than the chart."""
    chart = component.chart.source
    helm = {"releaseName": component.release.name, "ignoreMissingValueFiles": False}
    helm |= helm_options(component, context)
    files = [str(file.path) for file in value_files(component, context)]
    secrets = secrets_path(component, context)
    if chart.kind == "git":
        main = {"repoURL": chart.repository, "targetRevision": context.settings.revision, "path": chart.path}
    else:
        main = {"repoURL": repository_of(component), "targetRevision": chart.version, "chart": chart.chart}
    if chart.kind == "git" and not secrets:
        return {"source": main | {"helm": helm | ({"valueFiles": [f"/{file}" for file in files]} if files else {})}}
    if not files and not secrets:
        return {"source": main | {"helm": helm}}
    values = {"repoURL": context.settings.repository, "targetRevision": context.settings.revision, "ref": "values"}
    if secrets:
        values["path"] = secrets
    referenced = {"valueFiles": [f"$values/{file}" for file in files]} if files else {}
    return {"sources": [main | {"helm": helm | referenced}, values]}


def sync_policy(environment: GitopsEnvironment, options: list[str]) -> Object:
    """Return the sync policy of an environment's Applications."""
    options = [*options, *PRUNE_OPTIONS[environment.prune]]
    policy: Object = {}
    if environment.sync == "auto":
        policy["automated"] = {"prune": environment.prune != "never", "selfHeal": True}
    retry = {"limit": 5, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "3m"}}
    return policy | {"retry": retry, "syncOptions": options}


def application_spec(component: Component, environment: GitopsEnvironment, context: Context) -> Object:
    """Return the spec of a component's Application, with the release's `argocd` merged over it."""
    spec: Object = {
        "project": component.project,
        **source_of(component, context),
        "destination": {**destination(environment), "namespace": component.release.namespace},
        "syncPolicy": sync_policy(environment, sync_options(component)),
        "ignoreDifferences": ignore_differences(component.release.ignore),
        "revisionHistoryLimit": component.release.history,
    }
    if not component.release.ignore:
        del spec["ignoreDifferences"]
    return merged(spec, component.release.argocd)
