"""What tests wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = 120.0, *, reported: Callable[[], object] | None = None) -> T:
    """What `look` gives, once that is true; fails, with what is `told`, where that does not come.

    The limit is far above what a busy machine needs: only a test that fails waits as long.
    """
    deadline, pause = time.monotonic() + seconds, 0.02
    while not (found := look()):
        assert time.monotonic() < deadline, reported() if reported else f"did not happen in {seconds} s"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)  # each look costs the API server more than the pause costs the test
    return found
