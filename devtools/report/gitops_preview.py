"""The output of `invoke gitops.preview`, as text and as a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from devtools.base.machine_yaml import yaml_text
from devtools.base.words import plural
from devtools.report.text import Line, Span, wrapped

if TYPE_CHECKING:
    from devtools.gitops.preview.applications import ApplicationGroup, Problem
    from devtools.gitops.preview.compare import Change
    from devtools.gitops.preview.value_files import HelmSource
    from devtools.gitops.tree.applications import Application

VERSION = 1
_FEW = 12  # changed fields of an Application that are shown
_INDENT = "    "
_STEP = " " * 6  # as wide as a step's number


def preview_json(
    groups: Sequence[ApplicationGroup],
    sources: Mapping[tuple[str, str], Sequence[HelmSource]],
    changes: Sequence[Change] | None,
    against: str,
    broken: str,
) -> dict[str, Any]:
    """Return the documented `gitops-preview` document; `sources` are those of an Application, by group and name."""
    document: dict[str, Any] = {
        "version": VERSION,
        "kind": "gitops-preview",
        "groups": [_group(group, sources) for group in groups],
    }
    if broken:
        waiting = [name for group in groups for name in group.frozen_by(broken)]
        document["broken"] = {"application": broken, "waiting": waiting}
    if changes is not None:
        document["from"] = against
        document["changes"] = [asdict(change) for change in changes]
    return document


def _group(group: ApplicationGroup, sources: Mapping[tuple[str, str], Sequence[HelmSource]]) -> dict[str, Any]:
    return {
        "name": group.name,
        "kind": group.kind,
        "file": group.file,
        "order": group.order,
        "manual": group.manual,
        "steps": None if group.steps is None else [list(names) for names in group.steps],
        "in_no_step": list(group.outside),
        "in_several_steps": list(group.repeated),
        "errors": [_problem(problem) for problem in group.errors],
        "dropped": [_problem(problem) for problem in group.dropped],
        "applications": [
            _application(group, app, sources.get((group.name, app.name), ())) for app in group.applications
        ],
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {key: value for key, value in asdict(problem).items() if value or key == "message"}


def _application(group: ApplicationGroup, app: Application, sources: Sequence[HelmSource]) -> dict[str, Any]:
    return {
        "name": app.name,
        "project": app.spec.get("project") or "",
        "destination": app.destination,
        "step": group.step_of(app.name),
        "waiting": len(group.frozen_by(app.name)),
        "charts": [
            str(item.source.get("chart") or item.source.get("path") or "")
            + (f" {item.source.get('targetRevision')}" if item.source.get("targetRevision") else "")
            for item in sources
        ],
        "value_files": [asdict(file) for item in sources for file in item.value_files],
        "spec": dict(app.spec),
    }


def preview_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the document as text."""
    lines: list[Line] = []
    for group in document["groups"]:
        lines += [*_group_lines(group, document.get("broken", {}), width), (Span(""),)]
    if not document["groups"]:
        lines += [(Span("no ApplicationSets and no app-of-apps here"),), (Span(""),)]
    if "changes" in document:
        lines += _change_lines(document, width)
    return lines[:-1] if lines and not lines[-1][0].text else lines


_ORDERS = {"rolling": "rolling sync in", "waves": "sync waves:", "none": "no order"}


def _group_lines(group: Mapping[str, Any], broken: Mapping[str, Any], width: int) -> Iterator[Line]:
    apps, steps = group["applications"], group["steps"]
    order = _ORDERS[group["order"]] + (f" {plural(len(steps), 'step')}" if steps else "")
    manual = ", manual: no step syncs anything by itself" if group["manual"] else ""
    yield (
        Span(f"{group['kind']} {group['name']}", "strong"),
        Span(f"  {plural(len(apps), 'Application')}, {order}{manual}  "),
        Span(group["file"], "dim"),
    )
    if group["errors"]:
        yield (Span("  ! Argo CD changes no Application of this set until this is fixed:", "bad"),)
        for problem in group["errors"]:
            yield from wrapped(_words(problem), width, _INDENT, "bad")
    at = next((app["step"] for app in apps if app["name"] == broken.get("application")), None)
    for number, names in enumerate(steps or (), 1):
        first, *rest = wrapped("  ".join(names) or "-", width, _STEP)
        yield from ((Span(f"  {number:>2}  "), *first[1:]), *rest)
        if number == at:
            text = f"if {broken['application']} is not healthy, {_waiting(broken['waiting'])}"
            yield from wrapped(text, width, _INDENT, "warn")
    yield from _warnings(group, width)


def _waiting(names: Sequence[str]) -> str:
    count = plural(len(names), "Application of a later step waits", "Applications of later steps wait")
    return f"{count}: {', '.join(names)}" if names else "nothing else waits"


def _warnings(group: Mapping[str, Any], width: int) -> Iterator[Line]:
    if not group["applications"] and not group["errors"]:
        text = "! it generates no Application, and Argo CD would delete those it has (a clusters generator: --clusters)"
        yield from wrapped(text, width, "  ", "bad")
    for name in group["in_no_step"]:
        yield from wrapped(f"! {name} is in no step: a rolling sync never syncs it", width, "  ", "bad")
    for name in group["in_several_steps"]:
        yield from wrapped(f"! {name} is in more than one step", width, "  ", "warn")
    for problem in group["dropped"]:
        yield from wrapped(f"! Argo CD ignores {_words(problem)}", width, "  ", "warn")
    for app in group["applications"]:
        if "problem" in app:
            yield from wrapped(f"! {app['name']} cannot be rendered: {app['problem']}", width, "  ", "bad")
        for file in app["value_files"]:
            if file["state"] in {"dropped", "missing"}:
                style = "warn" if file["state"] == "dropped" else "bad"
                text = f"! {app['name']}: value file {file['written']} is {file['state']}: {file['why']}"
                yield from wrapped(text, width, "  ", style)  # type: ignore[arg-type]


def manifests_text(document: Mapping[str, Any]) -> str:
    """Return the manifests as YAML documents, each Application's after a line with its name."""
    parts: list[str] = []
    for group in document["groups"]:
        for app in group["applications"]:
            parts.append(f"# Application {app['name']}\n")
            parts += [f"---\n{yaml_text(item)}" for item in app.get("manifests", ())]
    return "".join(parts)


def _words(problem: Mapping[str, str]) -> str:
    about = problem.get("path") or problem.get("application")
    return f"{about}: {problem['message']}" if about else problem["message"]


def _change_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    found = document["changes"]
    lines: list[Line] = [(Span(f"since {document['from']}: {plural(len(found), 'Application')} changed", "strong"),)]
    marks = {"added": "+", "removed": "-", "changed": "~"}
    for change in found:
        lines.append((Span(f"  {marks[change['what']]} {change['application']}", "strong"),))
        for field in change["fields"][:_FEW]:
            text = f"{field['path']}: {field['before'] or '(absent)'} -> {field['after'] or '(absent)'}"
            lines += wrapped(text, width, _INDENT)
        if (more := len(change["fields"]) - _FEW) > 0:
            lines.append((Span(f"{_INDENT}and {more} more", "dim"),))
    return lines
