"""The cases: what is measured, how often, and how each tool gets the state that it starts from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.bed import APPLY, LOOP, OURS, REVIEWED, ROOT, SYNC, XARGS, Bed, ours, reviewed
from bench.graphs import critical_path, graph
from bench.measure import Sample, summary
from bench.peers import Target
from bench.repository import write_repository

LAYER = "40-data-plane"
Samples = dict[str, list[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the benchmark; `estimate` is its seconds on a quiet machine of two cores."""

    name: str
    title: str
    estimate: float
    run: Callable[[Bed, bool], dict[str, Any]]  # with whether to be quick about it


def cases() -> tuple[Case, ...]:
    """All of them, the quick ones first."""
    plans = [_plan_case(size, estimate) for size, estimate in ((1000, 25.0), (3000, 60.0))]
    exports = [_export_case(size, estimate) for size, estimate in ((100, 20.0), (300, 25.0), (1000, 40.0))]
    return (
        *plans,
        *exports,
        Case(name="export-platform", title="export of the platform for Argo CD", estimate=20, run=_export_platform),
        Case(name="layer-noop", title=f"nothing changed, layer {LAYER}", estimate=110, run=_layer_noop),
        Case(name="platform-noop", title="nothing changed, whole platform", estimate=330, run=_platform_noop),
        Case(name="platform-diff", title="diff of one change in the platform", estimate=75, run=_platform_diff),
        Case(name="platform-cold", title="whole platform on an empty cluster", estimate=420, run=_platform_cold),
        *(_dag_case(20, shape, rounds=5, estimate=120) for shape in ("skewed", "wide", "deep")),
        Case(name="one-of-100", title="one value changed in one release of 100", estimate=300, run=_one_of_100),
        _dag_case(100, "skewed", rounds=3, estimate=290),
        *(_dag_case(100, shape, rounds=1, estimate=100) for shape in ("wide", "deep")),
        _dag_case(300, "skewed", rounds=1, estimate=280),
        *(_dag_case(300, shape, rounds=1, estimate=280) for shape in ("wide", "deep")),
    )


def _rows(samples: Samples) -> dict[str, Any]:
    return {tool: summary(found) for tool, found in samples.items() if found}


def _note(bed: Bed, samples: Samples, tool: str, sample: Sample, what: str) -> None:
    """Keep a sample and say so."""
    samples.setdefault(tool, []).append(sample)
    failed = f", FAILED with {sample.code}" if sample.code else ""
    bed.say(f"  {what}: {tool} {sample.seconds:.2f} s, CPU {sample.cpu:.2f} s{failed}")


def _plan_case(size: int, estimate: float) -> Case:
    def work(bed: Bed, quick: bool) -> dict[str, Any]:
        size_now = size // 10 if quick else size
        root = write_repository(bed.work / f"plan-{size}", graph("wide", size_now), "bench")
        bed.forget()
        samples: Samples = {}
        for number in range(2 if quick else 6):
            sample = bed.measure(ours("plan"), root)
            if number:  # the first one reads files that are not cached yet
                _note(bed, samples, OURS, sample, f"plan of {size_now}")
        return {"rows": _rows(samples), "releases": size_now}

    return Case(name=f"plan-{size}", title=f"plan of {size:,} releases, no cluster", estimate=estimate, run=work)


def _export_case(size: int, estimate: float) -> Case:
    def work(bed: Bed, quick: bool) -> dict[str, Any]:
        root = write_repository(bed.work / f"export-{size}", graph("deep", size), "bench")
        with (root / "devtools.yaml").open("a", encoding="utf-8") as file:
            file.write("gitops: {repository: https://git.example.com/bench.git}\n")
        (root / "environments" / "dev").mkdir()
        return {"rows": _rows(_exports(bed, root, f"export of {size}", quick=quick)), "releases": size}

    return Case(name=f"export-{size}", title=f"export of {size:,} components", estimate=estimate, run=work)


def _export_platform(bed: Bed, quick: bool) -> dict[str, Any]:
    return {"rows": _rows(_exports(bed, ROOT, "export of the platform", quick=quick))}


def _exports(bed: Bed, root: Path, what: str, *, quick: bool) -> Samples:
    """Export into an empty directory, again and again; the first time reads files that nothing has read."""
    bed.forget()
    samples: Samples = {}
    for number in range(2 if quick else 6):
        out = bed.work / f"{root.name}-out-{number}"
        sample = bed.measure(ours("gitops.export", "--out", str(out)), root)
        if number:
            _note(bed, samples, OURS, sample, what)
    return samples


def _layer_noop(bed: Bed, quick: bool) -> dict[str, Any]:
    target = _platform(bed)
    commands = bed.commands(bed.items(ROOT, bed.work / "layer", layer=LAYER), target, bed.work / "layer")
    mine = ours("layer", LAYER, "--no-test")
    return {"rows": _rows(_interleaved(bed, target, commands, mine, rounds=1 if quick else 5)), "releases": 5}


def _platform_noop(bed: Bed, quick: bool) -> dict[str, Any]:
    target = _platform(bed)
    items = bed.items(ROOT, bed.work / "platform")
    commands = bed.commands(items, target, bed.work / "platform")
    commands = {name: argv for name, argv in commands.items() if not (quick and name in {LOOP, XARGS})}
    rows = _rows(_interleaved(bed, target, commands, ours("up", "--no-test"), rounds=1 if quick else 5))
    return {"rows": rows, "releases": len(items)}


def _platform_diff(bed: Bed, quick: bool) -> dict[str, Any]:
    """One value differs from what is up, in a copy of the repository of the same name."""
    target, root = _platform(bed), bed.work / "changed"
    for name in ("layers", "charts", "environments", "simulation", "scripts"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("devtools.yaml", "images.yaml", "tasks.py"):
        shutil.copy(ROOT / name, root / name)
    overlay = root / "environments" / "local" / LAYER / "pgadmin.yaml"
    overlay.write_text("image: docker.io/dpage/pgadmin4:0.0.0\n", encoding="utf-8")
    bed.measure(ours("plan", "--diff"), root, target)  # reads files that nothing has read
    bed.settle()
    samples: Samples = {}
    for number in range(1 if quick else 5):
        _note(bed, samples, OURS, bed.measure(ours("plan", "--diff"), root, target), f"diff {number + 1}")
    return {"rows": _rows(samples), "releases": len(bed.items(ROOT, bed.work / "platform"))}


def _interleaved(
    bed: Bed, target: Target, commands: Mapping[str, Sequence[str]], mine: Sequence[str], *, rounds: int
) -> Samples:
    """Every tool in each round. The peers write new revisions, so ours syncs once, unmeasured, before it is unchanged.

    Only every other round has ours (that sync is the dearest part), two times; the plain loop is run twice in all.
    """
    samples: Samples = {}
    for number in range(rounds):
        what = f"round {number + 1}/{rounds}"
        if number % 2 == 0:
            bed.measure(mine, ROOT, target)
            bed.settle()
            for _ in range(2):
                _note(bed, samples, OURS, bed.measure(mine, ROOT, target), what)
        for tool, argv in _rotated(commands, number):
            if tool != LOOP or number < 2:  # noqa: PLR2004 - it is the slowest, and says least
                _note(bed, samples, tool, bed.measure(argv, bed.work, target), what)
    return samples


def _rotated(commands: Mapping[str, Sequence[str]], number: int) -> list[tuple[str, Sequence[str]]]:
    """No tool is always first."""
    items = list(commands.items())
    at = number % len(items)
    return items[at:] + items[:at]


def _platform(bed: Bed) -> Target:
    """The platform, up on a fresh cluster."""
    target = bed.fresh()
    bed.say("  bringing the platform up")
    sample = bed.measure(ours("up", "--no-test"), ROOT, target)
    if sample.code:
        raise RuntimeError(f"the platform did not come up: see {bed.work}/commands.log")
    return target


def _platform_cold(bed: Bed, quick: bool) -> dict[str, Any]:
    rounds, samples = 1 if quick else 5, Samples()
    items = bed.items(ROOT, bed.work / "cold")
    for number in range(rounds):
        for tool in _turns((OURS, SYNC, XARGS), number) + ([LOOP] if number == 0 and not quick else []):
            target = bed.fresh()
            bed.settle()
            commands = {OURS: ours("up", "--no-test"), **bed.commands(items, target, bed.work / "cold")}
            cwd = ROOT if tool == OURS else bed.work
            _note(bed, samples, tool, bed.measure(commands[tool], cwd, target), f"round {number + 1}/{rounds}")
    return {"rows": _rows(samples), "releases": len(items)}


def _turns(tools: Sequence[str], number: int) -> list[str]:
    at = number % len(tools)
    return [*tools[at:], *tools[:at]]


def _dag_case(size: int, shape: str, *, rounds: int, estimate: float) -> Case:
    def work(bed: Bed, quick: bool) -> dict[str, Any]:
        return _dag(bed, shape, size, 1 if quick else rounds)

    return Case(
        name=f"dag-{size}-{shape}",
        title=f"{size} releases, {shape}, on an empty cluster",
        estimate=estimate,
        run=work,
    )


def _dag(bed: Bed, shape: str, size: int, rounds: int) -> dict[str, Any]:
    """One fresh cluster a round; in it each tool has a namespace of its own."""
    nodes, samples = graph(shape, size), Samples()
    tools = (OURS, SYNC) if size > 100 else (OURS, SYNC, XARGS)  # noqa: PLR2004 - a matter of minutes
    for number in range(rounds):
        target = bed.fresh()
        _prepare(bed, target)
        for tool in _turns(tools, number):
            namespace = f"b{number}-{tool.replace(' ', '-')}"
            root = write_repository(bed.work / namespace, nodes, namespace)
            commands = bed.commands(bed.items(root, root / "peers"), target, root / "peers")
            argv = ours("up", "--no-test") if tool == OURS else commands[tool]
            _note(bed, samples, tool, bed.measure(argv, root, target), f"round {number + 1}/{rounds}")
            shutil.rmtree(root)
    return {"rows": _rows(samples), "releases": size, "bound": _bound(bed, shape, size)}


def _prepare(bed: Bed, target: Target) -> None:
    """Programs, images of them and the API server's caches are warm for everybody alike."""
    root = write_repository(bed.work / "warm", graph("wide", 2), "warm")
    bed.measure(ours("up", "--no-test"), root, target)
    shutil.rmtree(root)
    bed.settle()


def _bound(bed: Bed, shape: str, size: int) -> dict[str, float]:
    """max(critical path, total helm CPU / cores), from five releases synced one by one with nothing else going on."""
    target, root = bed.fresh(), write_repository(bed.work / "bound", graph("wide", 6), "bound")
    items = bed.items(root, root / "peers")
    singles: list[Sample] = []
    for item in items:
        alone = replace(item, needs=())  # what it needs was synced before it
        loop = bed.commands((alone,), target, root / "one")[LOOP]
        singles.append(bed.measure(loop, root, target))
    shutil.rmtree(root)
    each, cpu = median(one.seconds for one in singles[1:]), median(one.cpu for one in singles[1:])
    path = critical_path(graph(shape, size), each)
    work, busy = cpu * size / bed.cores, median(one.machine_cpu for one in singles[1:]) * size / bed.cores
    return {
        "one_release": round(each, 3),
        "one_release_cpu": round(cpu, 3),
        "critical_path": round(path, 2),
        "helm_cpu_per_core": round(work, 2),
        "lower_bound": round(max(path, work), 2),
        "with_control_plane": round(max(path, busy), 2),
    }


def _one_of_100(bed: Bed, quick: bool) -> dict[str, Any]:
    """The changed value goes back and forth, so that each run has exactly one release to upgrade."""
    size, rounds, samples = (20, 1, Samples()) if quick else (100, 5, Samples())
    nodes, target, where = graph("wide", size), bed.fresh(), bed.work
    tools = [tool for tool in (OURS, REVIEWED, SYNC, APPLY) if tool != APPLY or bed.diff]
    for tool in tools:
        _one_changed(bed, tool, size, namespace := f"one-{tools.index(tool)}", target, "")
        root = where / namespace
        commands = {OURS: ours("up", "--no-test"), REVIEWED: reviewed()}
        for number in range(rounds if tool == OURS else min(rounds, 3)):
            changed = "" if number % 2 else f"r{size // 2}"
            write_repository(root, nodes, namespace, changed=changed)
            commands |= bed.commands(bed.items(root, root / "peers"), target, root / "peers")
            _note(bed, samples, tool, bed.measure(commands[tool], root, target), f"change {number + 1}/{rounds}")
        shutil.rmtree(root)
    return {"rows": _rows(samples), "releases": size}


def _one_changed(bed: Bed, tool: str, size: int, namespace: str, target: Target, changed: str) -> None:
    """Install all, unmeasured."""
    root: Path = write_repository(bed.work / namespace, graph("wide", size), namespace, changed=changed)
    bed.say(f"  installing {size} releases for {tool}")
    commands = bed.commands(bed.items(root, root / "peers"), target, root / "peers")
    bed.measure(ours("up", "--no-test") if tool in {OURS, REVIEWED} else commands[SYNC], root, target)
