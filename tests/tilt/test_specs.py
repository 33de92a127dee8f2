"""The specs document: what is in it, when it is written, and that it is as documented."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devtools.app.providers import require_target
from devtools.clusters.embedded.layout import Layout
from devtools.clusters.k3d.config import Config, Registry
from devtools.clusters.provider import Cluster
from devtools.errors import ConfigError, EnvironmentFault, ExitCode
from devtools.model import Facts
from devtools.planning.plan import Selection, make_plan
from devtools.tilt.harness import load_tiltfile
from devtools.toolchain.versions import tool
from tests.kits.stack import load
from tests.kits.tilt import PYTHON, ROOT, THREE, Repo, layer, made

SCHEMA = ROOT / "docs/schema/layer-specs.schema.json"


def document(repo: Repo) -> dict[str, Any]:
    return dict(json.loads((repo.root / ".devtools/layer-specs.json").read_text()))


def by_layer(repo: Repo) -> dict[str, Any]:
    return {item["layer"]: item for item in document(repo)["layers"]}


def test_a_layer_says_what_its_resource_is(tmp_path: Path) -> None:
    repo = made(tmp_path, {**THREE, "environments/local/40-data/data.yaml": "a: 1\n"})
    root = str(tmp_path)
    kubeconfig = f"{root}/state/k3d/demo/kubeconfig"
    found = by_layer(repo)["40-data"]
    assert len(found["env"].pop("DEVTOOLS_TILT_INPUTS")) == 12
    assert found == {
        "layer": "40-data",
        "number": 40,
        "stage": "data",
        "resource": "infra:40-data",
        "labels": ["infra.layer-tests.40-data"],
        "cmd": [
            *(PYTHON, "-m", "invoke", "--search-root", root, "layer", "40-data", "--env", "local"),
            *("--context", "k3d-demo", "--kubeconfig", kubeconfig),
        ],
        "dir": root,
        "env": {"DEVTOOLS_CLUSTER": "demo", "DEVTOOLS_PROVIDER": "k3d", "DEVTOOLS_STATE": f"{root}/state"},
        "deps": [
            *(f"{root}/layers/40-data.yaml", f"{root}/charts/platform/web"),
            f"{root}/environments/local/40-data/data.yaml",
        ],
        "links": [],
        "releases": ["x/data"],
        "resource_deps": ["infra:20-operators"],
        "allow_parallel": True,
        "critical": True,
        "drift_cmd": [
            *(PYTHON, "-m", "invoke", "--search-root", root, "drift", "--name", "40-data", "--env", "local"),
        ],
    }


def test_the_critical_path_is_the_protobuf_module_then_layers(tmp_path: Path) -> None:
    found = document(made(tmp_path))
    assert found["critical_path"] == ["ameide_core_proto", "infra:10-base", "infra:20-operators", "infra:40-data"]
    assert found["cluster"]["context"] == "k3d-demo"


def test_without_a_script_there_is_no_protobuf_module(tmp_path: Path) -> None:
    found = document(made(tmp_path, proto=False))
    assert found["proto"] is None
    assert found["critical_path"][0] == "infra:10-base"
    assert found["layers"][0]["resource_deps"] == []


def test_nothing_waits_for_a_layer_off_the_critical_path(tmp_path: Path) -> None:
    files = {
        **THREE,
        "layers/30-extra.yaml": layer("extra", more="critical_path: false\n"),
        "layers/50-user.yaml": layer("user", "x/extra"),
    }
    found = by_layer(made(tmp_path, files))
    assert found["30-extra"]["resource_deps"] == ["infra:20-operators"]
    assert found["40-data"]["resource_deps"] == ["infra:20-operators"]
    assert found["50-user"]["resource_deps"] == ["infra:40-data", "infra:30-extra"], "it needs a release of it"


def test_a_layer_of_another_environment_is_not_there(tmp_path: Path) -> None:
    files = {**THREE, "layers/42-cloud.yaml": layer("cloud", more="environments: [dev]\n")}
    environments = {"environments/dev/environment.yaml": "", "environments/local/environment.yaml": ""}
    repo = made(tmp_path, {**files, **environments})
    assert list(by_layer(repo)) == ["10-base", "20-core-operators", "40-data"]
    repo.specs(environment="dev")
    assert "42-cloud" in by_layer(repo)
    assert by_layer(repo)["10-base"]["cmd"][8:10] == ["dev", "--context"]


def test_layers_watch_paths_that_exist(tmp_path: Path) -> None:
    found = document(made(tmp_path))
    paths = [path for item in (*found["layers"], found["proto"]) for path in item["deps"]]
    assert paths
    assert all(Path(path).exists() for path in paths)


def test_sources_of_packaged_charts_are_watched(tmp_path: Path) -> None:
    files = {
        "layers/45-made.yaml": "stage: made\nreleases: [{name: api, namespace: apps, chart: kustomize/api}]\n",
        "charts/kustomize/api/kustomization.yaml": "resources: [../../../apps]\n",
        "apps/kustomization.yaml": "configMapGenerator: [{name: a}]\n",
    }
    watched = by_layer(made(tmp_path, {**THREE, **files}))["45-made"]["deps"]
    assert {f"{tmp_path}/apps", f"{tmp_path}/charts/kustomize/api"} <= set(watched)
    assert not [path for path in watched if path.endswith(".tgz")]


def test_the_first_overlay_and_environment_are_watched(tmp_path: Path) -> None:
    repo = made(tmp_path)
    root = str(tmp_path)
    watched = [f"{root}/layers", f"{root}/environments", f"{root}/devtools.yaml"]
    assert document(repo)["refresh"]["deps"] == watched
    before = by_layer(repo)
    overlay = repo.write("environments/_shared/40-data/data.yaml", "a: 1\n")
    repo.specs()
    assert document(repo)["refresh"]["deps"] == watched
    assert str(overlay) in by_layer(repo)["40-data"]["deps"]
    changed = [name for name, item in by_layer(repo).items() if item["env"] != before[name]["env"]]
    assert changed == ["40-data"], "for Tilt runs a layer again if its environment changed"


def test_groups_are_sorted_by_name_as_layers_by_number(tmp_path: Path) -> None:
    files = {
        "layers/05-first.yaml": layer("zero", name="zero"),
        "layers/10-base.yaml": layer("platform", name="a"),
        "layers/20-more.yaml": layer("middle", name="b"),
        "layers/30-rest.yaml": layer("platform", name="c"),
    }
    found = document(made(tmp_path, files))
    groups = [item["labels"] for item in (found["proto"], *found["layers"])]
    names = ("05-zero", "10-platform", "20-middle", "10-platform")
    assert groups == [["infra.00-proto"], *([f"infra.layer-tests.{name}"] for name in names)]


def test_the_pinned_helm_is_named_once_it_is_built(tmp_path: Path) -> None:
    repo = made(tmp_path / "repo")
    program = tmp_path / "bin/helm"
    program.parent.mkdir()
    repo = replace(repo, env={"PATH": str(program.parent), "DEVTOOLS_CACHE": str(tmp_path / "cache")})
    repo.specs()
    assert document(repo)["helm"] == ""
    program.write_text(f"#!/bin/sh\necho v{tool('helm').version}\n")
    program.chmod(0o755)
    repo.specs()
    assert document(repo)["helm"] == str(program)


def test_it_is_written_only_when_it_would_read_differently(tmp_path: Path) -> None:
    repo = made(tmp_path)
    path = tmp_path / ".devtools/layer-specs.json"
    before = path.stat()
    _, printed = repo.specs()
    assert printed.splitlines() == [".devtools/layer-specs.json unchanged", ".devtools/infra.star unchanged"]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    repo.write("layers/45-more.yaml", layer("more"))
    _, printed = repo.specs()
    assert printed.splitlines() == [".devtools/layer-specs.json written", ".devtools/infra.star unchanged"]
    assert path.stat().st_ino != before.st_ino, "replaced as a whole, never half-written"
    assert sorted(item.name for item in path.parent.iterdir()) == [".gitignore", "infra.star", "layer-specs.json"]


def test_a_stack_that_is_wrong_leaves_the_specs_as_they_were(tmp_path: Path) -> None:
    repo = made(tmp_path)
    before = (tmp_path / ".devtools/layer-specs.json").read_bytes()
    repo.write("layers/45-more.yaml", "stage: [\n")
    with pytest.raises(ConfigError):
        repo.specs()
    assert (tmp_path / ".devtools/layer-specs.json").read_bytes() == before


def test_json_is_printed_as_it_is_written(tmp_path: Path) -> None:
    repo = made(tmp_path)
    out, _ = repo.specs(output="json")
    assert out == (tmp_path / ".devtools/layer-specs.json").read_text()


def test_the_starlark_twin_holds_the_same(tmp_path: Path) -> None:
    repo = made(tmp_path)
    out, _ = repo.specs(output="starlark")
    assert out == (tmp_path / ".devtools/layer-specs.star").read_text()
    repo.write(
        "Tiltfile",
        "load('.devtools/layer-specs.star', 'INFRA_LAYER_SPECS')\n"
        "if INFRA_LAYER_SPECS != read_json('.devtools/layer-specs.json'):\n    fail('they differ')\n",
    )
    load_tiltfile(tmp_path / "Tiltfile")


def test_a_file_in_place_of_the_directory_is_reported(tmp_path: Path) -> None:
    repo = made(tmp_path)
    for path in (tmp_path / ".devtools").iterdir():
        path.unlink()
    (tmp_path / ".devtools").rmdir()
    repo.write(".devtools", "")
    with pytest.raises(EnvironmentFault, match="cannot write") as refused:
        repo.specs()
    assert refused.value.exit_code is ExitCode.ENVIRONMENT


def test_context_and_kubeconfig_are_those_of_the_provider(tmp_path: Path) -> None:
    embedded = document(made(tmp_path / "a", provider="kwok"))["cluster"]
    layout = Layout(name="demo", state=tmp_path / "a/state/clusters/demo")
    assert (embedded["context"], embedded["kubeconfig"]) == (layout.context, str(layout.kubeconfig))
    k3d = Config(name="demo", api_port=1, registry=Registry(name="r", port=2))
    assert document(made(tmp_path / "b"))["cluster"]["context"] == k3d.context


def test_a_command_refuses_another_cluster_than_the_one_it_names(tmp_path: Path) -> None:
    there = Cluster(name="demo", provider="kwok", context="kwok-demo", kubeconfig=tmp_path / "kubeconfig")
    assert require_target(there, "", "") is there
    assert require_target(there, "kwok-demo", str(tmp_path / "kubeconfig")) is there
    for context, kubeconfig in (("k3d-demo", ""), ("kwok-demo", "/elsewhere")):
        with pytest.raises(EnvironmentFault, match="but the cluster has"):
            require_target(there, context, kubeconfig)


def test_its_order_is_the_plans(tmp_path: Path) -> None:
    repo = made(tmp_path, {**THREE, "layers/05-first.yaml": layer("first"), "layers/99-last.yaml": layer("last")})
    stack = load(tmp_path)
    names = tuple(item.name for item in stack.layers)
    digests = {release.id: "x" for release in stack.releases()}
    plan = make_plan(stack, Selection(layers=names), Facts(), digests)
    assert tuple(item["layer"] for item in document(repo)["layers"]) == plan.layers
    assert [step.release.layer for step in plan.steps] == list(plan.layers)


# --- the schema: enough of JSON Schema for this file, so that no package is needed for one test


def problems(schema: dict[str, Any], value: Any, root: dict[str, Any], path: str = "$") -> list[str]:
    if "$ref" in schema:
        return problems(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, path)
    if "anyOf" in schema:
        return (
            [] if any(not problems(one, value, root, path) for one in schema["anyOf"]) else [f"{path}: none of anyOf"]
        )
    unknown = set(schema) - {"$schema", "$id", "$defs", "title", "description", "type", "properties", "required",
                             "additionalProperties", "items", "const", "pattern", "minimum", "minItems"}  # fmt: skip
    assert not unknown, f"the test does not check {unknown}"
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    if "const" in schema and schema["const"] != value:
        return [f"{path}: not {schema['const']}"]
    if "type" in schema and type(value) is not kinds[schema["type"]]:
        return [f"{path}: not {schema['type']}"]
    found = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{path}: lacks {key}" for key in schema.get("required", ()) if key not in value]
        rest = schema.get("additionalProperties", True)
        for key, item in value.items():
            if key in known:
                found += problems(known[key], item, root, f"{path}.{key}")
            elif rest is False:
                found.append(f"{path}: unknown {key}")
            elif rest is not True:
                found += problems(rest, item, root, f"{path}.{key}")
    if isinstance(value, list):
        assert "items" in schema
        found += [f"{path}: too few"] if len(value) < schema.get("minItems", 0) else []
        found += [
            text
            for index, item in enumerate(value)
            for text in problems(schema["items"], item, root, f"{path}[{index}]")
        ]
    if isinstance(value, str) and "pattern" in schema:
        import re

        found += [] if re.search(schema["pattern"], value) else [f"{path}: {value!r} does not match"]
    return found


@pytest.mark.parametrize("proto", [True, False])
def test_it_is_as_the_schema_says(tmp_path: Path, *, proto: bool) -> None:
    schema = json.loads(SCHEMA.read_text())
    assert problems(schema, document(made(tmp_path, proto=proto)), schema) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("layers", None),
        ("critical_path", [1]),
        ("more", 1),
        ("cluster", {}),
        ("proto", {"resource": "x"}),
    ],
)
def test_the_schema_refuses_what_is_wrong(tmp_path: Path, key: str, value: Any) -> None:
    schema = json.loads(SCHEMA.read_text())
    assert problems(schema, {**document(made(tmp_path)), key: value}, schema)


def test_every_key_is_documented(tmp_path: Path) -> None:
    page = (ROOT / "docs/layer-specs.md").read_text()
    found = document(made(tmp_path))
    for key in {*found, *found["cluster"], *found["layers"][0], *found["proto"]}:
        assert f"| `{key}` |" in page, key
