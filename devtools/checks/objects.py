"""Rendered objects with the template that each comes from, and kubeconform's judgement of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import json_for_yaml
from devtools.checks.findings import Check, Finding, line_of, text_of
from devtools.checks.schemas import NAME, file_of
from devtools.errors import DevtoolsError, Interrupted, Location
from devtools.helm.commands import documents
from devtools.model import Release
from devtools.process.runner import Command, Runner
from devtools.redaction import Redactor

_DOCUMENT = re.compile(r"^---\s*$", re.MULTILINE)
_SOURCE = re.compile(r"^# Source: [^/\s]+/(\S+)$", re.MULTILINE)
_EXTRA = re.compile(r"additional properties (.*?) not allowed")
_AT = re.compile(r"- at '(?P<path>[^']*)': (?P<what>.*?)(?=\s+- at '|\Z)", re.DOTALL)
_NUMBERED = "object-"
_NO_SCHEMA = "could not find schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An object that a release renders in an environment; `source` is its template's path in the chart."""

    environment: str
    release: Release
    source: str
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`Deployment/web`, as messages name it."""
        return f"{self.body.get('kind')}/{(self.body.get('metadata') or {}).get('name')}"

    def finding(self, check: Check, message: str, path: Sequence[str], shown: Callable[[Path], Path]) -> Finding:
        """Return a finding at the line of the template that most likely writes this field."""
        file = self.release.chart.path / self.source
        where = self.release.where
        if self.source and self.release.chart.path.is_dir() and file.is_file():
            where = Location(file=shown(file), line=line_of(text_of(file), str(self.body.get("kind")), path))
        else:
            message = f"{self.release.chart.name}/{self.source}: {message}"
        return Finding(
            where=where,
            check=check,
            message=message,
            environments=(self.environment,),
            releases=(str(self.release.id),),
        )


def made_by(text: str, environment: str, release: Release) -> Iterator[Made]:
    """Yield the objects of what helm printed, each with the template that its comment names."""
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
    shown: Callable[[Path], Path],
) -> list[Finding]:
    """Validate objects against schemas in one run of kubeconform; schemas go below `home`.

    The objects go in on stdin, since they hold secrets, each under a name that tells it from the others.
    """
    groups: dict[str, list[Made]] = {}
    nameless = [item for item in objects if not isinstance(item.body.get("apiVersion"), str)]
    found = [item.finding("objects", f"{item.name}: has no apiVersion", ("kind",), shown) for item in nameless]
    for item in (item for item in objects if isinstance(item.body.get("apiVersion"), str)):
        groups.setdefault(json_for_yaml(item.body) + item.source, []).append(item)
    every = list(groups.values())
    (home / "schemas").mkdir(mode=0o700)
    used = {_schema_file(group[0].body) for group in every}
    for name, schema in schemas.items():
        if name in used:
            (home / "schemas" / name).write_text(json.dumps(schema), encoding="utf-8")
    if not every:
        return found
    stream = "\n---\n".join(json_for_yaml(_named(group[0].body, number)) for number, group in enumerate(every))
    location = f"{home / 'schemas'}/{NAME}"
    argv = (str(program), "-strict", "-output", "json", "-schema-location", location, "-")
    result = runner.run(Command(argv=argv, stdin=stream.encode(), timeout=300))
    if result.cancelled:
        raise Interrupted("interrupted while checking objects")
    try:
        rows = read_json(result.stdout).get("resources") or ()
    except (ValueError, AttributeError) as error:
        raise DevtoolsError(f"kubeconform failed: {result.stderr.strip()[-500:]}") from error
    return found + [
        finding
        for row in rows
        for item in every[int(str(row["name"]).removeprefix(_NUMBERED))]
        for finding in _judged(row, item, shown)
    ]


def _named(body: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return an object under a name that kubeconform repeats."""
    return {**body, "metadata": {**(body.get("metadata") or {}), "name": f"{_NUMBERED}{number}"}}


def _schema_file(body: Mapping[str, Any]) -> str:
    group, _, version = str(body.get("apiVersion", "")).rpartition("/")
    return file_of(group, version, str(body.get("kind", "")))


def _judged(row: Mapping[str, Any], item: Made, shown: Callable[[Path], Path]) -> Iterator[Finding]:
    """Yield what kubeconform says of one object."""
    message = str(row.get("msg") or "")
    if _NO_SCHEMA in message:
        kind, version = item.body.get("kind"), item.body.get("apiVersion")
        group = str(version).rpartition("/")[0]
        custom = "." in group and not group.endswith(".k8s.io")
        why = "no CRD of the stack brings this kind" if custom else "this Kubernetes does not serve this kind"
        yield item.finding("objects", f"{item.name}: {why}: {kind} of {version}", ("apiVersion",), shown)
        return
    redactor = Redactor()
    redactor.learn(item.body)
    found = [match for match in _AT.finditer(message) if match["what"].strip() != "validation failed"]
    for error in found:
        path = [part for part in error["path"].split("/") if part]
        text = redactor.text(error["what"].strip())
        extra = _EXTRA.search(text)
        names = re.findall(r"'([^']+)'", extra[1]) if extra else []
        if names:
            for name in names:
                what = f"{item.name}: unknown field .{'.'.join([*path, name])}"
                yield item.finding("objects", what, [*path, name], shown)
        else:
            yield item.finding("objects", f"{item.name}: .{'.'.join(path)}: {text}", path, shown)
    if message and not found:
        yield item.finding("objects", f"{item.name}: {redactor.text(message)}", (), shown)


def crds_among(objects: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the CRDs among objects."""
    return [item for item in objects if item.get("kind") == "CustomResourceDefinition"]
