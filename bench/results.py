"""The results: a JSON document with everything, and the tables that people read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.bed import APPLY, LOOP, OURS, REVIEWED, SYNC, XARGS

VERSION = 1
BEGIN, END = "<!-- results: written by bench/run -->", "<!-- end of results -->"
MIB = 150


def read_results(file: Path) -> dict[str, Any]:
    """The document; an empty one where there is none that can be read."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        document = {}
    return document if document.get("version") == VERSION else {"version": VERSION, "kind": "benchmark", "cases": {}}


def write_results(directory: Path, document: Mapping[str, Any]) -> None:
    """`results.json`, whole or not at all, and the tables in README.md, between their marks."""
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / "results.json", json.dumps(document, indent=1) + "\n")
    readme = directory / "README.md"
    text = readme.read_text("utf-8") if readme.exists() else f"{BEGIN}\n{END}\n"
    before, found, rest = text.partition(BEGIN)
    if found:
        _replace(readme, f"{before}{BEGIN}\n\n{tables(document)}\n{END}{rest.partition(END)[2]}")


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def tables(document: Mapping[str, Any]) -> str:
    """The machine, one line for each case and tool, and the aims."""
    cases: Mapping[str, Any] = document.get("cases", {})
    if not cases:
        return "No results yet.\n"
    return "\n".join((*_machines(cases), "", *_measured(cases), "", *_bounds(cases), *_aims(cases), ""))


def _machines(cases: Mapping[str, Any]) -> Iterator[str]:
    """One line for each machine and commit; the load says how quiet it was."""
    loads_by_place: dict[str, list[float]] = {}
    for case in cases.values():
        it = case["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in it["versions"].items())
        text = f"{it['cpu']}, {it['cores']} cores, {it['memory_gib']} GiB, {it['system']} {it['kernel']}; {versions}"
        loads_by_place.setdefault(text + f"; commit {case['commit']}", []).append(it["load"][0])
    for text, loads in loads_by_place.items():
        yield f"Measured on {text}. Load when the cases began: {min(loads):.1f} to {max(loads):.1f}."


def _measured(cases: Mapping[str, Any]) -> Iterator[str]:
    yield "| case | tool | n | median, s | range, s | CPU, s | MiB | times devtools |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for case in cases.values():
        base = (case["rows"].get(OURS) or {}).get("median")
        for tool, row in case["rows"].items():
            if row["median"] is None:
                yield f"| {case['title']} | {tool} | 0 of {row['failed']} | failed | | | | |"
                continue
            times = f"{row['median'] / base:.1f}" if base else ""
            failed = f" ({row['failed']} failed)" if row["failed"] else ""
            yield (
                f"| {case['title']} | {tool} | {row['n']}{failed} | {row['median']:.2f} "
                f"| {row['min']:.2f} to {row['max']:.2f} | {row['cpu']:.2f} | {row['rss_mib']:.0f} | {times} |"
            )


def _bounds(cases: Mapping[str, Any]) -> Iterator[str]:
    found = {name: case for name, case in cases.items() if case.get("bound")}
    if not found:
        return
    yield "| case | lower bound, s | critical path, s | helm CPU ÷ cores, s | all CPU ÷ cores, s | devtools ÷ bound |"
    yield "|---|--:|--:|--:|--:|--:|"
    for case in found.values():
        bound, median = case["bound"], (case["rows"].get(OURS) or {}).get("median")
        ratio = f"{median / bound['lower_bound']:.2f}" if median else ""
        yield (
            f"| {case['title']} | {bound['lower_bound']:.1f} | {bound['critical_path']:.1f} "
            f"| {bound['helm_cpu_per_core']:.1f} | {bound['with_control_plane']:.1f} | {ratio} |"
        )
    yield ""


def _aims(cases: Mapping[str, Any]) -> Iterator[str]:
    yield "| aim | measured | |"
    yield "|---|--:|---|"
    for aim, value, good, unit in aims(cases):
        yield f"| {aim} | {value:.2f}{unit} | {'met' if good else 'missed'} |"


def aims(cases: Mapping[str, Any]) -> Iterator[tuple[str, float, bool, str]]:
    """Each aim that these results can tell of: in words, measured, whether it is met, the unit."""
    faster = (
        ("layer-noop", SYNC, "unchanged layer: at least 10 x faster than helmfile sync", 10.0),
        ("platform-noop", SYNC, "unchanged platform: at least 20 x faster than helmfile sync", 20.0),
        ("platform-cold", SYNC, "cold platform: at least 1.5 x faster than helmfile sync", 1.5),
        ("platform-cold", XARGS, "cold platform: no slower than helm under xargs -P", 1.0),
        ("platform-cold", LOOP, "cold platform: faster than helm in a loop", 1.0),
        *(
            (f"dag-{n}-skewed", SYNC, f"{n} skewed: at least 1.6 x faster than helmfile sync", 1.6)
            for n in (20, 100, 300)
        ),
    )
    for name, tool, words, least in faster:
        mine, theirs = _median(cases, name, OURS), _median(cases, name, tool)
        if mine and theirs:
            yield words, theirs / mine, theirs / mine >= least, " x"
    reviewed, apply = _median(cases, "one-of-100", REVIEWED), _median(cases, "one-of-100", APPLY)
    if reviewed and apply:
        words = "one of 100 changed: plan --diff and up at least 3 x faster than helmfile apply"
        yield words, apply / reviewed, apply >= 3 * reviewed, " x"
    for name, words, most in (
        ("layer-noop", "unchanged layer: whole process under 0.6 s", 0.6),
        ("platform-noop", "unchanged platform: whole process under 1 s", 1.0),
        ("platform-diff", "diff of one change in the platform: under 2 s", 2.0),
        ("plan-1000", "plan of 1,000 releases: under 1 s", 1.0),
    ):
        if mine := _median(cases, name, OURS):
            yield words, mine, mine < most, " s"
    yield from _other_aims(cases)


def _other_aims(cases: Mapping[str, Any]) -> Iterator[tuple[str, float, bool, str]]:
    small, large = _median(cases, "plan-1000", OURS), _median(cases, "plan-3000", OURS)
    if small:
        memory = float(cases["plan-1000"]["rows"][OURS]["rss_mib"])
        yield f"plan of 1,000 releases: at most {MIB} MiB", memory, memory <= MIB, " MiB"
    if small and large:
        yield "plan of 3,000 releases: at most 3 x the time of 1,000", large / small, large / small <= 3.0, " x"  # noqa: PLR2004
    for size in (20, 100, 300):
        mine = _median(cases, f"dag-{size}-skewed", OURS)
        if mine:
            ratio = mine / cases[f"dag-{size}-skewed"]["bound"]["lower_bound"]
            yield f"{size} skewed: within 1.2 x of the lower bound", ratio, ratio <= 1.2, " x"  # noqa: PLR2004


def _median(cases: Mapping[str, Any], name: str, tool: str) -> float | None:
    row = cases.get(name, {}).get("rows", {}).get(tool)
    return row["median"] if row else None
