"""The last screen of a run: what happened, what broke and why, where the logs are, what to type next.

Failures come last, next to the prompt, because that is the part still on the screen when the run is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from devtools.base.words import plural, shortened
from devtools.events import Outcome, Verdict
from devtools.report import advice
from devtools.report.run_state import ReleaseResult, RunState, SmokeResult
from devtools.report.terminal.lines import (
    Screen,
    contract_note,
    contracts_text,
    log_path,
    plan_lines,
    release_width,
    test_label,
)
from devtools.report.text import Line, Marks, Span, Style, badge, clean, counted, duration, shown, with_note, wrapped

_IN_FULL = 5  # failures shown with their details; the others get three lines each
_COMMANDS = 3  # commands offered
_REASON_LINES = 2  # of which this many show why
_REPEATS = 'level=WARN msg="upgrade failed"'
_DETAILS = 12  # lines of details, and of log, under a failure
_COLLAPSE = 1  # more releases of one quiet word in a layer than this are counted, not listed
_LISTED = 40  # in a run of more releases than this, successful ones are counted, too
_QUIET = ("unchanged", "disabled", "not reached")
_BROKEN = frozenset({"failed", "interrupted", "blocked"})
_OUTCOMES = (*map(str, Outcome), "blocked", "not reached")
_VERDICTS = tuple(map(str, Verdict))
_STYLES: dict[str, Style] = {"failed": "bad", "interrupted": "bad"}


def final_lines(state: RunState, screen: Screen) -> list[Line]:
    """Return the whole last screen."""
    lines: list[Line] = []
    if state.plan and state.plan.dry_run:
        lines += plan_lines(state.plan, screen.width, verbose=True)
    else:
        lines += [(), *_table(state, screen)] if state.releases else []
        lines += _failures(state, screen)
    return [*lines, (), *_headline(state), *_notices(state, screen.width), *_footer(state, screen.cwd)]


def _table(state: RunState, screen: Screen) -> list[Line]:
    """Return every layer with its releases, tests and contracts; quiet ones are counted."""
    lines: list[Line] = [(Span("Summary", "strong"),)]
    pad = release_width(tuple(state.releases), screen.width)
    tests = release_width([test_label(test) for test in state.tests.values()], screen.width)
    for layer in dict.fromkeys(item.layer for item in state.items):
        lines.append((Span(f"  {layer}", "strong"),))
        lines += _release_rows(state, layer, screen, pad)
        lines += _test_rows(state, layer, screen, tests)
    return lines


def _release_rows(state: RunState, layer: str, screen: Screen, pad: int) -> list[Line]:
    """Return the releases of a layer; several unchanged, disabled or unreached ones are one row."""
    lines: list[Line] = []
    items = [item for item in state.releases.values() if item.layer == layer]
    collapsed = _QUIET if len(state.releases) <= _LISTED else _OUTCOMES
    for word in () if screen.verbose else collapsed:
        for reason in dict.fromkeys(_release_note(state, item) for item in items if item.word == word):
            group = [item for item in items if item.word == word and _release_note(state, item) == reason]
            if word in _BROKEN or len(group) <= _COLLAPSE:
                continue
            items = [item for item in items if item not in group]
            head: Line = (Span("    "), badge(word, screen.marks), Span(f" {plural(len(group), 'release')}"))
            lines += with_note(head, reason or contracts_text(state, [item.release for item in group]), screen.width)
            if word == "skipped":
                lines += wrapped(", ".join(item.release for item in group), screen.width, "        ", "dim")
    for item in items:
        head = _row(item.text_word, item.title, item.seconds, screen.marks, pad)
        contracts = "" if item.word in _BROKEN else contracts_text(state, [item.release])
        note = ", ".join(part for part in (_release_note(state, item), contracts) if part)
        lines += with_note(head, note, screen.width)
    return lines


def _test_rows(state: RunState, layer: str, screen: Screen, pad: int) -> list[Line]:
    """Return the tests of a layer; several that were skipped for the same reason are one row."""
    lines: list[Line] = []
    items = [item for item in state.tests.values() if item.layer == layer]
    for reason in dict.fromkeys(item.reason for item in items if item.word == "skipped"):
        group = [item for item in items if item.word == "skipped" and item.reason == reason]
        if len(group) > _COLLAPSE:
            items = [item for item in items if item not in group]
            row: Line = (Span("    "), badge("skipped", screen.marks), Span(f" {plural(len(group), 'test')}"))
            lines += with_note(row, reason, screen.width)
    for item in items:
        head = _row(item.word, test_label(item), item.seconds, screen.marks, pad)
        lines += with_note(head, item.reason if item.word != "failed" else "", screen.width)
    return lines


def _release_note(state: RunState, item: ReleaseResult) -> str:
    """Return the note next to a release in the table; the reason of a failure has its own block below."""
    if item.word in {"skipped", "disabled"}:
        return state.why(item)
    if not item.is_release and item.word not in _BROKEN:
        return item.reason
    return "stand-in chart" if item.stand_in else ""


def _row(word: str, subject: str, seconds: float, marks: Marks, pad: int) -> Line:
    took = duration(seconds) if seconds >= 0.05 else ""
    return (Span("    "), badge(word, marks), Span(f" {subject:<{pad}}"), Span(f"  {took:>6}", "dim"))


def _failures(state: RunState, screen: Screen) -> list[Line]:
    """Return the failures: the first few in full, of each of the others what and why."""
    releases = [item for item in state.releases.values() if item.word in _BROKEN]
    tests = [item for item in state.tests.values() if item.word in _BROKEN]
    named = {item.release for item in releases}
    blocks = [(_release_failure(state, item, screen), state.why(item)) for item in releases]
    blocks += [(_test_failure(state, item, screen), item.reason) for item in tests]
    alone = [item for item in state.contracts if item.verdict is Verdict.FAILED and item.release not in named]
    for item in alone:
        title = (Span("FAILED", "bad"), Span(f" contract {clean(item.contract)} of {item.release}", "strong"))
        blocks.append(([title, *wrapped(contract_note(item), screen.width, "  ")], contract_note(item)))
    lines = [line for block, _ in blocks[:_IN_FULL] for line in ((), *block)]
    more = [line for block, why in blocks[_IN_FULL:] for line in _short_failure(block[0], why, screen.width)]
    return [*lines, *([(), *more] if more else [])]


def _short_failure(title: Line, why: str, width: int) -> list[Line]:
    """Return a failure in three lines: what, and the beginning of why."""
    lines = wrapped(" ".join(why.split()), width - 4, "  ") if why else []
    if len(lines) > _REASON_LINES:
        lines[_REASON_LINES - 1] = (*lines[_REASON_LINES - 1], Span(" ..."))
    return [title, *lines[:_REASON_LINES]]


def _release_failure(state: RunState, item: ReleaseResult, screen: Screen) -> list[Line]:
    """Return a failed release: what, why, the cluster's messages, the log, what to type."""
    after = f" after {duration(item.seconds)}" if item.seconds else ""
    title = (Span(item.word.upper(), "bad"), Span(f" {item.title}", "strong"), Span(f" (layer {item.layer}){after}"))
    why = state.why(item) or "no reason reported"
    lines: list[Line] = [title, *wrapped(why, screen.width, "  ")]
    if item.waiting:
        lines += wrapped(f"It was waiting for {item.waiting}.", screen.width, "  ")
    broken = [c for c in state.contracts if c.release == item.release and c.verdict is Verdict.FAILED]
    names = tuple(f"contract {contract.contract}:" for contract in broken)
    for name, contract in zip(names, broken, strict=True):
        lines += [] if why.startswith(name) else wrapped(f"{name} {contract_note(contract)}", screen.width, "  ")
    tail = state.tails.get((item.release, ""))
    quoted_lines = item.details or (_unexplained(tail.lines, why) if tail and item.word == "failed" else ())
    lines += _quoted(tuple(line for line in quoted_lines if not line.startswith(names)))
    lines += _hint(item.hint, screen.width)
    return [*lines, _log(state, advice.release_log(item.release), screen)] if item.logged else lines


def _unexplained(printed: Sequence[str], why: str) -> tuple[str, ...]:
    """Return helm's output without the reason: helm logs its final error before it prints it."""
    why, error = " ".join(why.split()), "Error: "
    again = (_REPEATS,) if any(line.startswith(error) for line in printed) else ()
    plain = {line: " ".join(line.split()).removeprefix(error).removeprefix("UPGRADE FAILED: ") for line in printed}
    return tuple(line for line in printed if plain[line] not in why and not line.startswith(again))


def _test_failure(state: RunState, item: SmokeResult, screen: Screen) -> list[Line]:
    """Return a failed smoke test in the same way, with the end of its log."""
    title = (
        Span(item.word.upper(), "bad"),
        Span(f" test {item.test}", "strong"),
        Span(f" of {item.release} (layer {item.layer}) after {duration(item.seconds)}"),
    )
    tail = state.tails.get((item.release, item.test))
    logged = tail.lines[-_DETAILS:] if tail else ()
    known = set(tail.raw if tail else ())
    lines = [title, *(wrapped(item.reason, screen.width, "  ") if item.reason else [])]
    lines += _quoted(tuple(line for line in item.details if line not in known))
    return [*lines, *_quoted(logged), _log(state, advice.test_log(item.release, item.test), screen)]


def _quoted(lines: tuple[str, ...]) -> list[Line]:
    """Return the last lines of the cluster, helm or a test, marked as quoted."""
    quoted_lines = [clean(line) for line in lines]
    while quoted_lines and not quoted_lines[-1]:
        quoted_lines.pop()
    return [(Span("  | ", "dim"), Span(line)) for line in quoted_lines[-_DETAILS:]]


def _hint(hint: str, width: int) -> list[Line]:
    return with_note((Span("  Hint: ", "strong"),), hint, width, "") if hint else []


def _log(state: RunState, name: str, screen: Screen) -> Line:
    return (Span("  Log:  ", "strong"), Span(f"  {log_path(state, name, screen.cwd)}"))


def _result_word(state: RunState) -> str:
    """Return the run's first word: `PASSED` only if something was checked and all of it passed without simulation."""
    result = state.result()
    unchecked = result == "passed" and not state.contracts and not state.tests
    return "DONE" if unchecked or result == "simulated" else result.upper()


def _headline(state: RunState) -> list[Line]:
    """Return the run in one line: result, what, time, counts."""
    result = state.result()
    what = clean(state.run.what) if state.run else "the run"
    head = (
        Span(_result_word(state), _STYLES.get(result, "good")),
        Span(f" {what} in {duration(state.seconds)}", "strong"),
    )
    releases = counted((item.word for item in state.releases.values() if item.is_release), _OUTCOMES)
    tests = counted((item.word for item in state.tests.values()), _VERDICTS)
    tests = f"not repeated: {state.left_out}" if state.left_out else tests
    contracts = counted((str(item.verdict) for item in state.contracts), _VERDICTS)
    if result == "planned":
        return [head]
    named = (("releases", releases), ("tests", tests), ("contracts", contracts))
    counts = [(Span(f"  {name + ':':<11}"), Span(text)) for name, text in named if text]
    return [head, *counts]


def _notices(state: RunState, width: int) -> list[Line]:
    """Return the notes that a reader needs to interpret the result."""
    lines: list[Line] = []
    end = state.finished
    if state.result() == "planned" and not (end and end.reason):
        lines += wrapped("Nothing was changed.", width, "  ")
    named = any(item.word in _BROKEN for item in state.items)
    if end and end.reason and not (named and end.reason.endswith((" failed", " blocked"))):  # shown above by name
        lines += wrapped(end.reason, width, "  ")
    if end and state.result() != "interrupted":
        lines += _hint(end.hint, width)
    if state.result() == "unchanged":
        text = "Nothing to do: inputs are unchanged and objects present. `invoke drift` shows manual changes."
        lines += wrapped(text, width, "  ")
    if state.result() == "interrupted":
        lines += wrapped("Finished steps are kept; the next run continues from here.", width, "  ")
    if state.result() not in {"failed", "interrupted"}:
        if any(item.verdict is Verdict.SIMULATED for item in state.checks):
            text = "simulated: a simulator answered; it proves the wiring, not the behaviour."
            lines += wrapped(text, width, "  ", "dim")
        if state.simulated_pods:
            pods = plural(state.simulated_pods, "pod was", "pods were")
            real = "Pods that select and tolerate devtools.ameide.io/real run for real."
            lines += wrapped(f"{pods} simulated: no container ran. {real}", width, "  ", "dim")
    stand_ins = [item.release for item in state.releases.values() if item.stand_in]
    if stand_ins:
        names = shortened(stand_ins, _IN_FULL)
        lines += wrapped(f"Stand-in charts, not the real ones, were used for: {names}.", width, "  ")
    return lines


def _footer(state: RunState, cwd: Path) -> list[Line]:
    """Return where the logs are and what to type."""
    lines: list[Line] = []
    if state.run and state.run.directory:
        lines.append((Span("  Logs: ", "strong"), Span(f"  {shown(Path(state.run.directory), cwd)}")))
    label = {"failed": "  Retry:", "interrupted": "  Go on:"}.get(state.result(), "  Next: ")
    commands = advice.next_commands(state)
    for command in commands if len(commands) <= _COMMANDS else (*commands[: _COMMANDS - 1], commands[-1]):
        lines.append((Span(label, "strong"), Span(f"  {command}")))
        label = "  or:   "
    return lines
