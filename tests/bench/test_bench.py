"""The benchmark's own parts: graphs, repositories that load, what the peers get, the document of results."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from bench.bed import LOOP, OURS, ROOT, SYNC, XARGS, Bed
from bench.cases import cases
from bench.graphs import SHAPES, batches, critical_path, graph
from bench.machine import machine
from bench.measure import Sample, run, summary
from bench.peers import Target, helmfile_yaml
from bench.repository import archive, write_repository
from bench.results import BEGIN, END, aims, read_results, tables, write_results
from devtools.app.environment import App

DOCS = ROOT / "docs" / "benchmarks"


@with_config(ConfigDict(extra="forbid", strict=True))
class Row(TypedDict):
    n: int
    failed: int
    median: float | None
    min: float | None
    max: float | None
    cpu: float | None
    machine_cpu: float | None
    rss_mib: float | None
    samples: list[dict[str, float]]


class Bound(TypedDict):
    one_release: float
    one_release_cpu: float
    critical_path: float
    helm_cpu_per_core: float
    lower_bound: float
    with_control_plane: float


class Machine(TypedDict):
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    system: str
    load: list[float]
    at: str
    versions: dict[str, str]


class _Measured(TypedDict):
    title: str
    commit: str
    quick: bool
    took: float
    machine: Machine
    rows: dict[str, Row]
    releases: int


class Measured(_Measured, total=False):
    bound: Bound


class Results(TypedDict):
    version: int
    kind: str
    cases: dict[str, Measured]


SCHEMA = TypeAdapter(Results)


def sample(seconds: float, code: int = 0) -> Sample:
    return Sample(seconds=seconds, cpu=seconds / 2, machine_cpu=seconds, rss_mib=50.0, load=0.1, code=code)


def measured(**rows: list[Sample]) -> dict[str, Any]:
    found = {name.replace("_", " "): summary(samples) for name, samples in rows.items()}
    document = {"title": "a case", "commit": "abc", "quick": False, "took": 1.0, "machine": machine(), "releases": 5}
    return {**document, "rows": found}


def bed(tmp_path: Path) -> Bed:
    return Bed(work=tmp_path / "work", say=print, cores=2)


@pytest.mark.parametrize("size", [3, 20, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_graph_declares_each_release_after_its_needs(shape: str, size: int) -> None:
    nodes = graph(shape, size)
    observed: set[str] = set()
    for node in nodes:
        assert set(node.needs) <= observed, node
        observed.add(node.name)
    assert len(observed) == size
    assert critical_path(nodes, 1.0) <= size * 3
    levels = batches({node.name: node.needs for node in nodes})
    assert sorted(name for level in levels for name in level) == sorted(observed)


def test_the_longest_chain_counts_delays() -> None:
    assert critical_path(graph("wide", 10), 0.5) == 1.0
    assert critical_path(graph("deep", 8), 1.0) == 2.0
    assert critical_path(graph("skewed", 20), 1.0) == 4 * 3.0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_peers_get_what_is_declared(shape: str, tmp_path: Path) -> None:
    root = write_repository(tmp_path / "repo", graph(shape, 12), "ns", changed="r0")
    items = bed(tmp_path).items(root, tmp_path / "peers")
    state = yaml.load(helmfile_yaml(items, "some-context"), yaml.CSafeLoader)
    assert [item["name"] for item in state["releases"]] == [item.name for item in items]
    assert sorted(item.name for item in items) == sorted(node.name for node in graph(shape, 12))
    assert {item.name: item.needs for item in items} == {
        node.name: tuple(f"ns/{need}" for need in node.needs) for node in graph(shape, 12)
    }
    assert {item.chart.read_bytes() for item in items} == {archive()}
    changed = [item.name for item in items if json.loads(item.values.read_text())["text"] == "changed"]
    assert changed == (["r0"])
    assert state["helmDefaults"]["kubeContext"] == "some-context"


def test_the_platform_is_the_same_for_the_peers(app: App, tmp_path: Path) -> None:
    whole = bed(tmp_path).items(ROOT, tmp_path / "peers")
    observed: set[str] = set()
    for item in whole:
        assert item.chart.suffix == ".tgz"
        assert item.chart.is_file()
        assert set(item.needs) <= observed
        observed.add(item.id)
    layer = bed(tmp_path).items(ROOT, tmp_path / "peers", layer="40-data-plane")
    assert {item.id for item in layer} < observed
    assert all(need in {item.id for item in layer} for item in layer for need in item.needs)


def test_scripts_name_helm_cluster_and_every_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_repository(tmp_path / "repo", graph("deep", 12), "ns")
    found = bed(tmp_path)
    found.__dict__["helmfile"] = Path("helmfile")  # nothing is built for this
    items = found.items(root, tmp_path / "peers")
    target = Target(helm=Path("/bin/echo"), kubeconfig=Path("config"), context="some-context")
    commands = found.commands(items, target, tmp_path / "peers")
    for tool in (LOOP, XARGS):
        log = tmp_path / f"{tool}.log"
        assert run(commands[tool], cwd=tmp_path, env={"PATH": os.defpath}, log=log).code == 0
    assert (tmp_path / "peers" / "loop.sh").read_text().count("--kube-context some-context") == 12
    assert [len(path.read_text().splitlines()) for path in sorted((tmp_path / "peers" / "levels").iterdir())] == [4] * 3
    assert commands[SYNC][-2:] == ("sync", "--skip-deps")


def test_helmfile_reads_what_is_generated(app: App, tmp_path: Path) -> None:
    program = {row.name: row.path for row in app.toolchain.table()}["helmfile"]
    if program is None:
        pytest.skip("helmfile is not built here: bench/run and invoke import.helmfile build it")
    root = write_repository(tmp_path / "repo", graph("skewed", 6), "ns")
    (tmp_path / "helmfile.yaml").write_text(
        helmfile_yaml(bed(tmp_path).items(root, tmp_path / "peers"), "some-context")
    )
    log = tmp_path / "log"  # helmfile.yaml is its usual name
    argv = (str(program), "--helm-binary", str(app.toolchain.path("helm")), "list", "--output", "json")
    code = run(argv, cwd=tmp_path, env={**bed(tmp_path).env}, log=log).code
    assert code == 0, log.read_text()
    assert all(f'"{node.name}"' in log.read_text() for node in graph("skewed", 6))


def test_a_run_is_measured_with_its_children(tmp_path: Path) -> None:
    work = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(3000000))'], check=True)"
    found = run((sys.executable, "-c", work), cwd=tmp_path, env={}, log=tmp_path / "log")
    assert found.code == 0
    assert found.cpu > 0.02
    assert found.rss_mib > 5
    assert run(("/does/not/exist",), cwd=tmp_path, env={}, log=tmp_path / "log").code == 127
    assert run(("/bin/sh", "-c", "echo said; exit 3"), cwd=tmp_path, env={}, log=tmp_path / "log").code == 3
    assert "said" in (tmp_path / "log").read_text()


def test_runs_that_failed_do_not_count_as_fast() -> None:
    found = summary([sample(9.0), sample(0.1, code=1), sample(11.0), sample(10.0)])
    assert (found["n"], found["failed"], found["median"], found["min"], found["max"]) == (3, 1, 10.0, 9.0, 11.0)
    assert summary([sample(0.1, code=1)])["median"] is None


def test_results_are_stored_by_case_and_shown(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    document = read_results(tmp_path / "results.json")
    ours, theirs = [sample(0.5), sample(0.7), sample(0.6)], [sample(8.0), sample(9.0), sample(8.5)]
    document["cases"]["layer-noop"] = measured(**{OURS: ours, "helmfile_sync": theirs})
    document["cases"]["layer-noop"]["bound"] = dict.fromkeys(Bound.__annotations__, 1.5)
    write_results(tmp_path, document)
    again = read_results(tmp_path / "results.json")
    assert again == document
    SCHEMA.validate_python(again)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| a case | helmfile sync | 3 | 8.50 | 8.00 to 9.00 |" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "results.json"]


@pytest.mark.parametrize("text", ["", "[", "{}", '{"version": 0}'])
def test_no_results_are_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(text, "utf-8")
    assert read_results(file)["cases"] == {}
    assert "No results yet" in tables(read_results(file))


def test_an_aim_is_met_or_missed() -> None:
    found = {
        "layer-noop": measured(**{OURS: [sample(0.5)], "helmfile_sync": [sample(8.0)]}),
        "plan-1000": measured(**{OURS: [sample(1.5)]}),
        "plan-3000": measured(**{OURS: [sample(4.0)]}),
    }
    reported = {words: good for words, _, good, _ in aims(found)}
    assert reported == {
        "unchanged layer: at least 10 x faster than helmfile sync": True,
        "unchanged layer: whole process under 0.6 s": True,
        "plan of 1,000 releases: under 1 s": False,
        "plan of 1,000 releases: at most 150 MiB": True,
        "plan of 3,000 releases: at most 3 x the time of 1,000": True,
    }


def test_the_committed_results_are_such_a_document() -> None:
    document = read_results(DOCS / "results.json")
    SCHEMA.validate_python(document)
    assert set(document["cases"]) <= {case.name for case in cases()}
    assert tables(document) in (DOCS / "README.md").read_text("utf-8")


def test_the_machine_is_described() -> None:
    found = TypeAdapter(Machine).validate_python(machine())
    assert found["cores"] >= 1
    assert found["versions"]["helm"]


def test_every_case_is_explained() -> None:
    text = (DOCS / "README.md").read_text("utf-8")
    for case in cases():
        name = "dag-N-SHAPE" if case.name.startswith("dag-") else case.name
        assert f"`{name}`" in text
    buffer = io.StringIO()
    buffer.write(tables({"cases": {}}))
    assert buffer.getvalue()
