"""`--set key=value`: what it changes, where it is shown, and which releases it concerns."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devtools.app.exit_codes import run
from devtools.app.options import Options
from devtools.commands.values import show
from devtools.config.values import inputs_digest, merge
from devtools.project import Project
from tests.kits.stack import load, repository

SHARED = "environments/_shared/environment.yaml"
OWN = "environments/local/environment.yaml"
FILES = {
    "devtools.yaml": "references: true\n",
    "layers/10-a.yaml": """\
stage: a
releases:
  - {name: a, namespace: ns, chart: platform/web, values: {host: "a.${domain}", tag: "${image.tag}"}}
  - {name: b, namespace: ns, chart: platform/web, values: {size: 1}, installed: with.b}
""",
    SHARED: "domain: example.com\nimage: {tag: '1.9', name: 'registry.${domain}/web'}\nwith: {b: true}\n",
    OWN: "image: {tag: '1.10'}\nnothing:\nratio: 0.5\n",
}


def test_a_typed_value_takes_the_place_of_the_declared_one(tmp_path: Path) -> None:
    sets = ["domain=a.test", "domain=b.test", 'image.tag="2.0"', "nothing=1", "ratio=2", "with.b=no"]
    stack = load(repository(tmp_path, FILES), sets=sets)
    a, b = stack.releases()
    assert (a.installed, b.installed) == (True, False)
    merged = merge(a, stack.environment, root=stack.root)
    assert merged.data == {"host": "a.b.test", "tag": "2.0"}
    assert stack.environment.values["image"]["name"] == "registry.b.test/web"
    assert [str(place) for place in (merged.origins["host",], *merged.origins["host",].sources)] == [
        "layers/10-a.yaml:3:60",
        "--set domain",
    ]
    assert [one.shown() for one in stack.environment.sets] == [
        {"key": "domain", "value": "b.test", "before": "example.com", "where": f"{SHARED}:1:1"},
        {"key": "image.tag", "value": "2.0", "before": "1.10", "where": f"{OWN}:1:9"},
        {"key": "nothing", "value": "1", "before": "null", "where": f"{OWN}:2:1"},
        {"key": "ratio", "value": "2", "before": "0.5", "where": f"{OWN}:3:1"},
        {"key": "with.b", "value": "false", "before": "true", "where": f"{SHARED}:3:8"},
    ]


def test_without_references_it_only_switches(tmp_path: Path) -> None:
    files = {**FILES, "devtools.yaml": "", "layers/10-a.yaml": FILES["layers/10-a.yaml"].replace("${", "$ {")}
    stack = load(repository(tmp_path, files), sets=["with.b=false", "domain=x"])
    assert [release.installed for release in stack.releases()] == [True, False]
    assert stack.releases()[0].values["host"] == "a.$ {domain}"


@pytest.mark.parametrize("sets", [(), ("image.tag='2.0'",)])
def test_a_cached_stack_is_that_of_the_same_typed_values(tmp_path: Path, sets: tuple[str, ...]) -> None:
    root, cache = repository(tmp_path / "repo", FILES), str(tmp_path / "cache")
    for typed in (("image.tag='0.1'",), sets, sets):
        project = Project.find(root, environ={"DEVTOOLS_CACHE": cache, "DEVTOOLS_STATE": cache})
        project.app.sets = typed
        found = project.stack().environment.values["image"]["tag"]
    assert found == ("2.0" if sets else "1.10")


def _shown(root: Path, tmp_path: Path, name: str, **more: Any) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    environ = {"DEVTOOLS_CACHE": str(tmp_path / "cache"), "DEVTOOLS_STATE": str(tmp_path / "state")}
    project = Project.find(root, environ=environ, out=out, err=err)
    project.app.sets = ("domain=b.test",)
    code = run(project.app, lambda app: show(app, name, Options(**more), explain=True))
    return int(code), out.getvalue(), err.getvalue()


def test_values_explain_names_it_as_the_place(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", FILES)
    code, out, _ = _shown(root, tmp_path, "a")
    assert code == 0
    assert 'host: "a.b.test"' in out
    assert "# layers/10-a.yaml:3:60 <- --set domain\n" in out
    code, out, _ = _shown(root, tmp_path, "a", output="json")
    assert json.loads(out)["references"]["host"] == ["--set domain"]


def test_a_typed_value_that_breaks_a_key_is_named(tmp_path: Path) -> None:
    files = {
        **FILES,
        "layers/10-a.yaml": FILES["layers/10-a.yaml"].replace("namespace: ns", "namespace: 'ns-${domain}'"),
    }
    root = repository(tmp_path / "repo", files)
    project = Project.find(root, environ={"DEVTOOLS_CACHE": str(tmp_path), "DEVTOOLS_STATE": str(tmp_path)})
    project.app.sets = ("domain='NO NO'",)
    err = io.StringIO()
    project.app.err = err
    assert run(project.app, lambda app: show(app, "a", Options(), explain=True)) == 2
    assert "(the value is written at --set domain)" in err.getvalue()


KEYS = [f"k{number}" for number in range(5)]
USES = st.lists(st.sets(st.sampled_from(KEYS), max_size=3), min_size=1, max_size=8)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(USES, st.sampled_from(KEYS))
def test_one_key_plans_exactly_its_users(
    tmp_path_factory: pytest.TempPathFactory, uses: list[set[str]], key: str
) -> None:
    entries = [
        {"name": f"r{at}", "namespace": "ns", "chart": "platform/web", "values": {one: f"x-${{{one}}}" for one in used}}
        for at, used in enumerate(uses)
    ]
    root = repository(
        tmp_path_factory.mktemp("repo"),
        {
            "devtools.yaml": "references: true\n",
            "layers/10-a.yaml": json.dumps({"stage": "a", "releases": entries}),
            OWN: "".join(f"{one}: '{one}'\n" for one in KEYS),
        },
    )

    def digests(*sets: str) -> dict[str, str]:
        stack = load(root, sets=sets)
        return {
            release.name: inputs_digest(release, merge(release, stack.environment, root=root).data, "chart")
            for release in stack.releases()
        }

    before, same, after = digests(), digests(f"{key}={key}"), digests(f"{key}=other")
    assert before == same
    changed = {name for name, digest in after.items() if digest != before[name]}
    assert changed == {f"r{at}" for at, used in enumerate(uses) if key in used}


def test_the_plan_shows_it_and_repeats_it(tmp_path: Path) -> None:
    from devtools.commands.runs import plan

    root, out, err = repository(tmp_path / "repo", FILES), io.StringIO(), io.StringIO()
    environ = {
        "DEVTOOLS_CACHE": str(tmp_path / "cache"),
        "DEVTOOLS_STATE": str(tmp_path / "state"),
        "DEVTOOLS_PROVIDER": "kwok",
    }
    project = Project.find(root, environ=environ, out=out, err=err)
    project.app.sets = ("domain=b c",)
    assert run(project.app, lambda app: plan(app, "10", Options(output="json", sets=("domain=b c",))), "json") == 0
    document = json.loads(out.getvalue())
    assert document["sets"] == [{"key": "domain", "value": "b c", "before": "example.com", "where": f"{SHARED}:1:1"}]
    assert document["what"] == "layer 10-a --set 'domain=b c'"
    out.truncate(0)
    assert run(project.app, lambda app: plan(app, "10", Options())) == 0
    assert f"  set: domain = b c ({SHARED}:1:1 says example.com)\n" in out.getvalue()
