"""What is tried again when helm failed: one table of policies, one loop.

| failure | what is done about it | how often |
|---|---|---|
| `Outage`: the API server went away and is back | clear what the helm that was cut off left | three times |
| `Unanswered`: an admission webhook does not answer | wait: its server may have just started | for 20 s |
| `Refused`: what `--recreate` or `--take-ownership` can overcome | recreate or take over | once |
| any other | give up | |
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.readiness.endpoints import missing_endpoints
from devtools.readiness.observer import Observer
from devtools.readiness.wait import Failure, Wait
from devtools.releases.rejections import Refused

T = TypeVar("T")
_UNANSWERED = re.compile(
    r'failed calling webhook "(?P<name>[^"]+)": (?P<why>.*?'
    r"(?:connection refused|no endpoints available|not found|timeout|deadline exceeded|x509|EOF|no route|no such host)"
    r".*)",
    re.DOTALL,
)


class Outage(EnvironmentFault):
    """The API server went away while helm worked, and answers again."""


class Unanswered(Failure):
    """A webhook did not answer, and what it is asked about is refused without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often a failure is tried again, and for how many seconds after the first one of its kind."""

    times: int
    seconds: float = inf
    pause: float = 0.0  # seconds between attempts
    clear: bool = True  # the next attempt clears what this one left first
    notice: str = ""  # what is said of the first one, behind its message


POLICIES: Mapping[type[DevtoolsError], Policy] = {
    Outage: Policy(times=3, notice="it is back: trying again"),
    Unanswered: Policy(times=1000, seconds=20.0, pause=2.0, clear=False, notice="trying again for 20 s"),
    Refused: Policy(times=1),
}


def with_retries(
    attempt: Callable[[bool], T],
    wait: Wait,
    warn: Callable[[str], None],
    overcome: Callable[[Refused], None] | None = None,
) -> T:
    """Return what `attempt` returns; it is called again after failures that `POLICIES` names.

    `attempt` is called with True if it must clear first what an earlier one left. `overcome` removes what the API
    server refused, or raises. Raises what `attempt` raises in the end; Interrupted on cancel.
    """
    clear = False
    counts = dict.fromkeys(POLICIES, 0)
    first: dict[type[DevtoolsError], float] = {}  # when each kind of failure was met first
    while True:
        try:
            return attempt(clear)
        except (Outage, Unanswered, Refused) as failure:
            kind = type(failure)
            policy = POLICIES[kind]
            now = time.monotonic()
            late = kind is Unanswered and (wait.over() or now - first.setdefault(kind, now) > policy.seconds)
            if counts[kind] == policy.times or late or (isinstance(failure, Refused) and overcome is None):
                raise
            if policy.notice and (kind is Outage or not counts[kind]):
                what, _, why = failure.message.partition(": ")  # why may be long
                warn(f"{what}: {policy.notice} ({why})" if kind is Outage else f"{failure.message}: {policy.notice}")
            if isinstance(failure, Refused) and overcome is not None:
                overcome(failure)
            counts[kind] += 1
            clear = clear or policy.clear
        if policy.pause:
            wait.pause(policy.pause)


def unanswered(text: str, observer: Observer | None = None) -> Unanswered | None:
    """Return the failure that helm's message is about if a webhook did not answer; one that refuses has answered.

    With an `observer`, it says why the webhook's Service has no endpoints.
    """
    found = _UNANSWERED.search(text)
    if found is None:
        return None
    hint = "if another release serves it, declare that with `needs`"
    reason = missing_endpoints(observer, text) if observer else ""
    why = " ".join(found["why"].split()) + f"; {reason}" * bool(reason)
    return Unanswered(f"admission webhook {found['name']} does not answer: {why}", hint=hint)
