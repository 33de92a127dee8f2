"""The reference and the schema say what the code reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from devtools.base.yaml_positions import parse
from devtools.charts.lock import LockEntry, LockFile
from devtools.config.build import DefaultsFile
from devtools.config.schema import layer_schema, schema_text, settings_schema
from devtools.config.settings import ClusterSettings, EnvironmentSettings, Paths, Settings
from devtools.config.settings_file.gitops import GitopsCluster, GitopsEnvironment, GitopsSettings, ImageUpdate
from devtools.config.validate import keys_of, validated
from devtools.model import Contract, Hook, HttpCheck, Ignore, Layer, Release

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/layer-files.md").read_text()
SECTIONS = {
    Layer: "## `layers/NN-name.yaml`",
    Release: "### A release",
    Contract: "### A contract",
    HttpCheck: "| key of `http`",
    Hook: "### A command before or after the sync",
    DefaultsFile: "## `layers/_defaults.yaml`",
    Settings: "## `devtools.yaml`",
    Paths: "| key of `paths`",
    ClusterSettings: "| key of `cluster`",
    EnvironmentSettings: "| key of `environments`",
    GitopsSettings: "| key of `gitops`",
    GitopsEnvironment: "| key of an exported environment",
    GitopsCluster: "| key of its `cluster`",
    ImageUpdate: "| key of an image",
    Ignore: "| key of `ignore`",
    LockEntry: "| key of `charts`",
}
FILES = {
    "layers/_defaults.yaml": DefaultsFile,
    "devtools.yaml": Settings,
    "charts/third_party/lock.yaml": LockFile,
}


def keys_of_table(start: str) -> set[str]:
    """The keys in the first table at or after a heading."""
    lines = PAGE[PAGE.index(start) :].splitlines()
    table: list[str] = []
    for line in lines:
        if line.startswith("|"):
            table.append(line)
        elif table:
            break
    return set(re.findall(r"^\| `(\w+)` \|", "\n".join(table), re.MULTILINE))


@pytest.mark.parametrize(("kind", "start"), SECTIONS.items())
def test_every_key_is_documented_and_no_other(kind: Any, start: str) -> None:
    assert keys_of_table(start) == {key.name for key in keys_of(kind)}


def test_every_type_of_key_has_its_section() -> None:
    kinds = {*layer_schema()["$defs"], *settings_schema()["$defs"]}
    assert kinds - {"Reference"} <= {kind.__name__ for kind in SECTIONS}


def test_a_reference_may_stand_for_every_value() -> None:
    kinds = layer_schema()["$defs"]
    assert re.search(kinds["Reference"]["pattern"], "shop-${number}")
    for kind, form in kinds.items():
        for key, item in form.get("properties", {}).items():
            is_text = item.get("type") == "string" and not {"pattern", "enum", "maxLength"} & item.keys()
            is_free = not {"type", "anyOf", "$ref", "enum"} & item.keys()
            assert is_text or is_free or {"$ref": "#/$defs/Reference"} in item["anyOf"], (kind, key)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_example_parses(block: str) -> None:
    name = block.splitlines()[0].removeprefix("# ")
    document = parse(block.encode(), Path(name))
    assert document.problems == ()
    kind = FILES.get(name, Layer if name.startswith("layers/") else None)
    if kind:
        assert validated(kind, document)[1] == ()


SCHEMAS = {"layer": layer_schema, "devtools": settings_schema}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    committed = (ROOT / f"docs/schema/{name}.schema.json").read_text()
    assert committed == schema_text(SCHEMAS[name]()), "run: python -m devtools.config.schema"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_of_the_schema_is_described(name: str) -> None:
    def undescribed(value: Any, path: str = "") -> list[str]:
        if not isinstance(value, dict):
            return []
        here = [f"{path}.{key}" for key, item in value.get("properties", {}).items() if not item.get("description")]
        items = [*value.items(), *enumerate(value.get("anyOf", ()))]
        return here + [found for key, item in items for found in undescribed(item, f"{path}.{key}")]

    schema = SCHEMAS[name]()
    assert undescribed(schema) == []
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    json.dumps(schema)
