"""The deadline of a test: how long its container may run, not counting the start of its pod; pure.

Kubernetes counts `activeDeadlineSeconds` from the start of the Job, before its pod is scheduled, its images are pulled
and its container is started.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devtools.readiness.rules import job_result, status_of

ANNOTATION = "devtools.ameide.io/timeout-seconds"  # of Jobs of the chart helm-test-jobs
SLACK = 10  # seconds that a script may take to end itself after its deadline
_TIMED_OUT = 124  # exit code of the prelude
_KILLED = frozenset({137, 143})  # exit codes after SIGKILL and SIGTERM
_STOPPED = re.compile(r"^result: (?:timed out|stopped) \((?P<seconds>\d+)s(?:, during (?P<check>.*))?\)$")
_PASSED = re.compile(r"^result: (?:passed|skipped)\b")

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """How long a test may run."""

    seconds: float
    key: str  # the setting to raise
    is_own: bool  # set by the test's object; otherwise it is the release's timeout
    by_script: bool = False  # the prelude of helm-test-jobs enforces it

    @property
    def hint(self) -> str:
        """Return what to do about a test that needs more time."""
        return f"raise {self.key} if it only needs more time"


def deadline_of(hook: Object, timeout: float) -> Deadline:
    """Return the deadline of a test hook; `timeout` is the release's."""
    name = (hook["metadata"].get("labels") or {}).get("devtools.ameide.io/test", hook["metadata"]["name"])
    seconds = (hook.get("spec") or {}).get("activeDeadlineSeconds")
    declared = str((hook["metadata"].get("annotations") or {}).get(ANNOTATION, ""))
    if declared.isdecimal():
        key, by_script = f"timeoutSeconds of the job {name}", declared != str(seconds)
        return Deadline(seconds=float(declared), key=key, is_own=True, by_script=by_script)
    if isinstance(seconds, int) and seconds > 0:
        kind = hook.get("kind")
        return Deadline(seconds=float(seconds), key=f"activeDeadlineSeconds of {kind}/{name}", is_own=True)
    return Deadline(seconds=timeout, key="the release's `timeout`", is_own=False)


def extended(job: Object, pods: Iterable[Object], deadline: Deadline, start: float, waited: float) -> int | None:
    """Return the `activeDeadlineSeconds` that a Job should have by now; None if it has it already.

    A pod may take `start` seconds to start; `waited` is how long the Job has been watched.
    """
    current, began = (job.get("spec") or {}).get("activeDeadlineSeconds"), str(status_of(job).get("startTime") or "")
    if not isinstance(current, int) or not began or job_result(job)[0]:
        return None
    slack = SLACK if deadline.by_script else 0
    if begun := [moment for pod in pods if (moment := _begun(pod))]:
        late = (min(begun) - datetime.fromisoformat(began)).total_seconds()
        needed = math.ceil(deadline.seconds + late) + slack
    elif waited > deadline.seconds / 10:
        needed = math.ceil(deadline.seconds + start) + slack
    else:
        return None
    return needed if needed != current else None


def expiry(job_message: str, pods: Iterable[Object], last_line: str, deadline: Deadline) -> str:
    """Return how a test ran out of time; empty if it did not: `not finished after 120 s, during "redis answers"`."""
    pods = list(pods)
    stopped, is_late = _STOPPED.match(last_line), last_line.startswith("result: timed out")
    if deadline.by_script and not stopped:  # its log was not read to the end
        is_late = any(end.get("exitCode") == _TIMED_OUT for end in _ends(pods))
    causes = {job_message.partition(":")[0], *(str(status_of(pod).get("reason")) for pod in pods)}
    if "DeadlineExceeded" not in causes and not is_late:
        return ""
    if not any(map(_begun, pods)) and not stopped:
        return "its container did not start before the Job's deadline"
    check = f', during "{stopped["check"]}"' if stopped and stopped["check"] else ""
    return f"not finished after {deadline.seconds:g} s{check}"


def has_passed(pods: Iterable[Object], last_line: str) -> bool:
    """Return whether a test that Kubernetes ended at its deadline had passed, by its last line or its containers' ends.

    A killed container proves nothing; one that ended by itself with a code other than 0 has failed.
    """
    ends = _ends(pods)
    codes = {int(end.get("exitCode") or 0) for end in ends if end.get("reason") != "ContainerStatusUnknown"}
    if codes == {0} and not _STOPPED.match(last_line):
        return True
    is_killed = all(end.get("reason") != "OOMKilled" for end in ends) and codes <= _KILLED | {0}
    return bool(_PASSED.match(last_line)) and is_killed


def _begun(pod: Object) -> datetime | None:
    """Return when the first of a pod's containers started; init containers count as the pod's start."""
    states = [state for status in _main(pod) for state in (status.get("state") or {}).values()]
    found = [str(state["startedAt"]) for state in states if state.get("startedAt")]
    return min(map(datetime.fromisoformat, found), default=None)


def _ends(pods: Iterable[Object]) -> list[Object]:
    """Return how the containers of pods ended, of those that did."""
    states = [status.get("state") or {} for pod in pods for status in _main(pod)]
    return [state["terminated"] for state in states if state.get("terminated")]


def _main(pod: Object) -> list[Object]:
    return list(status_of(pod).get("containerStatuses") or ())
