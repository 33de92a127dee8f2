"""Makes a chart from a contract, in place of a pinned chart that is not vendored, so that its dependents can run.

It has the chart's CRDs (with an open schema), workloads and Services by name, but none of their behaviour.
Archive and Chart.yaml: https://helm.sh/docs/topics/charts/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devtools.base.archives import packed
from devtools.base.atomic_write import write_whole
from devtools.charts.contract import Crd, Service, Workload
from devtools.charts.lock import LockEntry
from devtools.errors import EnvironmentFault

LABEL = "devtools.ameide.io/stand-in"
FORM = 1  # raise it when the same contract results in different files: existing stand-ins are found by it
_RELEASE = "{{ .Release.Name }}"
_FULLNAME = '{{ include "stand-in.fullname" . }}'
# As `helm create` writes it, and most charts have it: the release's name if that contains the chart's.
_HELPERS = """{{- define "stand-in.fullname" -}}
{{- $name := .Values.nameOverride | default "CHART" -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}
"""


@dataclass(frozen=True, slots=True)
class StandIns:
    """Makes stand-ins, each once, as archives in a directory that may be deleted at any time."""

    directory: Path

    def __call__(self, entry: LockEntry) -> Path:
        """Return the archive of the entry's stand-in, made if missing; EnvironmentFault if it cannot be written."""
        known = repr((FORM, entry.chart, entry.version, entry.contract))
        key = hashlib.sha256(known.encode()).hexdigest()[:16]
        path = self.directory / entry.publisher / f"{entry.name}-{version_of(entry)}-{key}.tgz"
        try:
            if not path.exists():
                write_whole(path, packed(chart_files(entry)), lasting=True)
        except OSError as error:
            message = f"cannot write the stand-in for chart '{entry.chart}': {error.strerror or error}"
            raise EnvironmentFault(message, hint=f"it belongs to {path.parent}") from error
        return path


def version_of(entry: LockEntry) -> str:
    """Return the stand-in's version: the chart's, with build metadata that marks a stand-in."""
    return f"{entry.version}{'.' if '+' in entry.version else '+'}standin"


def chart_files(entry: LockEntry) -> dict[str, bytes]:
    """Return the chart's files by path (which begins with its name); identical for an entry on every machine."""
    contract = entry.contract
    files = {
        "Chart.yaml": _yaml(_chart_yaml(entry)),
        "values.yaml": "# A stand-in takes any values. It heeds nameOverride and fullnameOverride"
        + (f", and {contract.crds_switch}.\n" if contract.crds_switch and contract.crds_in == "templates" else ".\n"),
        "templates/_helpers.tpl": _HELPERS.replace("CHART", entry.name),
    }
    for crd in contract.crds:
        in_templates = contract.crds_in == "templates"
        text = _yaml(crd_object(crd, keep=in_templates and contract.crds_keep))
        files[f"{contract.crds_in}/{crd.name}.yaml"] = _switched(text, contract.crds_switch) if in_templates else text
    for workload in contract.workloads:
        services = [item for item in contract.services if _behind(item, contract.workloads) == workload]
        files[f"templates/{workload.kind.lower()}-{_plain(workload.name)}.yaml"] = _yaml(
            _workload(entry, workload, services)
        )
    for service in contract.services:
        text = _yaml(_service(entry, service, _behind(service, contract.workloads)))
        files[f"templates/service-{_plain(service.name)}.yaml"] = text
    return {f"{entry.name}/{name}": text.encode() for name, text in files.items()}


def _chart_yaml(entry: LockEntry) -> dict[str, Any]:
    return {
        "apiVersion": "v2",
        "name": entry.name,
        "version": version_of(entry),
        "description": f"Stands in for {entry.chart} {entry.version}, which is not vendored",
        "annotations": {LABEL: "true"},
    }


def crd_object(crd: Crd, *, keep: bool) -> dict[str, Any]:
    """Return a CRD that accepts any object of its kind; with `keep`, it outlives its release."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {**anything, "properties": {"spec": anything, "status": anything}}
    metadata: dict[str, Any] = {"name": crd.name, "labels": {LABEL: "true"}}
    if keep:
        metadata["annotations"] = {"helm.sh/resource-policy": "keep"}
    if crd.group.endswith(".k8s.io"):  # the API server refuses CRDs of these groups without an approval annotation
        metadata.setdefault("annotations", {})["api-approved.kubernetes.io"] = "unapproved, a stand-in"
    versions = [
        {
            "name": version.name,
            "served": version.served,
            "storage": version.storage,
            "schema": {"openAPIV3Schema": schema},
            **({"subresources": {"status": {}}} if crd.status else {}),
        }
        for version in crd.versions
    ]
    names = {"kind": crd.kind, "listKind": f"{crd.kind}List", "plural": crd.plural, "singular": crd.kind.lower()}
    spec = {"group": crd.group, "scope": crd.scope, "names": names, "versions": versions}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


def _workload(entry: LockEntry, workload: Workload, services: list[Service]) -> dict[str, Any]:
    """Return a pod that does nothing, requests minimal resources, and is allowed in restricted namespaces."""
    selector = _selector(entry, workload)
    ports = {(port.port, port.protocol): None for service in services for port in service.ports}
    container = {
        "name": "stand-in",
        "image": f"stand-in.invalid/{entry.name}:{entry.version.replace('+', '_')}",
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **({"ports": [{"containerPort": port, "protocol": kind} for port, kind in ports]} if ports else {}),
    }
    pod = {
        "metadata": {"labels": {LABEL: "true", **selector}},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }
    spec: dict[str, Any] = {"selector": {"matchLabels": selector}, "template": pod}
    if workload.kind != "DaemonSet":
        spec["replicas"] = 1
    if workload.kind == "StatefulSet":
        headless = [service.name for service in services if service.headless] or [service.name for service in services]
        spec["serviceName"] = _name((headless or [workload.name])[0])
    return {
        "apiVersion": "apps/v1",
        "kind": workload.kind,
        "metadata": _metadata(entry, workload.name),
        "spec": spec,
    }


def _service(entry: LockEntry, service: Service, workload: Workload | None) -> dict[str, Any]:
    ports = [
        {**({"name": port.name} if port.name else {}), "port": port.port, "protocol": port.protocol}
        for port in service.ports
    ]
    spec: dict[str, Any] = {"ports": ports}
    if service.headless:
        spec["clusterIP"] = "None"
    if workload:
        spec["selector"] = _selector(entry, workload)
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(entry, service.name), "spec": spec}


def _behind(service: Service, workloads: tuple[Workload, ...]) -> Workload | None:
    """Return a Service's workload: the one with the longest name that begins the Service's name, else the first."""
    named = [workload for workload in workloads if f"{service.name}-".startswith(f"{workload.name}-")]
    return max(named, key=lambda workload: len(workload.name), default=next(iter(workloads), None))


def _selector(entry: LockEntry, workload: Workload) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": entry.name,
        "app.kubernetes.io/instance": _RELEASE,
        "app.kubernetes.io/component": _plain(workload.name)[:63].rstrip("-."),
    }


def _metadata(entry: LockEntry, name: str) -> dict[str, Any]:
    labels = {
        LABEL: "true",
        "app.kubernetes.io/name": entry.name,
        "app.kubernetes.io/instance": _RELEASE,
        "app.kubernetes.io/managed-by": "{{ .Release.Service }}",
    }
    return {"name": _name(name), "labels": labels}


def _name(name: str) -> str:
    """Return a contract's name as a template."""
    return name.replace("{release}", _RELEASE).replace("{fullname}", _FULLNAME)


def _plain(name: str) -> str:
    """Return a contract's name without braces, for use as a file name or a label's value."""
    return name.replace("{", "").replace("}", "")


def _switched(text: str, switch: str) -> str:
    """Wrap text so that it renders only if a value is true, so that a missing setting fails as with the real chart."""
    if not switch:
        return text
    keys = " ".join(f'"{key}"' for key in switch.split("."))
    return f"{{{{- if dig {keys} false .Values.AsMap }}}}\n{text}{{{{- end }}}}\n"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # the C dumper's type is Any
    """Writes repeated values in full instead of anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _yaml(data: Mapping[str, Any]) -> str:
    return yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, width=1000)
