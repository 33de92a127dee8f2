"""Runs kubeconform, and parses its findings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import json_for_yaml
from devtools.checks.findings import schema_errors
from devtools.checks.schemas import NAME, file_of
from devtools.errors import EnvironmentFault, Interrupted
from devtools.process.runner import Command, Runner

_TIMEOUT = 300.0  # seconds
_EXTRA = re.compile(r"additional properties (.*?) not allowed")
_NUMBERED = "object-"
_NO_SCHEMA = "could not find schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of one object, with kubeconform's message."""

    index: int  # of the object
    kind: Literal["no schema", "unknown field", "field", "object"]
    path: tuple[str, ...] = ()  # of the field
    message: str


def schema_file(body: Mapping[str, Any]) -> str:
    """Return the name of the file with the schema of an object."""
    group, _, version = str(body.get("apiVersion", "")).rpartition("/")
    return file_of(group, version, str(body.get("kind", "")))


def faults_of(
    program: Path,
    runner: Runner,
    schemas: Mapping[str, Mapping[str, Any]],
    objects: Sequence[Mapping[str, Any]],
    home: Path,
) -> Iterator[Fault]:
    """Validate objects against schemas in one run of kubeconform; schemas go below `home`.

    The objects are passed on stdin, because they contain secrets, each with a unique name.
    """
    if not objects:
        return
    directory = home / "schemas"
    directory.mkdir(mode=0o700)
    for name in {schema_file(body) for body in objects} & set(schemas):
        (directory / name).write_text(json.dumps(schemas[name]), encoding="utf-8")
    stream = "\n---\n".join(json_for_yaml(_named(body, number)) for number, body in enumerate(objects))
    argv = (str(program), "-strict", "-output", "json", "-schema-location", f"{directory}/{NAME}", "-")
    result = runner.run(Command(argv=argv, stdin=stream.encode(), timeout=_TIMEOUT))
    if result.cancelled:
        raise Interrupted("interrupted while checking objects")
    try:
        rows = read_json(result.stdout).get("resources") or ()
    except (ValueError, AttributeError) as error:
        raise EnvironmentFault(f"kubeconform failed: {result.stderr.strip()[-500:]}") from error
    for row in rows:
        yield from _faults(int(str(row["name"]).removeprefix(_NUMBERED)), str(row.get("msg") or ""))


def _named(body: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return an object with the unique name that kubeconform's messages repeat."""
    return {**body, "metadata": {**(body.get("metadata") or {}), "name": f"{_NUMBERED}{number}"}}


def _faults(index: int, message: str) -> Iterator[Fault]:
    """Yield the faults in a message about one object; nothing if it is empty."""
    found = [(path, text) for path, text in schema_errors(message) if text != "validation failed"]
    if message and not found:
        yield Fault(index=index, kind="no schema" if _NO_SCHEMA in message else "object", message=message)
    for path, text in found:
        extra = _EXTRA.search(text)
        names = re.findall(r"'([^']+)'", extra[1]) if extra else []
        for name in names:
            yield Fault(index=index, kind="unknown field", path=(*path, name), message=text)
        if not names:
            yield Fault(index=index, kind="field", path=path, message=text)
