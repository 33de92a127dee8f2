"""The JSON Schema of a layer file, made of the types that validate it; editors complete and check with it."""

from __future__ import annotations

import json
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def layer_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `layers/NN-name.yaml`, with a description of every key."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - 65 ms that not every task needs

    from devtools.stack.declared import HelmKeys, LayerFile, ReleaseKeys  # noqa: PLC0415 - imports pydantic

    schema = _without_titles(TypeAdapter(LayerFile).json_schema())
    release = schema["$defs"]["ReleaseEntry"]["properties"]
    for kind in (HelmKeys, ReleaseKeys):  # pydantic reads the docstrings of a class's own keys only
        inherited = TypeAdapter(kind).json_schema()["properties"]
        for key, item in inherited.items():
            if "description" in item:
                release[key]["description"] = item["description"]
    return {"$schema": DIALECT, "title": "Layer of a stack", **schema}


def layer_schema_text() -> str:
    """The schema as its committed file holds it."""
    return json.dumps(layer_schema(), indent=2, ensure_ascii=False) + "\n"


def _without_titles(value: Any) -> Any:
    """Without pydantic's titles, which only repeat the keys' names."""
    if isinstance(value, dict):
        return {
            key: _without_titles(item) for key, item in value.items() if key != "title" or not isinstance(item, str)
        }
    return [_without_titles(item) for item in value] if isinstance(value, list) else value
