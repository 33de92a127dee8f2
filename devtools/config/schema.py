"""The JSON Schemas of layer files and devtools.yaml, made of the types that validate them, for editors."""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from types import ModuleType
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def layer_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `layers/NN-name.yaml`, with a description of every key."""
    return _schema("LayerFile", "Layer of a stack")


def settings_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `devtools.yaml`, with a description of every key."""
    return _schema("SettingsFile", "Settings of a repository")


def _schema(root: str, title: str) -> dict[str, Any]:
    """The schema of one of the declared types."""
    from pydantic import TypeAdapter

    from devtools.config import declared
    from devtools.config.settings_file import declared as settings_file

    module = declared if hasattr(declared, root) else settings_file
    schema = _without_titles(TypeAdapter(getattr(module, root)).json_schema())
    descriptions = _descriptions(declared) | _descriptions(settings_file)
    for name, kind in ((root, schema), *schema["$defs"].items()):
        for key, text in descriptions.get(name, {}).items():
            if key in kind.get("properties", {}):
                kind["properties"][key] = dict(sorted({**kind["properties"][key], "description": text}.items()))
    return {"$schema": DIALECT, "title": title, **schema}


def _descriptions(module: ModuleType) -> dict[str, dict[str, str]]:
    """For each class of a module, the docstrings under its keys, inherited ones too.

    Pydantic would read them whenever it builds a validator: a tenth of a second of every command.
    """
    found: dict[str, dict[str, str]] = {}
    for kind in ast.parse(inspect.getsource(module)).body:
        if isinstance(kind, ast.ClassDef):
            inherited = (found.get(base.id, {}) for base in kind.bases if isinstance(base, ast.Name))
            found[kind.name] = {key: text for keys in inherited for key, text in keys.items()}
            for key, doc in pairwise(kind.body):
                text = doc.value.value if isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant) else None
                if isinstance(text, str) and isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name):
                    found[kind.name][key.target.id] = inspect.cleandoc(text)
    return found


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as its committed file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _without_titles(value: Any) -> Any:
    """Without pydantic's titles, which only repeat the keys' names."""
    if isinstance(value, dict):
        return {
            key: _without_titles(item) for key, item in value.items() if key != "title" or not isinstance(item, str)
        }
    return [_without_titles(item) for item in value] if isinstance(value, list) else value
