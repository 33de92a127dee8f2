"""Generates the JSON Schemas of layer files and devtools.yaml for editors, from the types that validate them."""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from devtools.config import settings
from devtools.config.settings import Settings
from devtools.config.settings_file import gitops
from devtools.config.validate import form_of, keys_of
from devtools.model import Layer, declared

_REFERENCE = {"type": "string", "pattern": r"\$\{", "description": "A text with `${path.to.value}` in it."}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def layer_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `layers/NN-name.yaml`, with a description of every key.

    A reference may replace any value; the value it resolves to is checked when the stack is loaded.
    """
    schema = _with_references(_schema(Layer, "Layer of a stack", declared))
    kinds = {name: _with_references(form) for name, form in schema["$defs"].items()}
    return {**schema, "$defs": {**kinds, "Reference": _REFERENCE}}


def settings_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `devtools.yaml`, with a description of every key."""
    return _schema(Settings, "Settings of a repository", settings, gitops, declared)


def _with_references(form: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a map or list whose values may be references."""
    changed = dict(form)
    if "properties" in form:
        changed["properties"] = {key: _or_reference(value) for key, value in form["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(form.get(key), dict):
            changed[key] = _or_reference(form[key])
    if "anyOf" in form:
        changed["anyOf"] = [_with_references(choice) for choice in form["anyOf"]]
    return changed


def _or_reference(form: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value, or of a text with a reference if the value does not allow that anyway."""
    form = _with_references(form)
    is_any_text = form.get("type") == "string" and not {"pattern", "enum", "maxLength"} & form.keys()
    if is_any_text or not {"type", "anyOf", "$ref", "enum"} & form.keys():
        return form
    about: dict[str, Any] = {key: form[key] for key in ("description", "default") if key in form}
    rest = {key: value for key, value in form.items() if key not in about}
    choices = rest["anyOf"] if list(rest) == ["anyOf"] else [rest]
    return {"anyOf": [*choices, {"$ref": "#/$defs/Reference"}], **about}


def _schema(root: type, title: str, *modules: ModuleType) -> dict[str, Any]:
    """Return the schema of a class of the model."""
    from pydantic import TypeAdapter

    schema = _without_titles(TypeAdapter(form_of(root)).json_schema())
    for name, form in ((root.__name__, schema), *schema["$defs"].items()):
        kind = next(getattr(module, name) for module in modules if hasattr(module, name))
        descriptions = _descriptions(kind)
        for key in keys_of(kind):
            described = {**form["properties"][key.name], "description": descriptions[key.field]}
            form["properties"][key.name] = dict(sorted(described.items()))
    return {"$schema": DIALECT, "title": title, **schema}


def _descriptions(model: type) -> dict[str, str]:
    """Return the docstrings under the fields of a class, including inherited ones."""
    found: dict[str, str] = {}
    for kind in model.__mro__[:-1]:
        (body,) = ast.parse(inspect.getsource(kind)).body
        for item, doc in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
            text = doc.value.value if isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant) else None
            if isinstance(text, str) and isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                found[item.target.id] = inspect.cleandoc(text)
    return found


def schema_text(schema: dict[str, Any]) -> str:
    """Return a schema as text of its committed file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _without_titles(value: Any) -> Any:
    """Remove pydantic's titles, which only repeat the keys' names."""
    if isinstance(value, dict):
        return {
            key: _without_titles(item) for key, item in value.items() if key != "title" or not isinstance(item, str)
        }
    return [_without_titles(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    for name, make in (("layer", layer_schema), ("devtools", settings_schema)):
        file = Path(__file__).parents[2] / "docs" / "schema" / f"{name}.schema.json"
        file.write_text(schema_text(make()), encoding="utf-8")
