"""A `charts-upgrade` document as text, and as Markdown for a comment on a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devtools.base.words import plural, shortened
from devtools.report.changes.markdown import changes_markdown, escaped, field_markdown
from devtools.report.changes.text import SIGNS, changes_lines, field_lines
from devtools.report.text import Line, Span, clean, wrapped

_MOST = 100  # values that are not set here
_LABELS = ('.labels["app.kubernetes.io/version"]', '.labels["helm.sh/chart"]')
_TITLES = {"metadata": "Chart.yaml", "dependencies": "Dependencies", "images": "Images"}
_Row = Mapping[str, Any]


def upgrade_lines(document: _Row, width: int) -> list[Line]:
    """Return the document as lines; one line if there is no other version."""
    if document["from"] == document["to"]:
        return [(Span(_head(document), "good"),)]
    lines: list[Line] = [(Span(_head(document), "strong"),)]
    lines += [line for notice in document["notices"] for line in wrapped(f"! {notice}", width, "", "warn")]
    for part in ("metadata", "dependencies"):
        lines += _section(_TITLES[part], [_change_line(row) for row in document[part]])
    lines += _section("Values that are set here", (line for row in _set(document) for line in _value_lines(row)))
    others, left = _others(document)
    rows = [line for row in others for line in _value_lines(row)]
    more: list[Line] = [(Span(f"  … {plural(left, 'more value')} (--output json has them)", "dim"),)] if left else []
    lines += _section("Other default values", [*rows, *more])
    lines += _section("CRDs", (line for row in document["crds"] for line in _crd_lines(row, width)))
    lines += _section(_TITLES["images"], [_change_line(row) for row in document["images"]])
    for one in document["environments"]:
        lines += [(Span(f"Environment {one['environment']}", "strong"),), *changes_lines(_brief(one), width), ()]
    return [*lines, *wrapped(_end(document), width, "", "good" if document["written"] else "warn")]


def upgrade_markdown(document: _Row) -> str:
    """Return the document as Markdown."""
    parts = [f"## {escaped(_head(document))}", ""]
    if document["from"] == document["to"]:
        return "\n".join(parts)
    for notice in document["notices"]:
        parts += [f"> {escaped(notice)}", ""]
    for part in ("metadata", "dependencies", "images"):
        parts += _table(_TITLES[part], document[part])
    parts += _values_markdown("Values that are set here", _set(document))
    others, left = _others(document)
    parts += _values_markdown("Other default values", others, [f"# {plural(left, 'more value')}"] if left else [])
    if document["crds"]:
        parts += ["### CRDs", "", *(f"- `{row['name']}`: {escaped(_crd_text(row))}" for row in document["crds"]), ""]
    parts += [changes_markdown(_brief(one)) for one in document["environments"]]
    return "\n".join([*parts, escaped(_end(document))]) + "\n"


def _brief(document: _Row) -> dict[str, Any]:
    """Return a `gitops-diff` without labels that name the chart's version, and objects that differ in nothing else."""
    releases = [_without_labels(release) for release in document["releases"]]
    return {**document, "before": [], "after": [], "releases": releases}


def _without_labels(release: _Row) -> dict[str, Any]:
    objects = [
        {**item, "fields": [field for field in item["fields"] if not field["path"].endswith(_LABELS)]}
        for item in release["objects"]
    ]
    shown = [item for item in objects if item["fields"] or item["action"] != "change"]
    count = len(objects) - len(shown)
    verb = "differs" if count == 1 else "differ"
    note = f"{plural(count, 'more object')} {verb} only in labels that name the version" if count else ""
    return {**release, "objects": shown, "notes": [*release["notes"], *([note] if note else [])]}


def _head(document: _Row) -> str:
    if document["from"] == document["to"]:
        return f"{document['chart']} {document['from']}: there is no newer version"
    source = f", from {document['source']}; provenance: {document['provenance']}" if document["source"] else ""
    return f"{document['chart']} {document['from']} → {document['to']}{source}"


def _end(document: _Row) -> str:
    files = shortened(document["files"], len(document["files"]))
    contract = " The contract is updated." if document["contract"] == "updated" else ""
    if document["written"]:
        return f"Written: {files}.{contract}"
    if broken := document["not_rendered"]:
        why = f"{document['to']} cannot be rendered for {', '.join(broken)}"
        return f"Nothing was written: {why}. Change the values first, or write it anyway with --force"
    return f"Nothing was written. To write: {files}.{contract}"


def _section(title: str, lines: Iterable[Line]) -> list[Line]:
    found = list(lines)
    return [(Span(title, "strong"),), *found, ()] if found else []


def _change_line(row: _Row) -> Line:
    sign, style = SIGNS["change" if row["before"] and row["after"] else "add" if row["after"] else "remove"]
    text = " → ".join(clean(row[key]) for key in ("before", "after") if row[key])
    return (Span(f"  {sign} ", style), Span(f"{clean(row['name'])}  "), Span(text, style))


def _set(document: _Row) -> list[_Row]:
    return [row for row in document["values"] if row["set"]]


def _others(document: _Row) -> tuple[list[_Row], int]:
    """Return the values that are not set here and are shown, and how many more there are."""
    rows = [row for row in document["values"] if not row["set"]]
    return rows[:_MOST], len(rows[_MOST:])


def _field(row: _Row) -> dict[str, Any]:
    """Return a value as a field of an object."""
    return {
        **row,
        "added": row["action"] == "add",
        "removed": row["action"] == "remove",
        "hidden": False,
        "varies": False,
        "owner": "",
    }


def _value_lines(row: _Row) -> Iterator[Line]:
    yield from field_lines(_field(row), 2)
    for place in _places(row):
        yield (Span(f"      {clean(place)}", "warn"),)


def _places(row: _Row) -> Iterator[str]:
    """Yield the places where a value, or a part of it, is set."""
    for one in row["set"]:
        what = f"{one['path']} is set" if one["path"] != row["path"] else "set"
        yield f"{what} at {one['where']} ({one['release']} in {', '.join(one['environments'])})"


def _crd_lines(row: _Row, width: int) -> Iterator[Line]:
    sign, style = SIGNS[row["action"]]
    yield (Span(f"  {sign} ", style), Span(clean(row["name"])))
    yield from wrapped(_crd_text(row), width, "      ", "dim")


def _crd_text(row: _Row) -> str:
    before, after = ", ".join(row["before"]), ", ".join(row["after"])
    versions = after if row["action"] == "add" else before if row["action"] == "remove" else f"{before} → {after}"
    return "; ".join([versions if before != after else after, *row["notes"]])


def _table(title: str, rows: Iterable[_Row]) -> list[str]:
    cells = [f"| {escaped(row['name'])} | {escaped(row['before'])} | {escaped(row['after'])} |" for row in rows]
    return [f"### {title}", "", "| | before | after |", "|---|---|---|", *cells, ""] if cells else []


def _values_markdown(title: str, rows: Iterable[_Row], more: Iterable[str] = ()) -> list[str]:
    lines = [line for row in rows for line in (*field_markdown(_field(row)), *(f"!     {p}" for p in _places(row)))]
    return (
        [f"### {title}", "", "```diff", *(line.replace("```", "'''") for line in [*lines, *more]), "```", ""]
        if lines
        else []
    )
