"""Ports for programs that cannot choose one themselves."""

from __future__ import annotations

import os
import random
from itertools import cycle

from devtools.clusters.ports import FIRST, is_free

_PART = 1000
_PARTS = 8
_LOWEST = FIRST - 1000 - _PARTS * _PART  # the thousand ports between are for tests that need certain ones
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
_PORTS = cycle(random.sample(range(_LOWEST + _WORKER * _PART, _LOWEST + (_WORKER + 1) * _PART), _PART))


def free_port() -> int:
    """A port that nobody has now, and that nobody else is likely to get before it is used.

    The system gives none of these to outgoing connections, the embedded clusters none to themselves; each worker of a
    test run has a part of its own, and begins anywhere in it, because there may be other test runs.
    """
    return next(port for port in _PORTS if is_free(port))
