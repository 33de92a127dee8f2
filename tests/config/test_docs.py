"""The reference and the schema say what the code reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from devtools.base.yaml_positions import parse
from devtools.charts.declared import LockedChart, LockFile
from devtools.config import declared
from devtools.config.schema import layer_schema, schema_text, settings_schema
from devtools.config.settings_file import declared as settings_file
from devtools.config.validate import validated

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/layer-files.md").read_text()
SECTIONS = {
    declared.LayerFile: "## `layers/NN-name.yaml`",
    declared.ReleaseEntry: "### A release",
    declared.ContractEntry: "### A contract",
    declared.HttpEntry: "| key of `http`",
    declared.HookEntry: "### A command before the sync",
    declared.DefaultsFile: "## `layers/_defaults.yaml`",
    settings_file.SettingsFile: "## `devtools.yaml`",
    settings_file.PathsKeys: "| key of `paths`",
    settings_file.ClusterKeys: "| key of `cluster`",
    settings_file.EnvironmentKeys: "| key of `environments`",
    settings_file.GitopsKeys: "| key of `gitops`",
    settings_file.GitopsEnvironmentKeys: "| key of an exported environment",
    settings_file.GitopsClusterKeys: "| key of its `cluster`",
    declared.IgnoreEntry: "| key of `ignore`",
    LockedChart: "| key of `charts`",
}
FILES = {
    "layers/_defaults.yaml": declared.DefaultsFile,
    "devtools.yaml": settings_file.SettingsFile,
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
    assert keys_of_table(start) == kind.__required_keys__ | kind.__optional_keys__


def test_every_type_of_key_has_its_section() -> None:
    modules = (declared, settings_file)
    names = {module.__name__ for module in modules}
    ours = [value for module in modules for value in vars(module).values()]
    ours = [value for value in ours if getattr(value, "__module__", "") in names]
    kinds = {value for value in ours if hasattr(value, "__required_keys__")}
    assert kinds - set(SECTIONS) == {declared.HelmKeys, declared.ReleaseKeys, settings_file.FromKey}  # parts of others


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_example_parses(block: str) -> None:
    name = block.splitlines()[0].removeprefix("# ")
    document = parse(block.encode(), Path(name))
    assert document.problems == ()
    kind = FILES.get(name, declared.LayerFile if name.startswith("layers/") else None)
    if kind:
        assert validated(kind, document)[1] == ()


SCHEMAS = {"layer": layer_schema, "devtools": settings_schema}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    committed = (ROOT / f"docs/schema/{name}.schema.json").read_text()
    assert committed == schema_text(SCHEMAS[name]()), "see devtools.config.schema"


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
