"""Checks the repository's own charts, independent of releases: `helm lint` and their helm-unittest suites."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import json_for_yaml
from devtools.checks.findings import Finding, Shown, of_lint, text_of
from devtools.errors import Interrupted, Location
from devtools.helm.commands import Helm
from devtools.process.runner import Command, Runner
from devtools.rendering.renderer import homes

SUITES = "tests/*_test.yaml"


def lint(helm: Path, home: Path, runner: Runner, chart: Path, values: Mapping[str, Any], shown: Shown) -> list[Finding]:
    """Run `helm lint` on a chart's directory with these values."""
    command = Helm(program=helm, kubeconfig=Path(), context="", env=homes(home)).lint(chart)
    result = runner.run(replace(command, stdin=json_for_yaml(values).encode()))
    if result.cancelled:
        raise Interrupted("interrupted while checking charts")
    return list(of_lint(result.stdout, chart, shown))


def suites_of(chart: Path) -> list[Path]:
    """Return the helm-unittest suites of a chart's directory."""
    return sorted(chart.glob(SUITES))


def unittest(program: Path, home: Path, runner: Runner, chart: Path, shown: Shown) -> list[Finding]:
    """Run the helm-unittest suites of a chart's directory, on a copy: helm-unittest writes snapshots next to them."""
    copy = Path(tempfile.mkdtemp(dir=home)) / chart.name
    shutil.copytree(chart, copy)
    report = copy.with_name("report.xml")
    argv = (str(program), "--color=false", "--output-type", "JUnit", "--output-file", str(report), str(copy))
    result = runner.run(Command(argv=argv, env=homes(home), timeout=300))
    if result.cancelled:
        raise Interrupted("interrupted while checking charts")
    if result.ok:
        return []
    if found := list(_failures(report, chart, shown)) if report.exists() else []:
        return found
    text = " ".join((result.stderr or result.stdout).split())[-500:]
    where = Location(file=shown(chart / "Chart.yaml"))
    return [Finding(where=where, check="unittest", message=f"helm-unittest failed: {text}")]


def _failures(report: Path, chart: Path, shown: Shown) -> Iterator[Finding]:
    """Yield the failed tests of a JUnit report, at the lines that define them."""
    from xml.etree import ElementTree as ET

    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - as above
        failure = case.find("failure")
        failure = case.find("error") if failure is None else failure
        if failure is None:
            continue
        name = str(case.get("name") or "")
        where = _described(name, chart, shown)
        text = " ".join(str(failure.text or failure.get("message") or "").split())[:500]
        yield Finding(where=where, check="unittest", message=f"test '{name}' failed: {text}")


def _described(name: str, chart: Path, shown: Shown) -> Location:
    for path in suites_of(chart):
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if re.match(rf"\s*-?\s*it:\s*['\"]?{re.escape(name)}['\"]?\s*$", line):
                return Location(file=shown(path), line=number)
    return Location(file=shown(chart / "Chart.yaml"))
