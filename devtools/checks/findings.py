"""Findings of checks: maps messages of helm and other programs to lines of hand-written files. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from devtools.base.open_file import read_source
from devtools.errors import Location
from devtools.model import Release

Check = Literal["layers", "charts", "dependencies", "lint", "schema", "render", "objects", "unittest", "server"]
KeyPath = tuple[str | int, ...]
Shown = Callable[[Path], Path]  # returns how messages name a file
_PLACE = re.compile(r"(?P<file>[\w.@-]+/(?:[^\s:()]+/)*[^\s:()/]+\.\w+)(?::(?P<line>\d+)(?::(?P<column>\d+))?)?")
_YAML_LINE = re.compile(r"\bline (\d+)\b")
_SCHEMA = "values don't meet the specifications of the schema"
_AT = re.compile(r"- at '(?P<path>[^']*)': (?P<what>.*?)(?=\s+- at '|\Z)", re.DOTALL)
_NOISE = re.compile(r"chart directory is missing these dependencies|templates/: directory does not exist")
_LINT = re.compile(r"^\[(?P<level>ERROR|WARNING)\] (?P<file>\S+): (?P<text>.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault; `environments` and `releases` are those it was found in, empty if it concerns only a file."""

    where: Location
    check: Check
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    environments: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()


def text_of(path: Path) -> str:
    """Return the text of a file of a chart."""
    return read_source(path).decode("utf-8", "replace")


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings sorted by place, each once, with all its environments and releases."""
    found: dict[tuple[Location, str, str], Finding] = {}
    for item in findings:
        key = (item.where, item.check, item.message)
        known = found.get(key, item)
        environments = tuple(dict.fromkeys((*known.environments, *item.environments)))
        releases = tuple(dict.fromkeys((*known.releases, *item.releases)))
        found[key] = replace(known, environments=environments, releases=releases)
    return sorted(found.values(), key=lambda item: (str(item.where.file), item.where.line, item.where.column))


def of_rendering(text: str, release: Release, shown: Shown, origins: Mapping[KeyPath, Location]) -> Iterator[Finding]:
    """Yield findings for helm's message about a release: values that break a schema, or a template that fails."""
    if _SCHEMA in text:
        chart = text.partition("chart(s):")[2].strip().partition(":")[0]
        for path, what in schema_errors(text):
            where = _origin(origins, path) or release.where
            message = f"value '{'.'.join(path) or '(all)'}': {what} (values.schema.json of {chart})"
            yield Finding(where=where, check="schema", message=message)
        return
    place = place_of(text, release.chart.path, shown)
    if place is None:
        yield Finding(where=release.where, check="render", message=f"chart {release.chart.name}: {text}")
        return
    where, in_text = place
    # Without the phrases that only state the failure.
    bare = re.sub(r"^(?:execution|parse) error at \([^)]*\): ", "", text)
    bare = re.sub(r"^YAML parse error on \S+: ", "it does not render to YAML: ", bare).strip()
    yield Finding(where=where, check="render", message=(bare or text).replace(f"{in_text}: ", "", 1))


def schema_errors(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield path and error of each value that a schema refuses, as the validator of helm and kubeconform prints it."""
    for match in _AT.finditer(text):
        yield tuple(part for part in match["path"].split("/") if part), match["what"].strip()


def place_of(text: str, chart: Path, shown: Shown) -> tuple[Location, str] | None:
    """Return the file of a chart that a message names, and the name it uses; None if no such file exists."""
    for match in _PLACE.finditer(text):
        inside = match["file"].partition("/")[2]
        path = chart / inside
        if not chart.is_dir() or not path.is_file():
            continue
        line, column = int(match["line"] or 0), int(match["column"] or 0)
        if not line and (found := _YAML_LINE.search(text)):  # of the rendered output
            line = min(int(found[1]), _length(path))
        return Location(file=shown(path), line=max(line, 1), column=max(column, 1)), match[0]
    return None


def of_lint(text: str, chart: Path, shown: Shown) -> Iterator[Finding]:
    """Yield the errors and warnings that `helm lint` printed of a chart's directory."""
    for line in text.splitlines():
        match = _LINT.match(line.strip())
        if match is None or _NOISE.search(line):
            continue
        named = chart / match["file"]
        file = named if named.is_file() else chart / "Chart.yaml"
        severity: Literal["error", "warning"] = "error" if match["level"] == "ERROR" else "warning"
        found = _YAML_LINE.search(match["text"])
        where = Location(file=shown(file), line=min(int(found[1]), _length(file)) if found else 1)
        yield Finding(where=where, check="lint", severity=severity, message=match["text"])


def line_of(template: str, kind: str, path: Sequence[str]) -> int:
    """Return the line of a template that most likely writes a field of an object of this kind."""
    lines = template.splitlines()
    at = next((n for n, line in enumerate(lines) if re.match(rf"\s*kind:\s*['\"]?{re.escape(kind)}\b", line)), None)
    if at is None:
        return 1
    start = next((n + 1 for n in range(at, -1, -1) if lines[n].startswith("---")), 0)
    end = next((n for n in range(at, len(lines)) if lines[n].startswith("---")), len(lines))
    best, position = at, start
    for key in path:
        pattern = re.compile(rf"(?:^|[\s{{,-])['\"]?{re.escape(key)}['\"]?\s*:")
        found = next((n for n in range(position, end) if pattern.search(lines[n])), None)
        if found is not None:
            best = position = found
    return best + 1


def _origin(origins: Mapping[KeyPath, Location], path: KeyPath) -> Location | None:
    """Return the place where a value is set, or that of the deepest map around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
        below = [where for known, where in origins.items() if known[:length] == path[:length]]
        if below:
            return min(below)
    return None


def _length(path: Path) -> int:
    return max(1, text_of(path).count("\n"))
