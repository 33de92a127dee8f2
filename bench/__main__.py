"""`bench/run [--quick] [--resume] [CASE…]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.bed import ROOT, Bed
from bench.cases import Case, cases
from bench.machine import machine
from bench.results import aims, read_results, tables, write_results
from devtools.app.signals import signals
from devtools.errors import DevtoolsError, ExitCode
from devtools.process.runner import Command


def main() -> int:
    """Run the chosen cases; results are written after each."""
    typed = _arguments()
    chosen = [case for case in cases() if not typed.cases or case.name in typed.cases]
    out = typed.out or (ROOT / ".devtools" / "bench" if typed.quick else ROOT / "docs" / "benchmarks")
    with tempfile.TemporaryDirectory(prefix="devtools-bench-", ignore_cleanup_errors=True) as work:
        bed = Bed(work=Path(work), say=_say, diff=typed.diff_plugins)
        with signals(bed.app):
            try:
                minutes = typed.minutes or float("inf")
                return _all(bed, chosen, out, quick=typed.quick, resume=typed.resume, minutes=minutes)
            except KeyboardInterrupt:
                _say("stopped: what was measured is kept; bench/run --resume goes on")
                return int(ExitCode.INTERRUPTED)
            except DevtoolsError as error:
                _say(f"error: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                return int(error.exit_code)
            finally:
                bed.forget()


def _all(bed: Bed, chosen: Sequence[Case], out: Path, *, quick: bool, resume: bool, minutes: float) -> int:
    document, commit = read_results(out / "results.json"), _commit(bed)
    done = document["cases"]
    left = [case for case in chosen if not (resume and done.get(case.name, {}).get("commit") == commit)]
    bed.say(f"helmfile: {bed.helmfile}")
    started, planned, failed = time.monotonic(), 0.0, 0
    for number, case in enumerate(left, 1):
        if (time.monotonic() - started + case.estimate) / 60 > minutes:
            bed.say(f"[{number}/{len(left)}] {case.name}: left out, there is no time for it")
            continue
        pace = (time.monotonic() - started) / planned if planned else 1.0
        rest = sum(item.estimate for item in left[number - 1 :]) * pace / 60
        bed.say(
            f"[{number}/{len(left)}] {case.name}: {case.title}" + ("" if quick else f" (about {rest:.0f} min left)")
        )
        began, at = time.monotonic(), machine()
        try:
            found = case.run(bed, quick)
        except (DevtoolsError, RuntimeError, OSError) as error:
            failed += 1
            bed.say(f"  this case could not be measured: {error}")
            continue
        finally:
            planned += case.estimate
        seconds = round(time.monotonic() - began, 1)
        done[case.name] = {
            "title": case.title,
            "commit": commit,
            "quick": quick,
            "took": seconds,
            "machine": at,
            **found,
        }
        order = {item.name: index for index, item in enumerate(cases())}
        document["cases"] = done = dict(sorted(done.items(), key=lambda pair: order.get(pair[0], len(order))))
        write_results(out, document)
    print(tables(document))
    bed.say(f"written to {out}; aims met: {sum(good for _, _, good, _ in aims(done))} of {len(list(aims(done)))}")
    return int(ExitCode.FAILED if failed else ExitCode.OK)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description="Compare this tool with helmfile and plain helm.")
    names = [case.name for case in cases()]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: all of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="one round, small; written to .devtools/bench")
    parser.add_argument("--resume", action="store_true", help="leave out what was measured at this commit")
    parser.add_argument("--out", type=Path, help="directory of results.json and README.md (default: docs/benchmarks)")
    parser.add_argument("--diff-plugins", type=Path, help="Helm plugin directory with helm-diff: adds helmfile apply")
    parser.add_argument("--minutes", type=float, help="begin no case that would probably end later than this")
    typed = parser.parse_args()
    if unknown := set(typed.cases) - set(names):
        parser.error(f"no case {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    return typed


def _commit(bed: Bed) -> str:
    """What was measured: commit, and whether there were changes beside it."""
    command = Command(argv=("git", "describe", "--always", "--dirty", "--exclude=*"), cwd=ROOT, timeout=30)
    return bed.app.runner.run(command).stdout.strip() or "unknown"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
