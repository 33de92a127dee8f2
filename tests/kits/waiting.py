"""What tests wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = 120.0, *, told: Callable[[], object] | None = None) -> T:
    """What `look` gives, once that is true; fails, with what is `told`, where that does not come."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, told() if told else f"did not happen in {seconds} s"
        time.sleep(0.02)
    return found
