"""The wording of a run's steps as they happen; no renderer has its own wording."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from devtools import events as ev
from devtools.base.words import plural
from devtools.events import (
    ContractChecked,
    Event,
    Notice,
    PlanMade,
    PlannedStep,
    RunStarted,
    StepFinished,
    StepOutput,
    TestFinished,
    Verdict,
)
from devtools.report import advice
from devtools.report.run_state import ALL, ReleaseResult, RunState, SmokeResult
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

ACTIONS = ("install", "upgrade", "uninstall", "unchanged", "blocked", "disabled")
QUIET = frozenset({"unchanged", "disabled"})
_MANY = 3  # more quiet steps of one layer than this are counted, not listed
_WONDER = 5.0  # seconds after which the remaining time is shown
_TO_DO = frozenset({"install", "upgrade", "uninstall"})


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
    marks, width, verbose = screen.marks, screen.width, screen.verbose
    match event:
        case ev.RunStarted():
            yield from run_lines(event, marks, width)
        case ev.PlanMade(dry_run=False):
            yield from plan_lines(event, width, verbose=verbose)
        case ev.Notice():
            yield from notice_lines(event, marks, width)
        case ev.StepOutput() if verbose:
            yield from output_lines(event)
        case ev.ContractChecked() if verbose:
            # a successful release counts them, a failed one names the broken ones
            yield from contract_lines(event, marks, width)
        case ev.StepFinished():
            yield from step_lines(event, state, marks, width, pad)
        case ev.TestFinished() if verbose or event.test != ALL or event.verdict is not Verdict.SKIPPED:
            log = log_path(state, advice.test_log(event.release, event.test), screen.cwd)
            yield from test_lines(event, state, marks, width, log)


def run_lines(run: RunStarted, marks: Marks, width: int) -> list[Line]:
    """Return what runs, and where."""
    where = f"stack {run.stack}, environment {run.environment}, cluster {run.context or 'none'} ({run.provider})"
    head = (Span(clean(run.what), "strong"), Span(f" {marks.dot} {where}"))
    if len(plain(head)) <= width:
        return [head]
    return [head[:1], *wrapped(where, width, "  ")]


def plan_lines(plan: PlanMade, width: int, *, verbose: bool = False) -> list[Line]:
    """Return the plan: the number of each action, then each step and its reason; many quiet steps are counted."""
    counts = counted(map(_action_word, (step.action for step in plan.steps)), tuple(map(_action_word, ACTIONS)))
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


def _action_word(action: str) -> str:
    """Return the word for an action that is still to be done."""
    return f"to {action}" if action in _TO_DO else action


def _planned(step: PlannedStep, pad: int, width: int) -> list[Line]:
    """One step of a plan."""
    style: Style = "dim" if step.action in QUIET else "bad" if step.action == "blocked" else ""
    note = f"{step.reason} (stand-in chart)" if step.stand_in else step.reason
    head = (Span(f"    {step.action:<9}  ", style), Span(f"{step.release:<{pad}}"))
    more = [*(f"runs {command}" for command in step.before), *(f"then runs {command}" for command in step.after)]
    more += [] if step.on_failure == "keep" else [f"on failure: {step.on_failure}"]
    lines = [line for text in more for line in wrapped(clean(text), width, " " * 15, "dim")]
    return [*with_note(head, note, width), *lines]


def release_width(releases: Sequence[str], width: int) -> int:
    """Return the column in which release names line up: the longest, within a share of the width."""
    return min(max((len(name) for name in releases), default=0), max(width // 2, 12))


def step_lines(event: StepFinished, state: RunState, marks: Marks, width: int, pad: int) -> list[Line]:
    """Return a finished step: word, release, time, and why."""
    item = state.releases[event.release]
    took = duration(event.seconds) if event.seconds >= 0.05 else ""
    head = (Span("  "), badge(item.word, marks), Span(f" {event.release:<{pad}}"), Span(f"  {took:>6}", "dim"))
    quiet = item.word in {"installed", "upgraded", "uninstalled", "unchanged"}
    note = contracts_text(state, [event.release]) if quiet else state.why(item)
    if item.stand_in and item.word not in {"skipped", "disabled"}:
        note = f"{note} (stand-in chart)".strip()
    return with_note(head, note, width, "bad" if item.word == "failed" else "dim")


def test_lines(event: TestFinished, state: RunState, marks: Marks, width: int, log: str) -> list[Line]:
    """Return a finished smoke test, and its log under it; `log` is the file with all of it."""
    what = event.test if event.test == ALL else f"test {event.test}"
    took = duration(event.seconds) if event.seconds >= 0.05 else ""
    head: Line = (Span("  "), badge(str(event.verdict), marks), Span(f" {what}"))
    whose, end = Span(f" of {event.release}"), Span(f"  {took}", "dim")
    head = (*head, whose, end) if len(plain((*head, whose, end))) <= width else (*head, end)
    lines = with_note(head, event.reason, width, "bad" if event.verdict == "failed" else "dim")
    return [*lines, *log_lines(state, event.release, event.test, log)]


def log_lines(state: RunState, release: str, test: str, log: str) -> list[Line]:
    """Return the last lines of a test's log, marked as quoted, and where the rest is."""
    tail = state.tails.get((release, test))
    if tail is None:
        return []
    dropped = tail.total - len(tail.lines)
    head: list[Line] = []
    if dropped:
        head = [(Span(f"      ({plural(dropped, 'earlier line')} in {log})", "dim"),)]
    return head + [(Span("      | ", "dim"), Span(clean(line))) for line in tail.lines]


def output_lines(event: StepOutput) -> list[Line]:
    """Return a line that Helm or a hook printed."""
    return [(Span(f"    {event.release or 'stack'} | {clean(event.line)}"),)]


def contract_lines(event: ContractChecked, marks: Marks, width: int) -> list[Line]:
    """Return a contract's verdict, and the observed value unless it simply passed."""
    head = (Span("  "), badge(str(event.verdict), marks), Span(f" {clean(event.contract)}"))
    note = "" if event.verdict == "passed" else contract_note(event)
    return with_note(head, note, width, "bad" if event.verdict == "failed" else "dim")


def contract_note(event: ContractChecked) -> str:
    """Return why a contract has its verdict, with the observed value unless the reason has it already."""
    repeated = all(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", event.reason) for part in event.value.split("="))
    saw = f"saw {event.value}" if event.value and not repeated else ""
    return ", ".join(part for part in (event.reason, saw) if part)


def contracts_text(state: RunState, releases: Sequence[str]) -> str:
    """Return the contract totals of some releases: `contracts: 2 passed, 1 simulated`; empty if there are none."""
    verdicts = [str(item.verdict) for item in state.contracts if item.release in releases]
    return f"contracts: {counted(verdicts, tuple(map(str, Verdict)))}" if verdicts else ""


def waiting_lines(item: ReleaseResult, at: float, marks: Marks, width: int) -> list[Line]:
    """Return what a release waits for, since when, and how much longer; `at` is now."""
    head = (Span("  "), badge("waiting", marks), Span(f" {item.release}"))
    return with_note(head, f"for {item.waiting} ({how_long(item, at)})", width)


def how_long(item: ReleaseResult, at: float) -> str:
    """Return how long a release has run and, if it waits, how long it may still take: `12s, 4m 48s left`."""
    elapsed = at - (item.started or at)
    shows_left = item.waiting and item.patient_until is not None and elapsed >= _WONDER
    return duration(elapsed) + (f", {duration((item.patient_until or at) - at)} left" if shows_left else "")


def notice_lines(event: Notice, marks: Marks, width: int) -> list[Line]:
    """Return a line about the whole run; warnings are marked."""
    about = f"{event.release}: " if event.release else ""
    head = (Span("  "), badge("warning" if event.level == "warning" else "note", marks, WORD - 1))
    return with_note(head, about + event.message, width, "")


def test_label(item: SmokeResult) -> str:
    """Return a test's name in a list."""
    return item.test if item.test == ALL else f"test {item.test}"
