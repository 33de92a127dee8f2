"""Strict checks by kubeconform: fields, types and required fields of the kinds whose CRDs are known.

It knows no CEL: rules between fields, such as chart or chartRef, are not checked (yannh/kubeconform#236). Kinds of
Kubernetes itself have no CRD and are not checked, because their schemas would have to be downloaded.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.errors import EnvironmentFault
from devtools.gitops.schemas import NOT_SERVED, Checked, Rejection, counted, kind_of, without_status
from devtools.gitops.schemas.crds import Crds
from devtools.process.runner import Command, Runner

_TIMEOUT = 300.0  # seconds
_OPEN = {"type": "object"}


def check(program: Path, runner: Runner, objects: Sequence[Mapping[str, Any]], crds: Crds, version: str) -> Checked:
    """Have kubeconform judge the objects whose CRD is known."""
    known = [
        (index, item)
        for index, item in enumerate(objects)
        if kind_of(item)[0] not in NOT_SERVED and _schema_of(item, crds) is not None
    ]
    known_at = {index for index, _ in known}
    left = [item for n, item in enumerate(objects) if n not in known_at and kind_of(item)[0] not in NOT_SERVED]
    by = f"kubeconform {version}"
    if not known:
        return Checked(by=by, skipped=counted(left))
    with tempfile.TemporaryDirectory(prefix="devtools-schemas-") as scratch:
        schemas, files = Path(scratch) / "schemas", Path(scratch) / "objects"
        schemas.mkdir()
        files.mkdir()
        for index, item in known:
            (schemas / _file_of(item)).write_text(json.dumps(_schema_of(item, crds)), encoding="utf-8")
            (files / f"{index}.json").write_text(json.dumps(without_status(item)), encoding="utf-8")
        place = f"{schemas}/{{{{.Group}}}}_{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json"
        argv = (str(program), "-strict", "-output", "json", "-schema-location", place, str(files))
        result = runner.run(Command(argv=argv, timeout=_TIMEOUT))
    return Checked(by=by, rejections=tuple(_rejections(result.stdout, result.stderr)), skipped=counted(left))


def _file_of(item: Mapping[str, Any]) -> str:
    group, version, kind = kind_of(item)
    return f"{group}_{kind.lower()}_{version}.json"


def _schema_of(item: Mapping[str, Any], crds: Crds) -> dict[str, Any] | None:
    """The JSON schema of an object's kind and version, closed as the server's strict validation is."""
    group, version, kind = kind_of(item)
    crd = crds.get((group, kind))
    versions = crd["spec"].get("versions") or () if crd else ()
    schema = next((one.get("schema") for one in versions if one.get("name") == version and one.get("served")), None)
    if schema is None:
        return None
    root = schema.get("openAPIV3Schema") or {}
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **(root.get("properties") or {})}
    return dict(_closed({**root, "properties": {**properties, "metadata": _OPEN}}))


def _closed(schema: Any) -> Any:
    """A schema of OpenAPI as JSON schema: unknown fields are refused, as the API server does."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    properties = schema.get("properties")
    out = {
        key: _closed(value)
        for key, value in schema.items()
        if key != "properties" and not str(key).startswith("x-kubernetes-")
    }
    if isinstance(properties, Mapping):
        out["properties"] = {key: _closed(value) for key, value in properties.items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            out["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if schema.get("nullable") and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


def _rejections(out: str, err: str) -> list[Rejection]:
    """The rejections of the program's document; raises EnvironmentFault if there is none."""
    try:
        document = read_json(out.encode())
        resources = document["resources"] or []
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentFault(f"kubeconform did not answer: {err.strip()[:300] or out.strip()[:300]}") from error
    found = []
    for resource in resources:
        index = int(Path(resource["filename"]).stem)
        wrongs = resource.get("validationErrors") or [{"path": "", "msg": resource.get("msg", "")}]
        for wrong in wrongs:
            message = str(wrong.get("msg", ""))
            parts = (part for part in str(wrong.get("path", "")).split("/") if part)
            path = tuple(int(part) if part.isdigit() else part for part in parts)
            unknown = re.match(r"additional properties? '([^']+)'", message)
            path = (*path, unknown[1]) if unknown else path
            found.append(Rejection(index=index, path=path, message=message, unknown=unknown is not None))
    return found
