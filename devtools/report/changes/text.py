"""A `plan-diff` document as text: additions, changes and removals, in the layout of `terraform plan`."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from devtools.base.words import plural
from devtools.report.text import Line, Span, Style, clean, duration, set_text, with_note, wrapped

SIGNS: dict[str, tuple[str, Style]] = {
    "add": ("+", "good"),
    "change": ("~", "warn"),
    "replace": ("-/+", "warn"),
    "remove": ("-", "bad"),
    "keep": ("=", "dim"),
    "refuse": ("!", "bad"),
}
WORDS = {"replace": "is deleted and created again", "refuse": "is refused", "keep": "is kept"}
_LONGEST = 70  # characters of a value on one line
_MOST = 40  # lines of one value
_MOST_FIELDS, _MOST_OF_CRDS = 100, 20  # fields of one object
_DIFF: dict[str, Style] = {"-": "bad", "+": "good"}
_CONTEXT = 1  # lines around a change in a text of several lines


def changes_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the document as lines; one line if nothing changes."""
    lines = [line for one in document["sets"] for line in wrapped(set_text(one), width, "", "warn")]
    lines += [(Span(f"runs {clean(shlex.join(command))}", "dim"),) for command in document["before"]]
    layer = ""
    for release in document["releases"]:
        if release["layer"] != layer:
            layer = release["layer"]
            lines.append((Span(layer, "strong"),))
        lines += [*_release_lines(release, width), ()]
    lines += [(Span(f"then runs {clean(shlex.join(command))}", "dim"),) for command in document["after"]]
    for notice in document["notices"]:
        lines += wrapped(f"! {notice}", width, "", "warn")
    counts = document["counts"]
    bad = counts["refuse"] or counts["blocked"] or counts["not_predicted"]
    style: Style = "bad" if bad else "strong" if document["releases"] else "good"
    return [*lines, *wrapped(summary(document), width, "", style)]


def _release_lines(release: Mapping[str, Any], width: int) -> Iterator[Line]:
    is_bad = release["action"] == "blocked"
    head: Line = (Span(f"  {release['release']}", "strong"), Span(f"  {release['action']}", "bad" if is_bad else ""))
    if release["stand_in"]:
        head = (*head, Span("  stand-in", "warn"))
    yield from with_note(head, release["reason"], width, "bad" if is_bad else "dim")
    if release["problem"]:
        yield from wrapped(f"! cannot be rendered: {release['problem']}", width, "    ", "bad")
    for item in release["objects"]:
        yield from _object_lines(item, width, whole=release["action"] == "upgrade")
    for note in release["notes"]:
        yield from wrapped(note, width, "    ", "warn")
    yield from ((Span(f"    {text}", "dim"),) for text in asides(release))


def asides(release: Mapping[str, Any]) -> Iterator[str]:
    """Yield the commands that a release runs, and a note if none of its objects changes."""
    yield from (f"runs {clean(shlex.join(command))}" for command in release["commands"])
    yield from (f"runs {hook['kind']}/{hook['name']} ({', '.join(hook['events'])})" for hook in release["hooks"])
    yield from (f"then runs {clean(shlex.join(command))}" for command in release["after"])
    if release["on_failure"] != "keep":
        yield f"on failure: {release['on_failure']}"
    if release["action"] in {"upgrade", "install"} and not (release["objects"] or release["problem"]):
        yield "no object changes: only the release's revision"


def _object_lines(item: Mapping[str, Any], width: int, *, whole: bool) -> Iterator[Line]:
    """Yield one object: its sign and name, its notes, its fields; with `whole` also the content of a new one."""
    sign, style = SIGNS[item["action"]]
    where = f" in {item['namespace']}" if item["namespace"] else ""
    head = (Span(f"    {sign} ", style), Span(f"{item['kind']}/{item['name']}{where}"))
    yield from with_note(head, object_note(item), width, "bad" if item["action"] in {"refuse", "remove"} else "warn")
    shown = fields_shown(item)
    for field in shown:
        yield from field_lines(field)
    if more := len(item["fields"]) - len(shown):
        yield (Span(f"        … {plural(more, 'more field')} (--output json has them)", "dim"),)
    if whole and item["body"]:
        yield from block(item["body"], "+", "good", " " * 8)


def fields_shown(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of an object to show, because a new version of a CRD may change thousands."""
    most = _MOST_OF_CRDS if item["kind"] == "CustomResourceDefinition" else _MOST_FIELDS
    fields: list[Mapping[str, Any]] = item["fields"]
    return fields if len(fields) <= most else fields[: most - 1]


def object_note(item: Mapping[str, Any]) -> str:
    """Return the notes about an object besides its fields."""
    parts = [WORDS.get(item["action"], ""), item["reason"]]
    text = ": ".join(part for part in parts if part)
    stops = item["action"] == "replace"
    pods = f"{'stops' if stops else 'restarts'} {plural(item['restarts'], 'pod')}" if item["restarts"] else ""
    return "; ".join(part for part in (text, pods, *item["notes"]) if part)


def field_lines(field: Mapping[str, Any], indent: int = 8) -> Iterator[Line]:
    """Yield one field and the notes about it."""
    space = " " * indent
    sign, style = SIGNS["add" if field["added"] else "remove" if field["removed"] else "change"]
    head = (Span(f"{space}{sign} ", style), Span(clean(field["path"])))
    notes = field_notes(field)
    tail = (Span(f"  ({'; '.join(notes)})", "warn"),) if notes else ()
    before, after = field["before"], field["after"]
    if field["hidden"]:
        yield (*head, Span(": value not shown", "dim"), *tail)
    elif is_text(before) and is_text(after):
        yield (*head, Span(":"), *tail)
        for kind, text in text_diff(before, after):
            yield (Span(f"{space}  {kind} {clean(text)}".rstrip(), _DIFF.get(kind, "dim")),)
    elif (field["added"] and is_large(after)) or (field["removed"] and is_large(before)):
        yield (*head, Span(":"), *tail)
        yield from block(after if field["added"] else before, sign, style, f"{space}  ")
    else:
        yield (*head, Span(": "), *_values(field), *tail)


def _values(field: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the value of a new or removed field, or old → new."""
    before, after = clipped(field["before"], field["after"])
    if not field["added"]:
        yield Span(before, "bad")
    if not (field["added"] or field["removed"]):
        yield Span(" → ", "dim")
    if not field["removed"]:
        yield Span(after, "good")


def field_notes(field: Mapping[str, Any]) -> list[str]:
    """Return the notes about a field."""
    notes = ["differs at each rendering"] if field["varies"] else []
    return notes + ([f"{field['owner']} owns it: refused without --take-ownership"] if field["owner"] else [])


def is_text(value: Any) -> bool:
    """Return whether a value is a text of several lines."""
    return isinstance(value, str) and "\n" in value


def is_large(value: Any) -> bool:
    """Return whether a value is shown as a block."""
    return is_text(value) or (isinstance(value, dict | list) and len(json.dumps(value, default=str)) > _LONGEST)


def text_diff(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield the lines in which two texts differ, with little context: `-`, `+`, blank or `…` and the line."""
    diff = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=_CONTEXT))[2:]
    for number, line in enumerate(diff[:_MOST]):
        if line.startswith("@@"):
            if number:
                yield "…", ""
        else:
            yield line[:1], line[1:]
    if len(diff) > _MOST:
        yield "…", f"{len(diff) - _MOST} more lines"
    if before.splitlines() == after.splitlines():
        yield "~", "only line ends differ"


def block(value: Any, sign: str, style: Style, indent: str) -> Iterator[Line]:
    """Yield a value as YAML with a sign in front of each line."""
    rows = yaml_rows(value)
    for row in rows[:_MOST]:
        yield (Span(indent), Span(f"{sign} {clean(row)}".rstrip(), style))
    if len(rows) > _MOST:
        yield (Span(f"{indent}… {len(rows) - _MOST} more lines (--output json has them)", "dim"),)


def yaml_rows(value: Any) -> list[str]:
    """Return a value as lines of YAML; a text as its own lines."""
    if isinstance(value, str):
        return value.splitlines()
    import yaml

    plain = json.loads(json.dumps(value, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)).splitlines()


def clipped(before: Any, after: Any, longest: int = _LONGEST) -> tuple[str, str]:
    """Return two values on one line; of long texts the part where they begin to differ."""
    texts = [json.dumps(value, ensure_ascii=False, default=str) for value in (before, after)]
    same = next((i for i, pair in enumerate(zip(*texts, strict=False)) if pair[0] != pair[1]), min(map(len, texts)))
    start = max(0, same - longest // 3) if max(map(len, texts)) > longest else 0
    end = start + longest
    first, second = (f"{'…' * bool(start)}{text[start:end]}{'…' * (end < len(text))}" for text in texts)
    return clean(first), clean(second)


def summary(document: Mapping[str, Any]) -> str:
    """Return the totals in one line."""
    counts = document["counts"]
    took = duration(document["seconds"])
    if not document["releases"]:
        what = f"{plural(counts['unchanged'], 'release')} in {document['environment']}"
        return f"No changes: {what} {'is' if counts['unchanged'] == 1 else 'are'} as declared ({took})"
    objects = [f"{counts[name]} to {name}" for name in ("add", "change", "replace", "remove") if counts[name]]
    objects += [f"{counts['refuse']} refused"] if counts["refuse"] else []
    releases = [f"{counts[name]} to {name}" for name in ("install", "upgrade", "uninstall") if counts[name]]
    releases += [f"{counts['blocked']} blocked"] if counts["blocked"] else []
    releases += [f"{counts['not_predicted']} that cannot be rendered"] if counts["not_predicted"] else []
    releases += [f"{counts['unchanged']} unchanged"] if counts["unchanged"] else []
    text = f"Releases: {', '.join(releases)}. Objects: {', '.join(objects) or 'no changes'}"
    text += f"; restarts {plural(counts['restarts'], 'pod')}" if counts["restarts"] else ""
    return f"{text} ({took})"
