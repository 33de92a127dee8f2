"""Rendered objects with their templates, and kubeconform's findings about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import json_for_yaml
from devtools.base.open_file import read_source
from devtools.charts.packaged.manifests import place_in
from devtools.charts.packaged.source_files import MANIFESTS
from devtools.checks.findings import Check, Finding, Shown, line_of, text_of
from devtools.checks.kubeconform import Fault, faults_of
from devtools.diff.effects import CRD
from devtools.errors import Location
from devtools.helm.commands import documents
from devtools.model import Release
from devtools.process.runner import Runner
from devtools.redaction import Redactor

_DOCUMENT = re.compile(r"^---\s*$", re.MULTILINE)
_SOURCE = re.compile(r"^# Source: [^/\s]+/(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An object that a release renders in an environment; `source` is its template's path in the chart."""

    environment: str
    release: Release
    source: str
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name in messages: `Deployment/web`."""
        return f"{self.body.get('kind')}/{(self.body.get('metadata') or {}).get('name')}"

    def finding(self, check: Check, message: str, path: Sequence[str], shown: Shown) -> Finding:
        """Return a finding at the line of the template that most likely writes this field."""
        file = self.release.chart.path / self.source
        where = self.release.where
        if (made_of := self.release.chart).kind == "packaged" and made_of.name.startswith(f"{MANIFESTS}/"):
            file = made_of.sources[0] / self.source.removeprefix("templates/")
            where = place_in(read_source(file), shown(file), self.body, path)
        elif self.source and self.release.chart.path.is_dir() and file.is_file():
            where = Location(file=shown(file), line=line_of(text_of(file), str(self.body.get("kind")), path))
        else:
            message = f"{self.release.chart.name}/{self.source}: {message}"
        names = (str(self.release.id),)
        return Finding(where=where, check=check, message=message, environments=(self.environment,), releases=names)


def made_by(text: str, environment: str, release: Release) -> Iterator[Made]:
    """Yield the objects in helm's output, each with the template that its comment names."""
    for part in _DOCUMENT.split(text):
        source = _SOURCE.search(part)
        for body in documents(part):
            yield Made(environment=environment, release=release, source=source[1] if source else "", body=body)


def conform(
    program: Path,
    runner: Runner,
    schemas: Mapping[str, Mapping[str, Any]],
    objects: Sequence[Made],
    home: Path,
    shown: Shown,
) -> list[Finding]:
    """Validate objects against schemas with kubeconform, equal objects once; schemas go below `home`."""
    groups: dict[str, list[Made]] = {}
    found: list[Finding] = []
    for item in objects:
        if isinstance(item.body.get("apiVersion"), str):
            groups.setdefault(json_for_yaml(item.body) + item.source, []).append(item)
        else:
            found.append(item.finding("objects", f"{item.name}: has no apiVersion", ("kind",), shown))
    every = list(groups.values())
    faults = faults_of(program, runner, schemas, [group[0].body for group in every], home)
    return found + [_finding(fault, item, shown) for fault in faults for item in every[fault.index]]


def _finding(fault: Fault, item: Made, shown: Shown) -> Finding:
    """Return kubeconform's findings, without secrets."""
    redactor = Redactor()
    redactor.learn(item.body)
    field = f".{'.'.join(fault.path)}"
    if fault.kind == "no schema":
        kind, version = item.body.get("kind"), item.body.get("apiVersion")
        group = str(version).rpartition("/")[0]
        custom = "." in group and not group.endswith(".k8s.io")
        why = "no CRD of the stack defines this kind" if custom else "this Kubernetes does not serve this kind"
        return item.finding("objects", f"{item.name}: {why}: {kind} of {version}", ("apiVersion",), shown)
    if fault.kind == "unknown field":
        return item.finding("objects", f"{item.name}: unknown field {field}", fault.path, shown)
    text = redactor.text(fault.message)
    what = f"{field}: {text}" if fault.kind == "field" else text
    return item.finding("objects", f"{item.name}: {what}", fault.path, shown)


def crds_among(objects: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the CRDs among objects."""
    return [item for item in objects if item.get("kind") == CRD]
