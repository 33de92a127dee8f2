"""Argo CD: component files, one ApplicationSet or app-of-apps per environment, projects and a root application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.config.settings_file.gitops import GitopsEnvironment, GitopsSettings
from devtools.gitops.component import LABEL, Component, Export, ExportOptions
from devtools.gitops.components import directory_of

NAMESPACE = "argocd"
API_VERSION = "argoproj.io/v1alpha1"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
IN_CLUSTER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every file of an Argo CD export is made with."""

    stack: str
    settings: GitopsSettings
    options: ExportOptions

    @property
    def revision(self) -> str:
        """The revision that Argo CD follows."""
        return self.options.revision or self.settings.revision

    def order(self, environment: GitopsEnvironment) -> str:
        """Return how an environment keeps the stack's order."""
        return self.options.order or environment.order

    def application_name(self, component: Component) -> str:
        """Return the name of a component's Application: unique in an Argo CD that holds every environment."""
        several = len(self.settings.environments) > 1
        return f"{component.environment}-{component.name}" if several else component.name


def export_argocd(
    stack: str,
    components: Mapping[str, Sequence[Component]],
    settings: GitopsSettings,
    options: ExportOptions,
) -> Export:
    """Return the export of environments for Argo CD."""
    context = Context(stack=stack, settings=settings, options=options)
    files: dict[PurePosixPath, bytes] = {}
    for name, members in components.items():
        for component in members:
            directory = directory_of(name, component.tier, component.name)
            files[directory / "component.yaml"] = document(component_data(component, context))
            for file in component.value_files:
                if file.content is not None:
                    files[file.path.relative_to(options.place.out)] = file.content
        environment = settings.environments[name]
        files[PurePosixPath(f"argocd/apps/{name}.yaml")] = document(application_set(environment, members, context))
    return Export(files=files)


def document(data: Mapping[str, Any]) -> bytes:
    """Return an object as a YAML file."""
    return yaml_text(data).encode()


def component_data(component: Component, context: Context) -> dict[str, Any]:
    """Return what component.yaml says; ApplicationSets read it."""
    chart = component.chart
    source = {"path": chart.path} if chart.kind == "git" else {"chart": chart.chart, "version": chart.version}
    return {
        "name": component.name,
        "application": context.application_name(component),
        "release": component.release.name,
        "project": component.project,
        "namespace": component.namespace,
        "tier": component.tier,
        "team": component.team,
        "stage": component.stage,
        "wave": str(component.wave),
        "syncOptions": sync_options(component),
        "chart": {"repoURL": repository_of(component), **source},
        "valueFiles": [str(file.path) for file in component.value_files],
        "ignoreMissingValueFiles": False,
        "ignoreDifferences": [],
    }


def repository_of(component: Component) -> str:
    """Return a chart's repository as Argo CD writes it: an OCI registry without its scheme."""
    return component.chart.repository.removeprefix("oci://")


def sync_options(component: Component) -> list[str]:
    """Return the sync options that a component needs."""
    options = ["PruneLast=true"]
    if component.creates_namespace:
        options.append("CreateNamespace=true")
    if component.brings_crds:
        options.append("ServerSideApply=true")
    if component.needs_foreign_crds:
        options.append("SkipDryRunOnMissingResource=true")
    return options


def destination(environment: GitopsEnvironment) -> dict[str, str]:
    """Return the cluster of an environment."""
    if environment.cluster.name:
        return {"name": environment.cluster.name}
    return {"server": environment.cluster.server or IN_CLUSTER}


_PATCH = """\
spec:
  sources:
    - repoURL: {{ .chart.repoURL | toJson }}
{{- if hasKey .chart "path" }}
      path: {{ .chart.path | toJson }}
      targetRevision: @REVISION@
{{- else }}
      chart: {{ .chart.chart | toJson }}
      targetRevision: {{ .chart.version | toJson }}
{{- end }}
      helm:
        releaseName: {{ .release | toJson }}
        ignoreMissingValueFiles: {{ .ignoreMissingValueFiles | toJson }}
        valueFiles:
{{- range .valueFiles }}
          - {{ printf "$values/%s" . | toJson }}
{{- end }}
    - repoURL: @REPOSITORY@
      targetRevision: @REVISION@
      ref: values
  syncPolicy:
    syncOptions: {{ .syncOptions | toJson }}
  ignoreDifferences: {{ .ignoreDifferences | toJson }}
"""


def application_set(
    environment: GitopsEnvironment, components: Sequence[Component], context: Context
) -> dict[str, Any]:
    """Return the ApplicationSet of an environment."""
    settings = context.settings
    pattern = context.options.place.below_out(directory_of(environment.name, "*", "*") / "component.yaml")
    waves = sorted({component.wave for component in components})
    steps = [
        {"matchExpressions": [{"key": f"{LABEL}/wave", "operator": "In", "values": [str(wave)]}]} for wave in waves
    ]
    git = {"repoURL": settings.repository, "revision": context.revision, "files": [{"path": str(pattern)}]}
    patch = _PATCH.replace("@REVISION@", context.revision).replace("@REPOSITORY@", settings.repository)
    return {
        "apiVersion": API_VERSION,
        "kind": "ApplicationSet",
        "metadata": {"name": f"{context.stack}-{environment.name}", "namespace": NAMESPACE},
        "spec": {
            "goTemplate": True,
            "goTemplateOptions": ["missingkey=error"],
            "generators": [{"git": git}],
            "strategy": {"type": "RollingSync", "deletionOrder": "Reverse", "rollingSync": {"steps": steps}},
            "template": {
                "metadata": {
                    "name": "{{ .application }}",
                    "finalizers": [FINALIZER],
                    "labels": {
                        f"{LABEL}/environment": environment.name,
                        f"{LABEL}/tier": "{{ .tier }}",
                        f"{LABEL}/wave": "{{ .wave }}",
                    },
                },
                "spec": {
                    "project": "{{ .project }}",
                    "destination": {**destination(environment), "namespace": "{{ .namespace }}"},
                    "syncPolicy": {"automated": {"prune": environment.prune == "auto"}},
                },
            },
            "templatePatch": patch,
        },
    }
