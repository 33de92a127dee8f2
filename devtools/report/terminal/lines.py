"""The wording of a run's steps as they happen; no renderer has its own wording."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from devtools import events as ev
from devtools.base.words import plural
from devtools.events import ContractChecked, Event, PlanMade, PlannedStep, Verdict
from devtools.report import advice
from devtools.report.run_state import ALL, ReleaseResult, RunState, SmokeResult, Tail, is_release, title
from devtools.report.text import (
    WORD,
    Line,
    Marks,
    Span,
    Style,
    badge,
    clean,
    counted,
    duration,
    plain,
    set_text,
    shown,
    with_note,
    wrapped,
)

ACTIONS = ("install", "upgrade", "uninstall", "delete", "unchanged", "blocked", "disabled")
QUIET = frozenset({"unchanged", "disabled"})
_MANY = 3  # more quiet steps of one layer than this are counted, not listed
_WONDER = 5.0  # seconds after which the remaining time is shown
_TO_DO = frozenset({"install", "upgrade", "uninstall", "delete"})


def log_path(state: RunState, name: str, cwd: Path) -> str:
    """Return a log of this run as a path from `cwd`."""
    return shown(Path(state.run.directory if state.run else ".") / name, cwd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """How lines are written: the marks, the width, and the directory that paths are relative to."""

    marks: Marks
    width: int
    cwd: Path
    verbose: bool = False


def event_lines(event: Event, state: RunState, screen: Screen, pad: int = 0) -> Iterator[Line]:
    """Yield the lines of an event when it happens; the last screen shows the rest."""
    match event:
        case ev.RunStarted():
            yield from _run_lines(event, screen)
        case ev.PlanMade(dry_run=False):
            yield from plan_lines(event, screen.width, verbose=screen.verbose)
        case ev.Notice():
            yield from _notice_lines(event, screen)
        case ev.StepOutput() if screen.verbose:
            yield (Span(f"    {event.release or 'stack'} | {clean(event.line)}"),)
        case ev.ContractChecked() if screen.verbose:
            # a successful release counts them, a failed one names the broken ones
            yield from _contract_lines(event, screen)
        case ev.StepFinished():
            yield from _step_lines(event, state, screen, pad)
        case ev.TestFinished() if screen.verbose or event.test != ALL or event.verdict is not Verdict.SKIPPED:
            yield from _test_lines(event, state, screen)


def _run_lines(run: ev.RunStarted, screen: Screen) -> list[Line]:
    where = f"stack {run.stack}, environment {run.environment}, cluster {run.context or 'none'} ({run.provider})"
    head = (Span(clean(run.what), "strong"), Span(f" {screen.marks.dot} {where}"))
    if len(plain(head)) <= screen.width:
        return [head]
    return [head[:1], *wrapped(where, screen.width, "  ")]


def plan_lines(plan: PlanMade, width: int, *, verbose: bool = False) -> list[Line]:
    """Return the plan: the number of each action, then each step and its reason; many quiet steps are counted."""
    words = {action: f"to {action}" if action in _TO_DO else action for action in ACTIONS}
    counts = counted((words[_action(step)] for step in plan.steps), [*words.values()])
    title = "Plan (dry run)" if plan.dry_run else "Plan"
    lines = with_note((Span(f"{title}:", "strong"),), counts or "nothing to do", width, "")
    lines += [line for one in plan.sets for line in wrapped(set_text(asdict(one)), width, "  ", "warn")]
    if not verbose and all(step.action in QUIET for step in plan.steps):
        return lines  # the last screen shows the same
    lines += [line for text in plan.before for line in wrapped(f"runs {clean(text)}", width, "  ", "dim")]
    pad = release_width([step.release for step in plan.steps], width)
    for layer in dict.fromkeys(step.layer for step in plan.steps):
        lines.append((Span(f"  {layer}", "strong"),))
        steps = [step for step in plan.steps if step.layer == layer]
        for action in QUIET:
            quiet = [step for step in steps if step.action == action]
            if not verbose and len(quiet) > _MANY:
                steps = [step for step in steps if step.action != action]
                head = (Span(f"    {action:<9}  {plural(len(quiet), 'release')}", "dim"),)
                reasons = {step.reason for step in quiet}
                lines += with_note(head, reasons.pop() if len(reasons) == 1 else "", width)
        for step in steps:
            lines += _planned(step, pad, width)
    return lines + [line for text in plan.after for line in wrapped(f"then runs {clean(text)}", width, "  ", "dim")]


def _action(step: PlannedStep) -> str:
    """Return a planned action as text names it: remaining objects are deleted, not uninstalled."""
    return step.action if is_release(step.release) else "delete"


def _planned(step: PlannedStep, pad: int, width: int) -> list[Line]:
    style: Style = "dim" if step.action in QUIET else "bad" if step.action == "blocked" else ""
    note = f"{step.reason} (stand-in chart)" if step.stand_in else step.reason
    head = (Span(f"    {_action(step):<9}  ", style), Span(f"{title(step.release):<{pad}}"))
    more = [*(f"runs {command}" for command in step.before), *(f"then runs {command}" for command in step.after)]
    more += [] if step.on_failure == "keep" else [f"on failure: {step.on_failure}"]
    lines = [line for text in more for line in wrapped(clean(text), width, " " * 15, "dim")]
    return [*with_note(head, note, width), *lines]


def release_width(releases: Sequence[str], width: int) -> int:
    """Return the column in which release names line up: the longest, within a share of the width."""
    return min(max((len(title(name)) for name in releases), default=0), max(width // 2, 12))


def _step_lines(event: ev.StepFinished, state: RunState, screen: Screen, pad: int) -> list[Line]:
    """Return a finished step: word, release, time, and why."""
    item = state.releases[event.release]
    took = duration(event.seconds) if event.seconds >= 0.05 else ""
    head = (Span("  "), badge(item.text_word, screen.marks), Span(f" {item.title:<{pad}}"), Span(f"  {took:>6}", "dim"))
    quiet = item.is_release and item.word in {"installed", "upgraded", "uninstalled", "unchanged"}
    note = contracts_text(state, [event.release]) if quiet else state.why(item)
    if item.stand_in and item.word not in {"skipped", "disabled"}:
        note = f"{note} (stand-in chart)".strip()
    return with_note(head, note, screen.width, "bad" if item.word == "failed" else "dim")


def _test_lines(event: ev.TestFinished, state: RunState, screen: Screen) -> list[Line]:
    """Return a finished smoke test, the end of its log under it, and where the rest is."""
    took = duration(event.seconds) if event.seconds >= 0.05 else ""
    head: Line = (Span("  "), badge(str(event.verdict), screen.marks), Span(f" {test_label(event)}"))
    whose, end = Span(f" of {event.release}"), Span(f"  {took}", "dim")
    head = (*head, whose, end) if len(plain((*head, whose, end))) <= screen.width else (*head, end)
    lines = with_note(head, event.reason, screen.width, "bad" if event.verdict == "failed" else "dim")
    tail = state.tails.get((event.release, event.test), Tail())
    if dropped := tail.total - len(tail.lines):
        log = log_path(state, advice.test_log(event.release, event.test), screen.cwd)
        lines.append((Span(f"      ({plural(dropped, 'earlier line')} in {log})", "dim"),))
    return [*lines, *((Span("      | ", "dim"), Span(clean(line))) for line in tail.lines)]


def _contract_lines(event: ContractChecked, screen: Screen) -> list[Line]:
    """Return a contract's verdict, and the observed value unless it simply passed."""
    head = (Span("  "), badge(str(event.verdict), screen.marks), Span(f" {clean(event.contract)}"))
    note = "" if event.verdict == "passed" else contract_note(event)
    return with_note(head, note, screen.width, "bad" if event.verdict == "failed" else "dim")


def contract_note(event: ContractChecked) -> str:
    """Return why a contract has its verdict, with the observed value unless the reason has it already."""
    repeated = all(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", event.reason) for part in event.value.split("="))
    saw = f"saw {event.value}" if event.value and not repeated else ""
    return ", ".join(part for part in (event.reason, saw) if part)


def contracts_text(state: RunState, releases: Sequence[str]) -> str:
    """Return the contract totals of some releases: `contracts: 2 passed, 1 simulated`; empty if there are none."""
    verdicts = [str(item.verdict) for item in state.contracts if item.release in releases]
    return f"contracts: {counted(verdicts, tuple(map(str, Verdict)))}" if verdicts else ""


def waiting_lines(item: ReleaseResult, at: float, screen: Screen) -> list[Line]:
    """Return what a release waits for, since when, and how much longer; `at` is now."""
    head = (Span("  "), badge("waiting", screen.marks), Span(f" {item.title}"))
    return with_note(head, f"for {item.waiting} ({how_long(item, at)})", screen.width)


def how_long(item: ReleaseResult, at: float) -> str:
    """Return how long a release has run and, if it waits, how long it may still take: `12s, 4m 48s left`."""
    elapsed = at - (item.started or at)
    shows_left = item.waiting and item.patient_until is not None and elapsed >= _WONDER
    return duration(elapsed) + (f", {duration((item.patient_until or at) - at)} left" if shows_left else "")


def _notice_lines(event: ev.Notice, screen: Screen) -> list[Line]:
    about = f"{event.release}: " if event.release else ""
    head = (Span("  "), badge("warning" if event.level == "warning" else "note", screen.marks, WORD - 1))
    return with_note(head, about + event.message, screen.width, "")


def test_label(item: SmokeResult | ev.TestFinished) -> str:
    """Return a test's name in a list."""
    return item.test if item.test == ALL else f"test {item.test}"
