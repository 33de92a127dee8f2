"""Charts of our own: linted, refusing typos, rendering what their cases say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.charts.random_functions import random_templates
from devtools.process.runner import Result
from tests.platform.support import CHARTS, ENVIRONMENTS, HERE, Declared, Tool, documents, load, releases, render, run

NAMES = sorted(path.name for path in CHARTS.iterdir())
DECLARED = [release for environment in ENVIRONMENTS for release in releases(environment)]
JOBS = load(HERE / "cases" / "helm-test-jobs.yaml")
REFUSED = load(HERE / "cases" / "refused.yaml")


def template(helm: Path, chart: str, values: Any) -> Any:
    return run([helm, "template", "smoke", CHARTS / chart, "-n", "tests", "-f", "-"], yaml.safe_dump(values))


def matches(part: Any, whole: Any) -> bool:
    """Whether `whole` holds all that `part` says: maps may have more keys, lists of maps are compared one by one."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and matches(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(matches, part, whole))
    return bool(part == whole)


@pytest.mark.parametrize("name", NAMES)
def test_lints_strictly(name: str, tool: Tool) -> None:
    result = run([tool("helm"), "lint", "--strict", CHARTS / name])
    assert result.ok, result.stdout + result.stderr


@cache
def lint(helm: Path, chart: Path, overlays: tuple[Path, ...]) -> Result:
    """Many releases of several environments have the same overlays."""
    return run([helm, "lint", "--strict", chart, *(word for file in overlays for word in ("-f", file))])


@pytest.mark.parametrize("release", DECLARED, ids=str)
def test_lints_with_the_overlays_of_each_environment(release: Declared, tool: Tool) -> None:
    result = lint(tool("helm"), release.chart, release.overlays)
    assert result.ok, result.stdout + result.stderr


@pytest.mark.parametrize("release", list(releases("local")), ids=str)
def test_renders_the_same_each_time(release: Declared, tool: Tool) -> None:
    assert render(tool("helm"), release) == render(tool("helm"), release, again=True)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_it_is_random(name: str) -> None:
    """Whatever the values, so in every environment."""
    assert random_templates(CHARTS / name, {}) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_refuses_an_unknown_key(name: str, tool: Tool) -> None:
    result = template(tool("helm"), name, {"valeus": 1})
    assert not result.ok
    assert "additional properties 'valeus' not allowed" in result.stderr


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case['chart']}: {case['refused']}")
def test_refuses(case: dict[str, Any], tool: Tool) -> None:
    result = template(tool("helm"), case["chart"], case["values"])
    assert not result.ok
    assert case["refused"] in result.stderr


def test_every_chart_has_cases_of_what_it_refuses() -> None:
    assert {case["chart"] for case in REFUSED} | {"helm-test-jobs"} == set(NAMES)


@pytest.mark.parametrize("case", JOBS, ids=lambda case: case["name"])
def test_helm_test_jobs(case: dict[str, Any], tool: Tool) -> None:
    result = template(tool("helm"), "helm-test-jobs", case["values"])
    if "refused" in case:
        assert not result.ok
        assert case["refused"] in result.stderr
        return
    assert result.ok, result.stderr
    rendered = {f"{item['kind']}/{item['metadata']['name']}": item for item in documents(result.stdout)}
    assert not set(case.get("absent", [])) & set(rendered)
    for name, part in case["render"].items():
        assert matches(part, rendered[name]), yaml.safe_dump(rendered[name])
    assert case["render"] or not rendered


def test_nothing_but_smoke_jobs_is_a_hook(tool: Tool) -> None:
    """What the Jobs need outlives them, so that a failed one can be looked at and run again."""
    for release in DECLARED:
        for item in render(tool("helm"), release):
            hook = "helm.sh/hook" in item["metadata"].get("annotations", {})
            assert hook == (release.smoke and item["kind"] == "Job"), item["metadata"]["name"]


def test_the_environments_differ_where_they_should(tool: Tool) -> None:
    """Replicas and storage, and nothing but overlays makes the difference."""
    brokers, disks, instances, domains = {}, {}, {}, {}
    for environment in ENVIRONMENTS:
        objects = {
            (item["kind"], item["metadata"]["name"]): item
            for release in releases(environment)
            for item in render(tool("helm"), release)
        }
        pools = [item["spec"] for (kind, _), item in objects.items() if kind == "KafkaNodePool"]
        brokers[environment] = sum(pool["replicas"] for pool in pools if "broker" in pool["roles"])
        redis = objects["RedisFailover", "redis"]["spec"]["redis"]
        disks[environment] = (redis["replicas"], "persistentVolumeClaim" in redis["storage"])
        cluster = objects["Cluster", "postgres"]["spec"]
        instances[environment] = (cluster["instances"], cluster["storage"]["size"])
        domains[environment] = objects["Gateway", "ameide"]["spec"]["listeners"][1]["hostname"]
    assert brokers == {"local": 1, "dev": 3, "staging": 3, "production": 5}
    assert disks == {"local": (1, False), "dev": (3, True), "staging": (3, True), "production": (3, True)}
    assert instances == {"local": (1, "2Gi"), "dev": (1, "20Gi"), "staging": (2, "50Gi"), "production": (3, "200Gi")}
    assert len(set(domains.values())) == len(ENVIRONMENTS)
