"""How long, and how often, a failure of helm is tried again."""

from __future__ import annotations

import time
from math import inf

import pytest

from devtools.process.runner import Cancel
from devtools.readiness.wait import Wait
from devtools.releases.retry_policy import Outage, Retries, Unanswered


class Clock:
    """Stands still but for what attempts and pauses take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def wait(self, monkeypatch: pytest.MonkeyPatch) -> Wait:
        def pause(_: Wait, seconds: float) -> None:
            self.now += seconds

        monkeypatch.setattr(Wait, "pause", pause)
        return Wait(deadline=inf, say=lambda _: None, cancel=Cancel())


@pytest.mark.parametrize("seconds", [0.0, 30.0], ids=["at once", "after the webhook's own timeout"])
@pytest.mark.parametrize("outages", [0, 1], ids=["alone", "after an outage"])
def test_an_unanswered_webhook_is_retried_for_20_s(
    monkeypatch: pytest.MonkeyPatch, seconds: float, outages: int
) -> None:
    clock, notices = Clock(monkeypatch), list[str]()
    attempts: list[float] = []

    def attempt() -> None:
        if len(attempts) < outages:
            clock.now += 60.0
            attempts.append(clock.now)
            raise Outage("API server went away: EOF")
        clock.now += seconds
        attempts.append(clock.now)
        raise Unanswered("admission webhook x does not answer: connection refused")

    with pytest.raises(Unanswered):
        Retries(clock.wait(monkeypatch), notices.append).run(attempt)
    first, last = attempts[outages], attempts[-1]
    assert 20.0 < last - first <= 20.0 + 2.0 + seconds
    assert notices[outages:] == ["admission webhook x does not answer: connection refused: trying again for 20 s"]
