"""Kinds that a release uses and the cluster does not have, from helm's message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.charts.crds import files_of
from devtools.errors import DevtoolsError
from devtools.helm.commands import missing_kinds
from devtools.readiness.wait import Failure

# What belongs to Kubernetes itself: no release brings a kind of these (https://kubernetes.io/docs/reference/using-api/).
_OWN = frozenset(
    {"", "apps", "autoscaling", "batch", "extensions", "policy", "apiextensions.k8s.io", "apiregistration.k8s.io"}
    | {f"{area}.k8s.io" for area in ("admissionregistration", "authentication", "authorization", "certificates")}
    | {f"{area}.k8s.io" for area in ("coordination", "discovery", "events", "flowcontrol.apiserver", "networking")}
    | {f"{area}.k8s.io" for area in ("node", "rbac.authorization", "resource", "scheduling", "storage")}
)


def unknown(text: str, chart: Path, values: Mapping[str, Any]) -> Failure | None:
    """Return the failure that helm's message means if it is about kinds that the cluster does not have."""
    kinds = missing_kinds(text)
    if not kinds:
        return None
    said = f"the cluster has no kind {' and '.join(kinds)}"
    if all(kind.rpartition(" of ")[2].rpartition("/")[0] in _OWN for kind in kinds):
        hint = "the chart is for another Kubernetes: `kubectl api-versions` shows what this one serves"
        return Failure(f"{said}: its Kubernetes does not serve that version of its API", hint=hint, details=[text])
    if own := _in_templates(chart, values, kinds):
        message = f"{said}: its CRD is in {own} of the same chart, and Helm looks up every kind before it installs any"
        hint = "move the CRD to the chart's crds/, or into a release that this one needs"
        return Failure(message, hint=hint, details=[text])
    return Failure(
        f"{said}: no CRD for it is there", hint="add the release that brings the CRD to its needs", details=[text]
    )


def _in_templates(chart: Path, values: Mapping[str, Any], kinds: tuple[str, ...]) -> str:
    """Return the template of a chart that seems to hold the CRD of one of these kinds, empty if none does."""
    names = "|".join(re.escape(kind.partition(" of ")[0]) for kind in kinds)
    declared = re.compile(rf"^\s*(?:names:\s*{{.*)?[\"']?kind[\"']?:\s*[\"']?(?:{names})\b", re.MULTILINE)
    try:
        for where, files in files_of(chart, values, lambda name: "templates/" in name):
            for name, content in sorted(files.items()):
                text = content.decode("utf-8", "replace")
                if name.startswith("templates/") and "CustomResourceDefinition" in text and declared.search(text):
                    return f"{where}{name}"
    except DevtoolsError:
        return ""
    return ""
