"""A `plan-diff` document as Markdown for a comment on a change: diffs in fences, which most viewers colour."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from devtools.base.words import plural
from devtools.report.changes.text import (
    SIGNS,
    asides,
    clipped,
    field_notes,
    fields_shown,
    is_large,
    is_text,
    object_note,
    summary,
    text_diff,
    yaml_rows,
)
from devtools.report.text import clean, set_text

_MOST = 60  # lines of one value
_FENCE = "```"
_FOLDED = 30  # lines of a release from which it is folded


def changes_markdown(document: Mapping[str, Any]) -> str:
    """Return the document as Markdown."""
    where = f"`{document['stack']}` in `{document['environment']}`"
    parts = [f"### Plan of {where}", "", escaped(summary(document)), ""]
    for notice in (*map(set_text, document["sets"]), *document["notices"]):
        parts += [f"> {escaped(notice)}", ""]
    for key, verb in (("before", "runs"), ("after", "then runs")):
        parts += [part for one in document[key] for part in (escaped(f"{verb} {shlex.join(one)}"), "")]
    for release in document["releases"]:
        parts += _release(release)
    return "\n".join(parts).rstrip() + "\n"


def _release(release: Mapping[str, Any]) -> Iterator[str]:
    """Yield one release: a heading and a fence, folded if it is long."""
    lines = list(_lines(release))
    title = f"<b><code>{release['release']}</code></b> {release['action']}: {escaped(release['reason'])}"
    yield f"<details{' open' if len(lines) < _FOLDED else ''}><summary>{title}</summary>"
    yield ""
    yield f"{_FENCE}diff"
    yield from (line.replace(_FENCE, "'''") for line in lines)
    yield _FENCE
    yield ""
    yield "</details>"
    yield ""


def _lines(release: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the fence: those that begin with `+`, `-` or `!` are coloured."""
    if release["problem"]:
        yield f"! cannot be rendered: {clean(release['problem'])}"
    for item in release["objects"]:
        sign = {"replace": "!", "change": "#"}.get(item["action"], SIGNS[item["action"]][0])
        where = f" in {item['namespace']}" if item["namespace"] else ""
        note = object_note(item)
        yield f"{sign} {item['kind']}/{item['name']}{where}" + (f"  # {clean(note)}" if note else "")
        shown = fields_shown(item)
        for field in shown:
            yield from field_markdown(field)
        if more := len(item["fields"]) - len(shown):
            yield f"#   {plural(more, 'more field')}"
        if release["action"] == "upgrade" and item["body"]:
            yield from _block("+", "", item["body"])
    for note in release["notes"]:
        yield f"! {note}"
    yield from (f"# {text}" for text in asides(release))


def field_markdown(field: Mapping[str, Any]) -> Iterator[str]:
    """Yield one field: its old and its new value."""
    notes = "; ".join(field_notes(field))
    path, note = clean(field["path"]), f"  # {notes}" if notes else ""
    before, after = field["before"], field["after"]
    if field["hidden"]:
        word = "added" if field["added"] else "removed" if field["removed"] else "changed"
        yield f"!   {path}: {word}, value not shown{note}"
    elif is_text(before) and is_text(after):
        yield f"#   {path}:{note}"
        yield from (f"{kind if kind in '+-' else ' '}     {clean(text)}" for kind, text in text_diff(before, after))
    else:
        old, new = clipped(before, after)
        if not field["added"]:
            yield from _value("-", path, before, old, note if field["removed"] else "")
        if not field["removed"]:
            yield from _value("+", path, after, new, note)


def _value(sign: str, path: str, value: Any, short: str, note: str) -> Iterator[str]:
    if is_large(value):
        yield f"{sign}   {path}:{note}"
        yield from _block(sign, "  ", value)
    else:
        yield f"{sign}   {path}: {short}{note}"


def _block(sign: str, indent: str, value: Any) -> Iterator[str]:
    rows = yaml_rows(json.loads(json.dumps(value, default=str)))
    yield from (f"{sign}   {indent}{clean(row)}" for row in rows[:_MOST])
    if len(rows) > _MOST:
        yield f"#   {indent}{len(rows) - _MOST} more lines"


def escaped(text: str) -> str:
    """Return a text escaped for Markdown and HTML."""
    safe = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "`*_|[]" else char for char in safe)
