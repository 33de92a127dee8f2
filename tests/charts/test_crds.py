"""What lies in `crds/` of charts and subcharts, held against what the real helm makes of the same charts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.base.archives import packed
from devtools.charts.crds import objects_in_crds
from devtools.errors import ConfigError
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.kits.stack import write

Files = dict[str, str | bytes]


def chart_yaml(name: str, *dependencies: dict[str, Any]) -> str:
    data: dict[str, Any] = {"apiVersion": "v2", "name": name, "version": "1.0.0"}
    if dependencies:
        data["dependencies"] = list(dependencies)
    return yaml.safe_dump(data)


def crd(kind: str) -> str:
    names = {"kind": kind, "plural": f"{kind.lower()}s"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec: dict[str, Any] = {"group": "acme.io", "scope": "Namespaced", "names": names}
    spec |= {"versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}]}
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return yaml.safe_dump(head | {"metadata": {"name": f"{kind.lower()}s.acme.io"}, "spec": spec})


def sub(name: str, kind: str, **more: str) -> Files:
    files = {"Chart.yaml": chart_yaml(name), "crds/a.yaml": crd(kind), **more}
    return {f"charts/{name}/{path}": text for path, text in files.items()}


def dependency(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0.0", "repository": "https://charts.example.com", **more}


ONE, TWO = sub("one", "One"), sub("two", "Two")
NESTED = {
    **sub("one", "One", **{"Chart.yaml": chart_yaml("one", dependency("deep", condition="deep.enabled"))}),
    "charts/one/charts/deep/Chart.yaml": chart_yaml("deep"),
    "charts/one/charts/deep/crds/a.yaml": crd("Deep"),
}
TGZ = packed({"one/Chart.yaml": chart_yaml("one").encode(), "one/crds/a.yaml": crd("One").encode()})
CASES: dict[str, tuple[Files, dict[str, Any], list[str]]] = {
    "none": ({"Chart.yaml": chart_yaml("web"), "templates/a.yaml": crd("Not")}, {}, []),
    "its own": ({"Chart.yaml": chart_yaml("web"), "crds/a.yaml": crd("A"), "crds/b/c.yml": crd("B")}, {}, ["A", "B"]),
    "what is no manifest": ({"Chart.yaml": chart_yaml("web"), "crds/README.md": "hi", "crds/a.yaml": "# no\n"}, {}, []),
    "many in a file": (
        {"Chart.yaml": chart_yaml("web"), "crds/a.yaml": f"# x\n---\n{crd('A')}--- # next\n{crd('B')}"},
        {},
        ["A", "B"],
    ),
    "a subchart that is not declared": ({"Chart.yaml": chart_yaml("web"), **ONE}, {}, ["One"]),
    "a packed subchart": (
        {"Chart.yaml": chart_yaml("web", dependency("one")), "charts/one-1.0.0.tgz": TGZ},
        {},
        ["One"],
    ),
    "a condition that is off in values.yaml": (
        {
            "Chart.yaml": chart_yaml("web", dependency("one", condition="one.enabled"), dependency("two")),
            "values.yaml": "one: {enabled: false}\n",
            **ONE,
            **TWO,
        },
        {},
        ["Two"],
    ),
    "a condition that the user sets": (
        {
            "Chart.yaml": chart_yaml("web", dependency("one", condition="x.y,one.enabled")),
            "values.yaml": "one: {enabled: false}\n",
            **ONE,
        },
        {"one": {"enabled": True}},
        ["One"],
    ),
    "a condition that nobody sets": (
        {"Chart.yaml": chart_yaml("web", dependency("one", condition="one.enabled")), **ONE},
        {},
        ["One"],
    ),
    "a default that the user takes away": (
        {
            "Chart.yaml": chart_yaml("web", dependency("one", condition="one.enabled")),
            "values.yaml": "one: {enabled: false}\n",
            **ONE,
        },
        {"one": {"enabled": None}},
        ["One"],
    ),
    "tags": (
        {
            "Chart.yaml": chart_yaml("web", dependency("one", tags=["a", "b"]), dependency("two", tags=["c"])),
            **ONE,
            **TWO,
        },
        {"tags": {"a": False, "b": True, "c": False}},
        ["One"],
    ),
    "a condition beats tags": (
        {"Chart.yaml": chart_yaml("web", dependency("one", tags=["a"], condition="enabled")), **ONE},
        {"tags": {"a": False}, "enabled": True},
        ["One"],
    ),
    "a subchart of a subchart": (
        {
            "Chart.yaml": chart_yaml("web", dependency("one")),
            "values.yaml": "one: {deep: {enabled: false}}\n",
            **NESTED,
        },
        {},
        ["One"],
    ),
    "a subchart of a subchart that is on": (
        {"Chart.yaml": chart_yaml("web", dependency("one")), **NESTED},
        {"one": {"deep": {"enabled": True}}},
        ["Deep", "One"],
    ),
    "an alias": (
        {"Chart.yaml": chart_yaml("web", dependency("one", alias="uno", condition="uno.enabled")), **ONE},
        {"uno": {"enabled": False}, "one": {"enabled": True}},
        [],
    ),
}


def kinds(chart: Path, values: dict[str, Any]) -> list[str]:
    return sorted(str(item.data["spec"]["names"]["kind"]) for item in objects_in_crds(chart, values))


@pytest.mark.parametrize(("files", "values", "wanted"), CASES.values(), ids=CASES)
def test_which_count(
    tmp_path: Path, tool: Callable[[str], Path], files: Files, values: dict[str, Any], wanted: list[str]
) -> None:
    directory = write(tmp_path / "web", files)
    assert kinds(directory, values) == wanted
    raw = {f"web/{name}": text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
    (tmp_path / "web.tgz").write_bytes(packed(raw))
    assert kinds(tmp_path / "web.tgz", values) == wanted
    (tmp_path / "values.json").write_text(yaml.safe_dump(values))
    words = (
        str(tool("helm")),
        "template",
        "web",
        str(directory),
        "--include-crds",
        "-f",
        str(tmp_path / "values.json"),
    )
    runner = SubprocessRunner({"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, Cancel())
    result = runner.run(Command(argv=words, timeout=300))
    assert result.ok, result.stderr
    observed = [item["spec"]["names"]["kind"] for item in yaml.load_all(result.stdout, yaml.CSafeLoader) if item]
    assert sorted(kind for kind in observed if kind != "Not") == wanted


def test_scalars_are_read_as_helm_reads_them(tmp_path: Path) -> None:
    """A date stays text, and a bare `=` is one: both are in real CRDs, and both upset a YAML 1.1 loader."""
    text = crd("A") + "x: {day: 2020-01-01, sign: [=, !=]}\n".replace("!=", "'!='")
    chart = write(tmp_path, {"Chart.yaml": chart_yaml("web"), "crds/a.yaml": text})
    (item,) = objects_in_crds(chart, {})
    assert item.data["x"] == {"day": "2020-01-01", "sign": ["=", "!="]}
    assert item.file == "crds/a.yaml"


def test_third_party_yaml_is_read_as_helm_reads_it(tmp_path: Path) -> None:
    """Merges with an explicit tag are in Altinity's CRDs; repeated and integer keys are in others."""
    text = crd("A") + "x:\n  a: &a {b: 1}\n  c:\n    !!merge <<: *a\n    d: 2\n  e: {1: one}\n  f: 1\n  f: 2\n"
    chart = write(tmp_path, {"Chart.yaml": chart_yaml("web"), "crds/a.yaml": text})
    (item,) = objects_in_crds(chart, {})
    assert item.data["x"]["c"] == {"b": 1, "d": 2}
    assert item.data["x"]["f"] == 2


@pytest.mark.parametrize(
    ("text", "braces"), [("kind: {{ .Values.x }}\n", True), ("a: [\n", False), ("a: b: c\n", False)]
)
def test_the_hint_about_braces_comes_only_with_braces(tmp_path: Path, text: str, *, braces: bool) -> None:
    chart = write(tmp_path, {"Chart.yaml": chart_yaml("web"), "crds/bad.yaml": text})
    with pytest.raises(ConfigError) as caught:
        objects_in_crds(chart, {})
    assert ("template braces" in caught.value.hint) is braces


@pytest.mark.parametrize(
    "text",
    [
        crd("A").replace("\n", "\r\n"),
        "\ufeff" + crd("A") + "---\n",
        json.dumps(yaml.load(crd("A"), yaml.CSafeLoader)) + "\n{}",
        crd("A").replace("spec:", "x: &x {a: 1}\ny: {!!merge <<: *x}\nspec:"),
        crd("A") + "x: 1\nx: 2\ny: {1: a, 1.5: b}\n",
    ],
    ids=["CRLF", "BOM and a separator", "JSON", "a tagged merge", "keys twice, and numbers as keys"],
)
def test_what_helm_accepts_is_read(tmp_path: Path, text: str) -> None:
    chart = write(tmp_path, {"Chart.yaml": chart_yaml("web"), "crds/a.yaml": text})
    assert kinds(chart, {}) == ["A"]


def test_a_list_is_opened(tmp_path: Path) -> None:
    items = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "List", "items": [yaml.load(crd("A"), yaml.CSafeLoader), {}, None]}
    )
    chart = write(tmp_path, {"Chart.yaml": chart_yaml("web"), "crds/a.yaml": items})
    assert kinds(chart, {}) == ["A"]


@pytest.mark.parametrize(
    "text",
    [
        "kind: {{ .Values.x }}\n",
        "a: [\n",
        "- a\n",
        crd("A").replace("metadata:\n  name: as.acme.io\n", ""),
        crd("A").replace("name: as.acme.io", "generateName: as"),
        crd("A").replace("metadata:\n", "metadata:\n  labels: [a]\n"),
        crd("A").replace("kind: CustomResourceDefinition", "kind: [a]"),
        crd("A").replace("name: v1\n", "x: v1\n"),
        crd("A").partition("spec:")[0] + "spec: {versions: [v1]}\n",
        crd("A").partition("spec:")[0] + "spec: []\n",
    ],
)
def test_a_file_that_helm_could_not_read_is_named(tmp_path: Path, text: str) -> None:
    chart = write(tmp_path, {"Chart.yaml": chart_yaml("web"), "crds/bad.yaml": text})
    with pytest.raises(ConfigError, match=r"crds/bad\.yaml of the chart "):
        objects_in_crds(chart, {})


def test_a_chart_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"chart web\.tgz cannot be read"):
        objects_in_crds(tmp_path / "web.tgz", {})


@pytest.mark.parametrize(
    "dependencies", ["5", "[5]", "[null]", "[{name: {a: b}}]", "[{name: one, alias: [a]}]", "[{name: one, tags: a}]"]
)
def test_dependencies_that_are_none(tmp_path: Path, dependencies: str) -> None:
    """Helm refuses them, too."""
    text = f"{chart_yaml('web')}dependencies: {dependencies}\n"
    chart = write(tmp_path, {"Chart.yaml": text, "crds/a.yaml": crd("A"), **ONE})
    with pytest.raises(ConfigError, match=r"^Chart\.yaml of the chart has dependencies that cannot be read$"):
        objects_in_crds(chart, {})


def test_a_packed_subchart_that_is_broken_is_named(tmp_path: Path) -> None:
    chart = write(tmp_path, {"Chart.yaml": chart_yaml("web"), "charts/one-1.0.0.tgz": TGZ[:60]})
    with pytest.raises(ConfigError, match=r"^charts/one-1\.0\.0\.tgz of the chart cannot be read: "):
        objects_in_crds(chart, {})
