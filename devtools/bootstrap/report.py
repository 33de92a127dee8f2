"""States of the stages of a bootstrap, and their output; `docs/output.md` describes the documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from devtools.bootstrap.dry_run_script import Line as Planned
from devtools.bootstrap.dry_run_script import as_json
from devtools.bootstrap.prerequisites import Finding
from devtools.errors import ExitCode
from devtools.report.text import Line, Span, Style, wrapped

VERSION = 1
State = Literal["ready", "unused", "missing", "stopped", "stale", "foreign", "loading", "broken"]
_STYLES: dict[str, Style] = {"ready": "good", "unused": "dim", "broken": "bad", "removed": "good"}
# How an embedded cluster differs from k3d: what, k3d, embedded.
_DIFFERENCES = (
    ("control plane", "k3s in Docker", "kube-apiserver, etcd, scheduler: real, no Docker"),
    ("workloads", "run for real", "simulated: ready at once, nothing runs in them"),
    ("operators", "run for real", "simulated by the Stages in simulation/"),
    (
        "smoke tests",
        "passed or failed",
        "run for real on Linux as root, else simulated; they read simulated state",
    ),
    ("images", "built, pushed to the registry, pulled", "neither built nor pulled"),
    ("apps in Tilt", "built, live-updated, port-forwarded", "deployed, but not built"),
    ("charts not vendored", "an error", "stand-ins of the same names"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """The state of one stage; `unused` means that this kind of cluster does not need it."""

    stage: str
    state: State
    detail: str = ""
    hint: str = ""
    code: ExitCode = ExitCode.OK  # of a failure that did not stop the bootstrap
    ui: str = ""  # Tilt's, if it runs
    log: str = ""  # Tilt's, if this checkout started it

    @property
    def ok(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in {"ready", "unused"}


def document(  # noqa: PLR0913 - one parameter per field
    verb: str,
    *,
    provider: str,
    context: str,
    kubeconfig: str,
    stages: Iterable[StageStatus],
    findings: Iterable[Finding] = (),
    fallback: bool = False,
    ui: str = "",
    log: str = "",
    next_: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the documented `bootstrap` document; `verb` is `up`, `status` or `down`."""
    return {
        "version": VERSION,
        "kind": "bootstrap",
        "verb": verb,
        "provider": provider,
        "context": context,
        "kubeconfig": kubeconfig,
        "stages": [
            {"stage": item.stage, "state": item.state, "ok": item.ok, "detail": item.detail, "hint": item.hint}
            for item in stages
        ],
        "findings": [asdict(item) for item in findings],
        "differences": [dict(zip(("what", "k3d", "embedded"), row, strict=True)) for row in _DIFFERENCES if fallback],
        "ui": ui,
        "log": log,
        "next": list(next_),
    }


def plan_document(
    *, provider: str, context: str, findings: Iterable[Finding], lines: Iterable[Planned]
) -> dict[str, Any]:
    """Return the documented `bootstrap-plan` document."""
    return {
        "version": VERSION,
        "kind": "bootstrap-plan",
        "provider": provider,
        "context": context,
        "findings": [asdict(item) for item in findings],
        "commands": [as_json(line) for line in lines],
    }


def lines(found: Mapping[str, Any], width: int) -> list[Line]:
    """Return the `bootstrap` document for people: a row per stage."""
    rendered: list[Line] = [(Span(f"cluster {found['context']} ({found['provider']})", "strong"),)]
    for item in found["stages"]:
        head = (Span(f"  {item['stage']:<9} "), Span(f"{item['state']:<8}", _STYLES.get(item["state"], "warn")))
        first, *rest = wrapped(item["detail"], width, " " * 22) if item["detail"] else [()]
        rendered += [(*head, Span("  "), *first[1:]) if first else head, *rest]
        if item["hint"] and not item["ok"]:
            rendered += wrapped(item["hint"], width, " " * 22, "warn")
    if found["differences"]:
        rendered += _table(found["differences"], width)
    rendered += [(Span(f"  {name:<9} ", "dim"), Span(found[name])) for name in ("ui", "log") if found[name]]
    return rendered + [
        (Span(f"  {'next' if not at else '':<9} ", "dim"), Span(item)) for at, item in enumerate(found["next"])
    ]


def _table(rows: Iterable[Mapping[str, str]], width: int) -> list[Line]:
    """Return the differences between k3d and the embedded cluster as a table."""
    rendered: list[Line] = [(Span("  The embedded cluster is not k3d:", "strong"),)]
    room = max((width - 26) // 2, 20)
    pad = min(room, 36)
    rendered.append((Span(f"    {'':<20}  {'k3d':<{pad}}  embedded", "dim"),))
    for row in rows:
        left = [line[1].text for line in wrapped(row["k3d"], pad)]
        right = [line[1].text for line in wrapped(row["embedded"], max(width - 28 - pad, 20))]
        for at in range(max(len(left), len(right))):
            cells = (
                row["what"] if not at else "",
                left[at] if at < len(left) else "",
                right[at] if at < len(right) else "",
            )
            rendered.append((Span(f"    {cells[0]:<20}  ", "dim"), Span(f"{cells[1]:<{pad}}  "), Span(cells[2])))
    return rendered
