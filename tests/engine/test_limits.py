"""A machine that starts no more threads: for us, or for helm."""

from __future__ import annotations

import pytest

from devtools.app.crash_reports import bug
from devtools.errors import ExitCode
from devtools.process.runner import Result
from devtools.releases.launch import exhausted

# what Go 1.26 prints, shortened
TRACES = [
    "runtime: failed to create new OS thread (have 5 already; errno=11)\nfatal error: newosproc\n\ngoroutine 1:\n",
    "runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort\n",
]


@pytest.mark.parametrize("trace", TRACES)
def test_a_helm_that_gets_no_thread_is_the_machines_fault(trace: str) -> None:
    fault = exhausted(Result(returncode=2, stderr=trace))
    assert fault
    assert fault.exit_code is ExitCode.ENVIRONMENT
    assert "ulimit -u" in fault.hint
    assert exhausted(Result(returncode=1, stderr="Error: no thread")) is None


def test_a_thread_that_cannot_be_started_is_no_bug() -> None:
    fault = bug(RuntimeError("can't start new thread"))
    assert fault.exit_code is ExitCode.ENVIRONMENT
    assert "ulimit -u" in fault.hint
