"""What concerns a whole run: a machine that starts no more threads, credentials that are not accepted any more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from devtools.app.crash_reports import bug
from devtools.engine.engine import Engine
from devtools.errors import ExitCode, Interrupted
from devtools.kube.client import ApiError
from devtools.model import Facts, ReleaseId
from devtools.process.runner import Cancel, Result
from devtools.releases.retry_policy import thread_limit
from devtools.run_context.slots import Slots
from tests.kits.run import plan

# what Go 1.26 prints, shortened
TRACES = [
    "runtime: failed to create new OS thread (have 5 already; errno=11)\nfatal error: newosproc\n\ngoroutine 1:\n",
    "runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort\n",
]


@pytest.mark.parametrize("trace", TRACES)
def test_a_helm_that_gets_no_thread_is_the_machines_fault(trace: str) -> None:
    fault = thread_limit(Result(returncode=2, stderr=trace))
    assert fault
    assert fault.exit_code is ExitCode.ENVIRONMENT
    assert "ulimit -u" in fault.hint
    assert thread_limit(Result(returncode=1, stderr="Error: no thread")) is None


def test_a_thread_that_cannot_be_started_is_no_bug() -> None:
    fault = bug(RuntimeError("can't start new thread"))
    assert fault.exit_code is ExitCode.ENVIRONMENT
    assert "ulimit -u" in fault.hint


def test_credentials_that_are_not_accepted_any_more_end_the_run() -> None:
    session: Any = SimpleNamespace(slots=Slots(1), cancel=Cancel())
    engine = Engine(session, plan(), Facts())
    engine._note(ApiError(401, "Unauthorized", "Unauthorized"))
    end = engine._tally.result(session.cancel, plan())
    assert end.code is ExitCode.ENVIRONMENT
    assert "401 Unauthorized" in end.reason
    assert "log in to the cluster again" in end.hint
    with pytest.raises(Interrupted, match="401"), session.slots.hold(ReleaseId("ns", "next")):
        pass
