"""The stable JSON document of a run: `summary.json` in its directory, and the output of `--output json`.

`docs/output.md` describes it; `VERSION` changes when a field changes its meaning or is removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from devtools.events import Outcome, PlanMade, PlannedStep, Verdict, moment
from devtools.report import advice
from devtools.report.run_state import ALL, ReleaseResult, RunState, SmokeResult

VERSION = 1
_OF_RUN = ("run", "what", "stack", "environment", "provider", "context", "directory")


class Summary(RunState):
    """A sink that collects the summary of a run as one JSON document; it writes nothing."""

    def to_json(self) -> dict[str, Any]:
        """Return the documented run summary."""
        plan = self.plan or PlanMade(layers=(), steps=(), dry_run=False)
        steps = {step.release: step for step in plan.steps}
        end = self.finished
        return {
            "version": VERSION,
            "kind": "run-summary",
            **{key: getattr(self.run, key, "") for key in _OF_RUN},
            "started": None if self.started_at is None else moment(self.started_at),
            "finished": None if self.last_at is None else moment(self.last_at),
            "dry_run": plan.dry_run,
            "result": self.result(),
            "exit_code": end.exit_code if end else None,
            "reason": end.reason if end else "the run ended without saying how",
            "hint": end.hint if end else "",
            "seconds": round(self.seconds, 3),
            "sets": [asdict(one) for one in plan.sets],
            "before": list(plan.before),
            "after": list(plan.after),
            "layers": list(plan.layers),
            "counts": self._counts(),
            "releases": [self._release_json(item, steps.get(name)) for name, item in self.releases.items()],
            "tests": [self._test_json(item) for item in self.tests.values()],
            "contracts": [asdict(item) for item in self.contracts],
            "notices": [asdict(item) for item in self.notices],
            "next": list(advice.next_commands(self)),
        }

    def _counts(self) -> dict[str, dict[str, int]]:
        """Return the number of each word; every word is always present."""
        checks = [*map(str, Verdict)]  # `interrupted`, the last, occurs only for tests
        return {
            "releases": _tally(
                (item.word for item in self.releases.values() if item.is_release),
                [*map(str, Outcome), "blocked", "not reached"],
            ),
            "tests": _tally((item.word for item in self.tests.values()), checks),
            "contracts": _tally((str(item.verdict) for item in self.contracts), checks[:-1]),
            "stand_in": {"releases": sum(item.stand_in for item in self.releases.values())},
            "simulated": {"pods": self.simulated_pods},
        }

    def _release_json(self, item: ReleaseResult, step: PlannedStep | None) -> dict[str, Any]:
        return {
            "release": item.release,
            "layer": item.layer,
            "action": item.action,
            "planned": item.planned,
            "outcome": str(item.outcome) if item.outcome is not None else None,
            "seconds": round(item.seconds, 3),
            "reason": self.why(item),
            "cause": list(self.cause(item.release)) if item.outcome is Outcome.SKIPPED else [],
            "hint": item.hint,
            "details": list(item.details),
            "needs": list(item.needs),
            "before": list(step.before) if step else [],
            "after": list(step.after) if step else [],
            "on_failure": step.on_failure if step else "keep",
            "chart": item.chart,
            "revision": item.revision,
            "stand_in": item.stand_in,
            "simulated_pods": item.simulated_pods,
            "log": advice.release_log(item.release) if item.logged else "",
        }

    def _test_json(self, item: SmokeResult) -> dict[str, Any]:
        return {
            "release": item.release,
            "layer": item.layer,
            "test": item.test,
            "verdict": str(item.verdict) if item.verdict is not None else None,
            "seconds": round(item.seconds, 3),
            "reason": item.reason,
            "details": list(item.details),
            "log": advice.test_log(item.release, item.test) if item.word != "skipped" or item.test != ALL else "",
        }


def _tally(words: Iterable[str], order: list[str]) -> dict[str, int]:
    """Return how often each word of `order` occurs."""
    listed = list(words)
    return {word.replace(" ", "_"): listed.count(word) for word in order}
