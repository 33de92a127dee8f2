"""Which CRDs count and which files are loaded, compared with the real helm on generated charts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devtools.base.archives import packed
from devtools.base.machine_yaml import json_for_yaml
from devtools.charts.crds import objects_in_crds
from devtools.charts.semver import is_compatible
from devtools.charts.tree import tree_of
from devtools.errors import ConfigError
from devtools.process.runner import Cancel, Command, Result, SubprocessRunner
from tests.charts.test_crds import chart_yaml, crd, dependency
from tests.kits.fuzzing import helm_cases
from tests.kits.stack import write

Helm = Callable[..., Result]
QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


@pytest.fixture
def helm(tool: Callable[[str], Path], tmp_path: Path) -> Helm:
    """Run helm offline."""
    runner = SubprocessRunner({"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, Cancel())
    program = str(tool("helm"))
    return lambda *words, stdin=None: runner.run(Command(argv=(program, *words), timeout=300, stdin=stdin))


def by_helm(helm: Helm, chart: Path, values: Mapping[str, Any]) -> list[str] | None:
    """The kinds of the CRDs that helm would install, sorted; None if it refuses the chart."""
    result = helm(*("template", "web", str(chart), "--include-crds", "-f", "-"), stdin=json_for_yaml(values).encode())
    if not result.ok:
        return None
    return sorted(item["spec"]["names"]["kind"] for item in yaml.load_all(result.stdout, yaml.CSafeLoader) if item)


def here(chart: Path, values: Mapping[str, Any]) -> list[str]:
    return sorted(str(item.data["spec"]["names"]["kind"]) for item in objects_in_crds(chart, values))


_CONDITIONS = st.sampled_from(
    (
        *("one.on", "two.on", "deep.on", "uno.on", "global.on", "on", "one.deep.on", "a.b,one.on", "one.on,two.on"),
        *("one.on, two.on", " one.on", "", "one", "tags.a", "one.on ,on"),
    )
)
_BOOLEANS: st.SearchStrategy[Any] = st.sampled_from((True, False, None, "true", 1, {}))
_OWN_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "on": _BOOLEANS,
        "global": st.fixed_dictionaries({}, optional={"on": _BOOLEANS, "sub": st.just({"on": False})}),
        "tags": st.dictionaries(st.sampled_from("abc"), _BOOLEANS, max_size=2),
    },
)
_DEEPER = st.fixed_dictionaries({}, optional={"on": _BOOLEANS, "deep": _OWN_VALUES, "global": _OWN_VALUES})
_VALUES = st.tuples(
    _OWN_VALUES, st.fixed_dictionaries({}, optional=dict.fromkeys(("one", "two", "uno", "dos", "deep"), _DEEPER))
).map(lambda parts: {**parts[0], **parts[1]})
_RANGES = st.sampled_from(("1.0.0", "^1", ">=1.0.0", "2.x", "~1.0", ">1", "*", "", "1 - 2", ">=0.1.0-0"))
_DEPENDENCIES = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(("one", "two", "gone")), "version": _RANGES},
        optional={
            "condition": _CONDITIONS,
            "tags": st.lists(st.sampled_from("abc"), max_size=2),
            "alias": st.sampled_from(("uno", "dos")),
        },
    ),
    max_size=3,
    unique_by=lambda item: item.get("alias") or item["name"],
)
_DEEP = st.lists(
    st.fixed_dictionaries({"name": st.just("deep"), "version": st.just("1.0.0")}, optional={"condition": _CONDITIONS}),
    max_size=1,
)


def _values_file(values: dict[str, Any], *, is_split: bool) -> str:
    """A values.yaml, also of several documents, which helm merges, and with a separator at its end."""
    if not is_split:
        return yaml.safe_dump(values)
    return "---\n".join(yaml.safe_dump({key: value}) for key, value in values.items()) + "---\n"


@st.composite
def charts(draw: st.DrawFn) -> dict[str, str | bytes]:
    """A chart with up to two subcharts, the first with one of its own."""
    files: dict[str, str | bytes] = {}
    dependencies = draw(_DEPENDENCIES)
    if draw(st.booleans()):
        files["Chart.yaml"] = chart_yaml("web").replace("v2", "v1")
        files["requirements.yaml"] = yaml.safe_dump({"dependencies": dependencies})
    else:
        files["Chart.yaml"] = chart_yaml("web", *dependencies)
    files["values.yaml"] = _values_file(draw(_VALUES), is_split=draw(st.booleans()))
    files["crds/web.yaml"] = crd("Web").replace("\n", draw(st.sampled_from(("\n", "\r\n"))))
    one: dict[str, str] = {"crds/a.yaml": crd("One"), "values.yaml": yaml.safe_dump(draw(_VALUES))}
    one["Chart.yaml"] = chart_yaml("one", *draw(_DEEP))
    one |= {"charts/deep/Chart.yaml": chart_yaml("deep"), "charts/deep/crds/a.JSON": crd("Deep")}
    one["charts/deep/values.yaml"] = yaml.safe_dump(draw(_OWN_VALUES))
    if draw(st.booleans()):
        files["charts/one-1.0.0.tgz"] = packed({f"one/{name}": text.encode() for name, text in one.items()})
    else:
        files |= {f"charts/one/{name}": text for name, text in one.items()}
    files |= {"charts/two/Chart.yaml": chart_yaml("two"), "charts/two/crds/b/a.yml": crd("Two")}
    files |= {"charts/_three/Chart.yaml": chart_yaml("three"), "charts/_three/crds/a.yaml": crd("Three")}
    return files


@settings(helm_cases(25), suppress_health_check=QUIET)
@given(files=charts(), values=_VALUES)
def test_generated_charts(helm: Helm, tmp_path: Path, files: dict[str, str | bytes], values: dict[str, Any]) -> None:
    shutil.rmtree(tmp_path / "web", ignore_errors=True)
    chart = write(tmp_path / "web", files)
    if any("name: gone\n" in str(files.get(name)) for name in ("Chart.yaml", "requirements.yaml")):
        write(chart, {"charts/gone/Chart.yaml": chart_yaml("gone")})  # helm refuses to go on without
    wanted = by_helm(helm, chart, values)
    if wanted is not None:
        assert here(chart, values) == wanted


_LINES = (
    *("crds/", "crds", "*.md", "/a.yaml", "crds/*.yaml", "!crds/a.yaml", "!*.yaml", "# crds", "  b.yaml  ", "b.?aml"),
    *("[ab].yaml", "[^a].yaml", "[a-", "**/a.yaml", "crds/[^x].yaml", "crds/b.yaml/", "\\*.yaml", "c*", "", "notes/"),
    *("!notes/", "/crds/b.yaml", "templates", "*/a.yaml", ".*", "?", "\\", "[a\\-c].yaml", "a.yaml/*"),
    *("*a*a*", "*a*.*l", "**.md", "c*s/*.y*l", "*?*/*b*", "*[ab]*[.y]*l", "n*/*/*b*"),
)
_TREE = {
    "Chart.yaml": chart_yaml("web"),
    "crds/a.yaml": crd("One"),
    "crds/b.yaml": crd("Two"),
    "crds/more/c.yaml": crd("Three"),
    "a.yaml": "a",
    "notes/a.md": "b",
    "notes/deep/b.yaml": "c",
    "templates/files.yaml": "{{ range $p, $_ := .Files }}\n# file {{ $p }}\n{{ end }}\n# file templates/files.yaml\n",
    "templates/.hidden.yaml": "{{ fail `hidden` }}",
    ".dot/x": "d",
}


@settings(helm_cases(15), suppress_health_check=QUIET)
@given(lines=st.lists(st.sampled_from(_LINES), min_size=1, max_size=4))
def test_helmignore(helm: Helm, tmp_path: Path, lines: list[str]) -> None:
    chart = tmp_path / "web"
    shutil.rmtree(chart, ignore_errors=True)
    write(chart, {**_TREE, ".helmignore": "\n".join(lines)})
    result = helm("template", "web", str(chart))
    found = tree_of(chart)
    if "Chart.yaml" not in found.files and not found.problems:
        assert not result.ok
        return
    if found.problems:
        assert not result.ok, found.problems
        return
    assert result.ok, result.stderr
    by_helm_found = {line.removeprefix("# file ") for line in result.stdout.splitlines() if line.startswith("# file ")}
    if "templates/files.yaml" in found.files:
        assert by_helm_found | {"Chart.yaml"} == set(found.files)
    else:
        assert by_helm_found == set()


CONSTRAINTS = (
    *("1.2.3", "=1.2.3", "!=1.2.3", ">1.2.3", "<1.2.3", ">=1.2.3", "=>1.2.3", "<=1.2.3", "=<1.2.3", "~1.2.3", "~>1.2"),
    *("^1.2.3", "^0.2.3", "^0.0.3", "^0.0", "^0", "^1", "^1.2", "1", "1.2", "1.x", "1.2.x", "*", "x", ">1", ">1.2"),
    *("<1.2", "<=1", "<=1.2", ">=1", "!=1", "!=1.2", "!=1.x", ">=1.0.0 <2.0.0", ">=1.0.0, <2.0.0", "1 || 2"),
    *("1.2 - 2.3", "<1 || >2", ">=1.2.3-0", "^1.2.3-beta.1", "~1.2.3-0", "~0", "~0.0.0", "~*", "^*"),
    *("v1.2", "1.2.3+x", ">=1.0.0  ,  <2.0.0", " >= 1.0.0   < 2.0.0 ", ">1,<2", "", "a", ">", "1.2.3.4"),
)
UNREADABLE = CONSTRAINTS[-4:]
VERSIONS = (
    *("1.2.3", "v1.2.4", "1.3.0", "2.0.0", "2.3.9", "0.0.3", "0.2.4", "0.0.0"),
    *("1.2.3-beta.2", "1.2.3-beta.10", "3.0.0+b"),
)


def test_ranges_of_versions(helm: Helm, tmp_path: Path) -> None:
    """`semverCompare` of helm's templates uses the same library; it fails for what cannot be read."""
    text = "".join(
        f'{{{{ if semverCompare "{constraint}" "{version}" }}}}# {number} {index}\n{{{{ end }}}}'
        for number, constraint in enumerate(CONSTRAINTS)
        if constraint not in UNREADABLE
        for index, version in enumerate(VERSIONS)
    )
    chart = write(tmp_path / "web", {"Chart.yaml": chart_yaml("web"), "templates/a.yaml": text})
    result = helm("template", "web", str(chart))
    assert result.ok, result.stderr
    found = {tuple(map(int, pair)) for pair in re.findall(r"^# (\d+) (\d+)$", result.stdout, re.MULTILINE)}
    wrong = {
        (constraint, version): (number, index) in found
        for number, constraint in enumerate(CONSTRAINTS)
        for index, version in enumerate(VERSIONS)
        if is_compatible(constraint, version) != ((number, index) in found)
    }
    assert wrong == {}


@pytest.mark.parametrize("constraint", ["1  " * 300 + "!", "1 , " * 240 + "!", "1" * 10**6, " " * 10**6, "1x"])
def test_a_hostile_range_is_refused_at_once(constraint: str) -> None:
    assert not is_compatible(constraint, "1.0.0")


def test_a_hostile_helmignore_is_matched_at_once(tmp_path: Path) -> None:
    chart = write(tmp_path / "web", {"Chart.yaml": chart_yaml("web"), "a" * 150: "", "a" * 150 + "b": ""})
    write(chart, {".helmignore": "*a" * 12 + "*b"})
    assert set(tree_of(chart).files) == {".helmignore", "Chart.yaml", "a" * 150}


def test_one_chart_under_two_names(helm: Helm, tmp_path: Path) -> None:
    """Each with its own condition, and of versions of its own."""
    versions = {"uno": "1.x", "dos": "2.x"}
    two = [dependency("one", alias=name, version=wanted, condition=f"{name}.on") for name, wanted in versions.items()]
    files = {"Chart.yaml": chart_yaml("web", *two)}
    for version, kind in (("1.0.0", "One"), ("2.0.0", "Two")):
        files |= {f"charts/one-{version}/Chart.yaml": chart_yaml("one").replace("1.0.0", version)}
        files |= {f"charts/one-{version}/crds/a.yaml": crd(kind)}
    chart = write(tmp_path / "web", files)
    for values, wanted in (({}, ["One", "Two"]), ({"uno": {"on": False}}, ["Two"]), ({"dos": {"on": False}}, ["One"])):
        assert here(chart, values) == by_helm(helm, chart, values) == wanted


def test_values_that_are_not_a_map_are_named(tmp_path: Path) -> None:
    chart = write(tmp_path / "web", {"Chart.yaml": chart_yaml("web", dependency("one"))})
    write(chart, {"charts/one/Chart.yaml": chart_yaml("one"), "charts/one/crds/a.yaml": crd("One")})
    with pytest.raises(ConfigError, match="the values of subchart 'one' are not a map"):
        objects_in_crds(chart, {"one": 5})
