"""The output of `invoke layers` and `invoke cluster.status`, as text and, with `--output json`, as JSON.

Both forms come from one document, so they cannot differ; `docs/output.md` describes the documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from devtools.helm.labels import TESTS_FAILED
from devtools.model import Facts, Layer, Release, ReleaseFact, Stack
from devtools.report.renderers import console, use_color
from devtools.report.text import Line, Span, Style, Writer, clean, counted, shown, with_note, wrapped

if TYPE_CHECKING:
    from devtools.clusters.provider import ClusterStatus

VERSION = 1
_WIDTH = 80  # columns of files and pipes
_STYLES: dict[str, Style] = {
    "deployed": "good",
    "failed": "bad",
    "tests failed": "bad",
    "running": "good",
    "broken": "bad",
    "stopped": "warn",
}


def show_document(document: dict[str, Any], lines: Any, output: str, out: TextIO, environ: Mapping[str, str]) -> None:
    """Write a document as JSON or as text."""
    if output == "json":
        Writer(out).write(json.dumps(document, indent=2))
        return
    if not use_color(isatty=out.isatty(), environ=environ):
        import shutil

        width = shutil.get_terminal_size((_WIDTH, 24)).columns if out.isatty() else _WIDTH
        Writer(out).lines(lines(document, width))
        return
    from devtools.report.terminal.live import rich_text

    screen = console(out, environ)
    for line in lines(document, screen.width):
        screen.print(rich_text(line), soft_wrap=True, highlight=False)


def layers_json(stack: Stack, facts: Facts | None, note: str = "", whole: Stack | None = None) -> dict[str, Any]:
    """Return the documented `layers` document; without `facts` states are `unknown`, and `note` says why.

    If `stack` has only some releases, `whole` has all of them.
    """
    return {
        "version": VERSION,
        "kind": "layers",
        "stack": stack.name,
        "environment": stack.environment.name,
        "note": note,
        "layers": [
            {
                "layer": layer.name,
                "alias": layer.alias,
                "stage": layer.stage,
                "critical": layer.critical,
                "inactive": layer.inactive,
                "file": shown(layer.file, stack.root),
                "releases": [_release_json(release, layer, facts) for release in layer.releases],
            }
            for layer in stack.layers
        ],
        "undeclared": _undeclared(whole or stack, facts),
    }


def _undeclared(stack: Stack, facts: Facts | None) -> list[str]:
    """Return releases on the cluster that this stack installed and that no layer declares any more."""
    declared = {release.id for release in stack.releases()}
    found = facts.releases.values() if facts else ()
    return sorted(str(fact.id) for fact in found if fact.stack == stack.name and fact.id not in declared)


def _release_json(release: Release, layer: Layer, facts: Facts | None) -> dict[str, Any]:
    fact = facts.releases.get(release.id) if facts else None
    return {
        "release": str(release.id),
        "chart": release.chart.name,
        "chart_version": release.chart.version,
        "stand_in": release.chart.kind == "stand-in",
        "smoke": release.smoke,
        "needs": [str(need.release) for need in release.needs],
        "enabled": release.installed and not layer.inactive,
        "disabled_by": release.disabled_by or layer.inactive,
        "state": fact.status if fact else "unknown" if facts is None else "absent",
        "revision": fact.revision if fact else 0,
        # this revision became ready, and all its objects still exist
        "ready": fact is not None and bool(fact.digest) and fact.ready == fact.digest and not fact.missing,
        "tests": _tests(release, fact),
        "missing": [str(item) for item in fact.missing] if fact else [],
    }


def _tests(release: Release, fact: ReleaseFact | None) -> str | None:
    """Return the last result of a smoke release's tests: `passed`, `failed`, or `unknown`; None if it has none."""
    if not release.smoke:
        return None
    if fact is None or not fact.tested:
        return "unknown"
    return "failed" if fact.tested == TESTS_FAILED else "passed"


def layers_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the `layers` document as text: a heading per layer, a row per release."""
    layers: Sequence[Mapping[str, Any]] = document["layers"]
    releases = [release for layer in layers for release in layer["releases"]]
    pad = min(max([7, *(len(item["release"]) for item in releases)]), max(width // 2, 12))
    states = max([5, *(len(_state(item)) for item in releases)])
    lines: list[Line] = [(Span(f"  {'RELEASE':<{pad}}  {'STATE':<{states}}  CHART", "dim"),)]
    for layer in layers:
        notes = [f"stage {layer['stage']}"]
        notes += [f"also {layer['alias']}"] if layer["alias"] else []
        notes += [] if layer["critical"] else ["not critical"]
        notes += [f"left out: {layer['inactive']}"] if layer["inactive"] else []
        lines += with_note((Span(layer["layer"], "strong"),), ", ".join(notes), width)
        for item in layer["releases"]:
            lines += _release_lines(item, pad, states, width)
        if not layer["releases"]:
            lines.append((Span("  no releases", "dim"),))
    summary = counted((_state(item) for item in releases), sorted({_state(item) for item in releases}))
    lines += [(), (Span(f"{document['stack']} in {document['environment']}: {summary or 'no releases'}"),)]
    if document["undeclared"]:
        names = ", ".join(document["undeclared"])
        lines += wrapped(f"On the cluster, but not declared any more: {names}", width, "", "warn")
    return lines + (wrapped(f"States are unknown: {document['note']}", width, "", "warn") if document["note"] else [])


def _state(item: Mapping[str, Any]) -> str:
    """Return a release's state in a word."""
    if not item["enabled"] and item["state"] in {"absent", "unknown"}:
        return "disabled"
    return "tests failed" if item["state"] == "deployed" and item["tests"] == "failed" else str(item["state"])


def _release_lines(item: Mapping[str, Any], pad: int, states: int, width: int) -> list[Line]:
    state = _state(item)
    chart = f"{item['chart']} {item['chart_version']}".strip() + (" (stand-in)" if item["stand_in"] else "")
    head = (Span(f"  {item['release']:<{pad}}  "), Span(f"{state:<{states}}", _STYLES.get(state, "dim")))
    lines = with_note(head, chart, width)
    notices = []
    if not item["enabled"]:
        notices.append(f"disabled by {item['disabled_by']}" if item["disabled_by"] else "disabled")
    if item["missing"]:
        notices.append(f"missing on the cluster: {', '.join(item['missing'])}")
    elif state == "deployed" and not item["ready"]:
        notices.append("readiness not confirmed yet")
    return lines + [line for notice in notices for line in wrapped(notice, width, "      ", "warn")]


def cluster_json(status: ClusterStatus) -> dict[str, Any]:
    """Return the documented `cluster-status` document."""
    return {
        "version": VERSION,
        "kind": "cluster-status",
        "name": status.name,
        "provider": status.provider,
        "state": status.state,
        "context": status.context,
        "kubeconfig": str(status.kubeconfig) if status.kubeconfig else None,
        "kubernetes": status.version,
        "nodes": status.nodes,
        "real_node": status.real_node,
        "notes": list(status.notes),
        "problem": status.problem,
        "hint": status.hint,
    }


def cluster_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the `cluster-status` document as text."""
    state = document["state"]
    title: Line = (
        Span(f"cluster {document['name']} ({document['provider']}): ", "strong"),
        Span(state, _STYLES.get(state, "warn")),
    )
    lines = [title, *(wrapped(document["problem"], width, "  ", "bad") if document["problem"] else [])]
    facts = {
        "kubernetes": document["kubernetes"],
        "nodes": str(document["nodes"] or ""),
        "real node": document["real_node"],
        "context": document["context"],
        "kubeconfig": document["kubeconfig"],
    }
    lines += [(Span(f"  {name:<12}", "dim"), Span(clean(value))) for name, value in facts.items() if value]
    if document["notes"]:
        lines.append((Span("  What differs here from a production cluster:", "dim"),))
    for note in document["notes"]:
        first, *rest = wrapped(note, width, "    ")
        lines += [(Span("  - "), *first[1:]), *rest]
    hint = document["hint"] or ("invoke cluster.create" if state == "absent" else "")
    return lines + (with_note((Span("  Hint: ", "strong"),), hint, width, "") if hint else [])
