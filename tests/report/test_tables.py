"""`layers`, `cluster.status` and errors: for people and for machines."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.clusters.provider import ClusterStatus
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault, Interrupted, Location, Problem
from devtools.model import (
    ChartRef,
    Environment,
    Facts,
    Layer,
    ObjectRef,
    Release,
    ReleaseFact,
    ReleaseId,
    Stack,
)
from devtools.report.problems import error_json, render_error
from devtools.report.tables import cluster_json, cluster_lines, layers_json, layers_lines, show_document
from devtools.report.text import plain

ROOT = Path("/repo")


def release(name: str, layer: str, *, installed: bool = True, disabled_by: str = "", kind: str = "local") -> Release:
    return Release(
        name=name,
        namespace="ameide",
        layer=layer,
        chart=ChartRef(
            name=f"platform/{name}",
            path=ROOT / "charts" / name,
            version="1.2.0",
            kind="stand-in" if kind == "stand-in" else "local",
        ),
        where=Location(file=ROOT / "layers" / f"{layer}.yaml"),
        installed=installed,
        disabled_by=disabled_by,
    )


def layer(name: str, *releases: Release, alias: str = "", critical: bool = True, inactive: str = "") -> Layer:
    return Layer(
        name=name,
        file=ROOT / "layers" / f"{name}.yaml",
        stage=name.partition("-")[2],
        alias=alias,
        critical=critical,
        inactive=inactive,
        releases=releases,
    )


STACK = Stack(
    name="ameide",
    root=ROOT,
    environment=Environment(name="local"),
    layers=(
        layer(
            "20-core-operators",
            release("clickhouse-operator", "20-core-operators", kind="stand-in"),
            release("vault", "20-core-operators", installed=False, disabled_by="releases.vault.installed"),
            alias="20-operators",
        ),
        layer("40-data-plane", release("clickhouse", "40-data-plane"), release("redis", "40-data-plane")),
        layer("42-db-migrations", critical=False, inactive="only in local"),
    ),
)
FACTS = Facts(
    releases={
        ReleaseId("ameide", "clickhouse-operator"): ReleaseFact(
            id=ReleaseId("ameide", "clickhouse-operator"), status="deployed", revision=2, digest="a", ready="a"
        ),
        ReleaseId("ameide", "clickhouse"): ReleaseFact(
            id=ReleaseId("ameide", "clickhouse"),
            status="deployed",
            revision=1,
            digest="b",
            ready="b",
            missing=(ObjectRef("apps/v1", "StatefulSet", "ameide", "clickhouse"),),
        ),
    }
)
STATUS = ClusterStatus(
    name="ameide",
    provider="kwok",
    state="running",
    context="kwok-ameide",
    kubeconfig=Path("/home/dev/kubeconfig"),
    version="1.34.4",
    real_node="real",
    nodes=4,
    notes=("Admission webhooks are off: the servers that would answer them are simulated here.",),
)


def layers(facts: Facts | None = FACTS, note: str = "", output: str = "text") -> str:
    out = io.StringIO()
    show_document(layers_json(STACK, facts, note), layers_lines, output, out, {})
    return out.getvalue()


def test_what_is_not_declared_any_more_is_named() -> None:
    gone, foreign = ReleaseId("ameide", "gone"), ReleaseId("ameide", "foreign")
    found = {
        **FACTS.releases,
        gone: ReleaseFact(id=gone, status="deployed", revision=1, stack="ameide"),
        foreign: ReleaseFact(id=foreign, status="deployed", revision=1, stack="another"),
    }
    assert "On the cluster, but not declared any more: ameide/gone\n" in layers(Facts(releases=found))
    declared = {
        ReleaseId("ameide", name): ReleaseFact(
            id=ReleaseId("ameide", name), status="deployed", revision=1, stack="ameide"
        )
        for name in ("clickhouse", "redis")
    }
    part = Stack(name="ameide", root=ROOT, environment=STACK.environment, layers=STACK.layers[:1])
    assert layers_json(part, Facts(releases=declared), whole=STACK)["undeclared"] == []


def test_layers() -> None:
    assert layers() == (
        "  RELEASE                     STATE     CHART\n"
        "20-core-operators  stage core-operators, also 20-operators\n"
        "  ameide/clickhouse-operator  deployed\n"
        "      platform/clickhouse-operator 1.2.0 (stand-in)\n"
        "  ameide/vault                disabled  platform/vault 1.2.0\n"
        "      disabled by releases.vault.installed\n"
        "40-data-plane  stage data-plane\n"
        "  ameide/clickhouse           deployed  platform/clickhouse 1.2.0\n"
        "      missing on the cluster: StatefulSet/clickhouse\n"
        "  ameide/redis                absent    platform/redis 1.2.0\n"
        "42-db-migrations  stage db-migrations, not critical, left out: only in local\n"
        "  no releases\n"
        "\n"
        "ameide in local: 1 absent, 2 deployed, 1 disabled\n"
    )


@pytest.mark.parametrize(
    ("tested", "tests", "state"),
    [("failed", "failed", "tests failed"), ("a" * 40, "passed", "deployed"), ("", "unknown", "deployed")],
)
def test_layers_tell_whether_tests_failed(tested: str, tests: str, state: str) -> None:
    smoke = replace(release("data-plane-smoke", "40-data-plane"), smoke=True)
    fact = ReleaseFact(id=smoke.id, status="deployed", revision=1, digest="a", ready="a", tested=tested)
    stack = replace(STACK, layers=(layer("40-data-plane", smoke),))
    document = layers_json(stack, Facts(releases={smoke.id: fact}))
    found = document["layers"][0]["releases"][0]
    assert (found["state"], found["tests"]) == ("deployed", tests)
    assert f"ameide/data-plane-smoke  {state}" in "\n".join(plain(line) for line in layers_lines(document, 80))


def test_layers_without_a_cluster_say_why() -> None:
    assert layers(None, "no cluster is running").endswith(
        "ameide in local: 1 disabled, 3 unknown\nStates are unknown: no cluster is running\n"
    )


def test_layers_as_json() -> None:
    document = json.loads(layers(output="json"))
    states = {item["release"]: item["state"] for part in document["layers"] for item in part["releases"]}
    assert states == {
        "ameide/clickhouse-operator": "deployed",
        "ameide/vault": "absent",
        "ameide/clickhouse": "deployed",
        "ameide/redis": "absent",
    }
    assert document["layers"][0]["file"] == "layers/20-core-operators.yaml"
    assert document["layers"][0]["releases"][0]["ready"] is True
    assert document["layers"][1]["releases"][0]["ready"] is False


def test_cluster_status() -> None:
    out = io.StringIO()
    show_document(cluster_json(STATUS), cluster_lines, "text", out, {})
    assert out.getvalue() == (
        "cluster ameide (kwok): running\n"
        "  kubernetes  1.34.4\n"
        "  nodes       4\n"
        "  real node   real\n"
        "  context     kwok-ameide\n"
        "  kubeconfig  /home/dev/kubeconfig\n"
        "  What differs here from a production cluster:\n"
        "  - Admission webhooks are off: the servers that would answer them are simulated\n"
        "    here.\n"
    )


def test_a_broken_cluster_says_what_is_wrong_and_what_to_do() -> None:
    out = io.StringIO()
    broken = ClusterStatus(name="a", provider="kwok", state="broken", problem="etcd does not run", hint="delete it")
    show_document(cluster_json(broken), cluster_lines, "text", out, {"FORCE_COLOR": "1"})
    assert "\x1b[1;31metcd does not run\x1b[0m" in out.getvalue()
    assert "delete it" in out.getvalue()


def problem(line: int, message: str, hint: str = "") -> Problem:
    return Problem(
        where=Location(file=ROOT / "layers/40-data-plane.yaml", line=line, column=5), message=message, hint=hint
    )


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            ConfigError(
                "2 problems in the stack",
                hint="fix them and try again",
                problems=(problem(4, "unknown key 'chrat'", "did you mean 'chart'?"), problem(9, "no such release")),
            ),
            (
                "error: 2 problems in the stack\n"
                "  layers/40-data-plane.yaml:4:5: unknown key 'chrat' (did you mean 'chart'?)\n"
                "  layers/40-data-plane.yaml:9:5: no such release\n"
                "  hint: fix them and try again\n"
            ),
        ),
        (EnvironmentFault("no cluster answers"), "error: no cluster answers\n"),
        (Interrupted("Ctrl-C"), "interrupted: Ctrl-C\n"),
        (Interrupted("interrupted by Ctrl-C"), "interrupted by Ctrl-C\n"),
        (DevtoolsError("two\nlines", hint="a\nb"), "error: two\n  lines\n  hint: a\n        b\n"),
        (DevtoolsError("evil \x1b[2Jtext"), "error: evil text\n"),
    ],
)
def test_errors(error: DevtoolsError, shown: str) -> None:
    out = io.StringIO()
    render_error(error, out, color=False, cwd=ROOT)
    assert out.getvalue() == shown


def test_errors_in_colour_say_the_same() -> None:
    out = io.StringIO()
    render_error(EnvironmentFault("no cluster", hint="invoke up"), out, color=True)
    assert out.getvalue() == "\x1b[1;31merror: \x1b[0mno cluster\n\x1b[2m  hint: \x1b[0minvoke up\n"


def test_an_error_as_json() -> None:
    made = error_json(ConfigError("1 problem", problems=(problem(4, "unknown key 'chrat'"),)), ROOT)
    assert made == {
        "version": 1,
        "kind": "error",
        "message": "1 problem",
        "hint": "",
        "exit_code": 2,
        "details": [],
        "problems": [
            {
                "file": "layers/40-data-plane.yaml",
                "line": 4,
                "column": 5,
                "message": "unknown key 'chrat'",
                "hint": "",
            }
        ],
    }
