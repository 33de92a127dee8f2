"""The output of `invoke drift` as text and JSON, both from one document (`docs/output.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devtools.base.words import plural
from devtools.diff.difference import ABSENT
from devtools.drift.changes import PlannedField
from devtools.drift.comparison import ObjectDrift, ReleaseDrift
from devtools.report.changes.document import ref_json
from devtools.report.changes.text import clipped
from devtools.report.text import Line, Span, with_note, wrapped

VERSION = 1
_VALUE = 60  # characters of a value that are shown


def drift_json(
    stack: str, environment: str, context: str, found: Sequence[ReleaseDrift], seconds: float
) -> dict[str, Any]:
    """Return the documented `drift` document, before anything is fixed."""
    return {
        "version": VERSION,
        "kind": "drift",
        "stack": stack,
        "environment": environment,
        "context": context,
        "seconds": round(seconds, 3),
        "drifted": not all(item.settled for item in found),
        "counts": {
            "releases": len(found),
            "objects": sum(item.objects for item in found),
            "drifted_releases": sum(bool(item.drifts) for item in found),
            "drifted_objects": sum(len(item.drifts) for item in found),
            "not_deployed": sum(item.status != "deployed" for item in found),
            "not_compared": sum(item.basis is None for item in found),
        },
        "releases": [_release_json(item) for item in found],
        "fix": None,
    }


def fix_json(exit_code: int, fixed: Iterable[str], left: Sequence[ReleaseDrift]) -> dict[str, Any]:
    """Return `fix` of the document: the re-synced releases, and those that still differ after that."""
    return {
        "exit_code": exit_code,
        "releases": list(fixed),
        "left": [str(item.release.id) for item in left if not item.settled],
    }


def _release_json(item: ReleaseDrift) -> dict[str, Any]:
    return {
        "release": str(item.release.id),
        "layer": item.release.layer,
        "status": item.status,
        "revision": item.revision,
        "compared": item.basis is not None,
        "compared_revision": item.basis.number if item.basis else 0,
        "compared_status": item.basis.status if item.basis else "",
        "reason": item.reason,
        "objects": item.objects,
        "drifts": [_object_json(drift) for drift in item.drifts],
    }


def _object_json(item: ObjectDrift) -> dict[str, Any]:
    return {
        **ref_json(item.ref),
        "state": item.state,
        "reason": item.reason,
        "fields": [_field_json(field) for field in item.fields],
    }


def _field_json(field: PlannedField) -> dict[str, Any]:
    """Return one element of an object's `fields`; a value that is absent or hidden is null."""
    change = field.change
    return {
        "path": change.path,
        "hidden": field.hidden,
        "added": change.declared is ABSENT,
        "removed": change.live is ABSENT,
        "declared": None if change.declared is ABSENT else change.declared,
        "live": None if change.live is ABSENT else change.live,
        "manager": change.manager,
        "at": change.at,
    }


def drift_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the `drift` document as text."""
    lines: list[Line] = []
    for release in document["releases"]:
        if release["drifts"]:
            head = (Span(release["release"], "strong"), Span(f"  {release['layer']}", "dim"))
            lines.append(head)
            lines += wrapped(_standing(release), width, "  ", "warn") if release["status"] != "deployed" else []
            lines += [line for drift in release["drifts"] for line in _object_lines(release, drift, width)]
    for release in document["releases"]:
        if not (release["drifts"] or (release["compared"] and release["status"] == "deployed")):
            note = _standing(release) + ("" if release["reason"] else f" (invoke layer {release['layer']})")
            lines += with_note((Span(release["release"], "strong"),), note, width, "warn")
    return [*lines, *_summary(document, width)]


def _standing(release: Mapping[str, Any]) -> str:
    """Return what a release with drift was compared with."""
    if release["reason"]:
        return f"cannot be compared: {release['reason']}"
    if not release["compared"]:
        return (
            f"nothing to compare with: {'not on the cluster' if release['status'] == 'absent' else release['status']}"
        )
    number, is_ = release["compared_revision"], f"revision {release['revision']} is {release['status']}"
    what = "compared with" if release["drifts"] else "nothing differs from"
    if release["compared_status"] == "deployed":
        return f"{is_}: {what} revision {number}, the last that is deployed"
    return f"{is_}, and none is deployed: {what} the objects of that revision"


def _object_lines(release: Mapping[str, Any], drift: Mapping[str, Any], width: int) -> list[Line]:
    once = release["compared_status"] == "deployed"  # otherwise it may never have existed
    where = f" in {drift['namespace']}" if drift["namespace"] else ""
    verdict = {"changed": "", "missing": "is gone" if once else "is not there", "refused": "cannot be applied"}[
        drift["state"]
    ]
    verdict = ": ".join(part for part in (verdict, drift["reason"]) if part)
    lines = with_note((Span(f"  {drift['kind']}/{drift['name']}{where}"),), verdict, width, "bad")
    for field in drift["fields"]:
        lines += wrapped(f"{field['path']}: {_field_text(field)}", width, "    ")
        owner = f"by {field['manager']}" + (f" at {field['at']}" if field["at"] else "")
        unowned = "no field manager owns it now: the cluster does not say who removed it"
        lines += wrapped(owner if field["manager"] else unowned, width, "      ", "dim")
    return lines


def _field_text(field: Mapping[str, Any]) -> str:
    """Return the declared → the live value."""
    if field["hidden"]:
        return "is gone (its value is not shown)" if field["removed"] else "differs (its values are not shown)"
    declared, live = clipped(field["declared"], field["live"], _VALUE)
    return f"{'not declared' if field['added'] else declared} → {'gone' if field['removed'] else live}"


def _summary(document: Mapping[str, Any], width: int) -> list[Line]:
    counts = document["counts"]
    compared = (
        f"{plural(counts['objects'], 'object')} of {plural(counts['releases'] - counts['not_compared'], 'release')}"
    )
    if counts["drifted_objects"]:
        much = f"{plural(counts['drifted_objects'], 'object')} of {plural(counts['drifted_releases'], 'release')}"
        return wrapped(f"{much} drifted, of {compared} compared in {document['seconds']:.1f}s", width, "", "bad")
    if document["drifted"]:
        text = f"{compared} compared in {document['seconds']:.1f}s"
        if half := sum(one["compared"] and one["status"] != "deployed" for one in document["releases"]):
            text += f", {plural(half, 'release')} not deployed"
        if counts["not_compared"]:
            text += f", {plural(counts['not_compared'], 'release')} not compared"
        return wrapped(text, width, "", "warn")
    return wrapped(f"no drift: {compared} compared in {document['seconds']:.1f}s", width, "", "good")
