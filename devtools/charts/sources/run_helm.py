"""Runs helm to fetch, check and pack charts."""

from __future__ import annotations

import re

from devtools.errors import ConfigError, EnvironmentFault, Interrupted, TimedOut
from devtools.helm.chart_commands import SOURCE
from devtools.helm.failures import classify
from devtools.process.runner import Command, Result, Runner

_NO_UPDATE = re.compile(r"^\.\.\.Unable to get an update from .*:\n\t(?P<why>.*)", re.MULTILINE)
_OWN_INDEX = re.compile(rf" in {SOURCE} index\. \(try 'helm repo update'\)")


def _complaint(result: Result) -> str:
    """Return helm's error message; `helm repo update` prints it on stdout."""
    found = _NO_UPDATE.search(result.stdout)
    return f"Error: {found['why']}" if found else _OWN_INDEX.sub(" in its index", result.stderr)


def run_helm(runner: Runner, command: Command, failed: str, hint: str = "") -> Result:
    """Run helm and return its result; on failure, raise an error with `failed` and helm's message."""
    result = runner.run(command)
    if result.ok:
        return result
    if result.cancelled:
        raise Interrupted("interrupted while helm ran")
    if result.timed_out:
        raise TimedOut(f"{failed}: helm took longer than {command.timeout:.0f} s")
    failure = classify(_complaint(result))
    if failure.kind in {"away", "network"}:
        hint = hint or "check the network, or vendor from a directory with --from"
        raise EnvironmentFault(f"{failed}: {failure.text}", hint=hint)
    raise ConfigError(f"{failed}: {failure.text}", hint=hint)
