"""JSON schemas for kubeconform, made from an API server's OpenAPI and from CRDs. Pure.

They are as strict as the API server with strict field validation: an unknown field is an error. Optional fields may be
null, quantities and ports may be numbers or strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devtools.planning.graph import reached

# Names the files of schemas: the Go template for kubeconform's `-schema-location`.
NAME = "{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"
_BUILT_IN = ("io.k8s.api.", "io.k8s.apimachinery.", "io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator.")
_REF = "#/definitions/"
_EITHER = {"type": ["string", "number", "null"]}
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_DROPPED = ("description", "default", "example", "externalDocs", "format", "title")


def built_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return Kubernetes' own definitions in an OpenAPI v2 document, from which schemas are made."""
    every = document.get("definitions") or {}
    return {name: value for name, value in every.items() if name.startswith(_BUILT_IN)}


def schemas_of(definitions: Mapping[str, Any], crds: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a schema for each kind, by the name of its file."""
    strict = {name: _strict(value) for name, value in definitions.items()}
    strict |= {_QUANTITY: _EITHER} if _QUANTITY in strict else {}
    found: dict[str, dict[str, Any]] = {}
    for name, value in definitions.items():
        for kind in value.get("x-kubernetes-group-version-kind") or ():
            found[file_of(kind["group"], kind["version"], kind["kind"])] = _closed(strict[name], strict)
    for crd in crds:
        found |= dict(_of_crd(crd, strict))
    return found


def _of_crd(crd: Mapping[str, Any], strict: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of each served version of a CRD."""
    spec = crd.get("spec") or {}
    kind = str((spec.get("names") or {}).get("kind") or "")
    for version in spec.get("versions") or ():
        if not version.get("served"):
            continue
        schema = _strict((version.get("schema") or {}).get("openAPIV3Schema") or {})
        names = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _REF + _META}}
        properties = {**(schema.get("properties") or {}), **names}
        whole = {**schema, "type": "object", "properties": properties}
        yield file_of(spec.get("group"), version.get("name"), kind), _closed(whole, strict)


def file_of(group: Any, version: Any, kind: str) -> str:
    """Return the file name under which kubeconform looks up a schema; the core group is named like its version."""
    return f"{group or version}_{version}_{kind.lower()}.json"


def _closed(schema: Mapping[str, Any], strict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with every definition that it refers to, directly or indirectly."""
    names = reached(_refs(schema), lambda name: _refs(strict.get(name, {})))
    return {**schema, "definitions": {name: strict.get(name, {}) for name in names}}


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield str(value["$ref"]).removeprefix(_REF)
        for item in value.values():
            yield from _refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _refs(item)


def _strict(schema: Any) -> Any:
    """Return a schema as JSON Schema that refuses unknown fields and allows null for any value."""
    if not isinstance(schema, Mapping):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return _EITHER
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    out = {key: _inside(key, value) for key, value in schema.items() if not _is_dropped(key)}
    if isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    if "enum" in out:
        out["enum"] = [*out["enum"], None]
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if "properties" in out and "additionalProperties" not in out and not is_open:
        out["additionalProperties"] = False
    return out


def _is_dropped(key: str) -> bool:
    return key in _DROPPED or key.startswith("x-kubernetes-") or key == "nullable"


def _inside(key: str, value: Any) -> Any:
    """Convert the value of a key: schemas by name, schemas in a list, one schema, or a plain value."""
    if key in {"properties", "patternProperties"} and isinstance(value, Mapping):
        return {name: _strict(item) for name, item in value.items()}
    if key in {"allOf", "anyOf", "oneOf"} and isinstance(value, list):
        return [_part(item) for item in value]
    if key == "not":
        return _part(value)
    if key in {"items", "additionalProperties"}:
        return _strict(value)
    return value


def _part(schema: Any) -> Any:
    """Return a schema that only narrows another one: it names some fields, and allows all others."""
    if not isinstance(schema, Mapping):
        return schema
    made = {key: value for key, value in schema.items() if not _is_dropped(key)}
    if isinstance(made.get("properties"), Mapping):
        made["properties"] = {name: _part(item) for name, item in made["properties"].items()}
    for key in ("allOf", "anyOf", "oneOf"):
        if isinstance(made.get(key), list):
            made[key] = [_part(item) for item in made[key]]
    for key in ("items", "additionalProperties", "not"):
        if isinstance(made.get(key), Mapping):
            made[key] = _part(made[key])
    return made
