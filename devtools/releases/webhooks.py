"""Admission webhooks that do not answer: their servers are pods, which may have begun a moment ago."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from devtools.readiness.wait import Failure, Wait

PATIENCE = 20.0  # seconds from the first refusal
PAUSE = 2.0
T = TypeVar("T")
_UNANSWERED = re.compile(
    r'failed calling webhook "(?P<name>[^"]+)": (?P<why>.*?'
    r"(?:connection refused|no endpoints available|not found|timeout|deadline exceeded|x509|EOF|no route|no such host)"
    r".*)",
    re.DOTALL,
)


class Unanswered(Failure):
    """A webhook did not answer, and what it is asked about is refused without it."""


def unanswered(text: str) -> Unanswered | None:
    """The failure that helm's complaint is about, where a webhook did not answer; one that refuses has."""
    found = _UNANSWERED.search(text)
    if found is None:
        return None
    hint = "where another release serves it, say so with `needs`"
    return Unanswered(f"admission webhook {found['name']} does not answer: {' '.join(found['why'].split())}", hint=hint)


def despite_webhooks(work: Callable[[], T], wait: Wait, tell: Callable[[str], None]) -> T:
    """What `work` gives; it is tried again for `PATIENCE` while a webhook does not answer, and `tell` is told so once.

    Raises what `work` does; Interrupted on cancel.
    """
    began = time.monotonic()
    told = False
    while True:
        try:
            return work()
        except Unanswered as error:
            if wait.over() or time.monotonic() - began > PATIENCE:
                raise
            if not told:
                tell(f"{error.message}: trying again for {PATIENCE:.0f} s")
                told = True
        wait.pause(PAUSE)
