"""Runs a helm process on its own thread; the process may wait for its values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from devtools.base.machine_yaml import json_for_yaml
from devtools.process.runner import Cancel, Command, Later, Result

# What helm reads as values if this process dies before it sends them: invalid YAML, so that helm does nothing.
_BEGINNING = b"{"


class HelmProcess:
    """One helm process, from its start to its result; `stop` ends it."""

    def __init__(
        self, command: Command, work: Callable[[Command, HelmProcess], Result], *, reads: bool = False
    ) -> None:
        """Start the process: `work` returns the command's result; one that `reads` waits for `give` or `drop`."""
        self.stop = Cancel()
        self.begun = time.monotonic()
        self.is_hushed = reads  # output before it has its values does not belong to the release
        self._values = Later(_BEGINNING) if reads else None
        own = ThreadPoolExecutor(1, thread_name_prefix="helm")
        self.result: Future[Result] = own.submit(work, replace(command, cancel=self.stop, later=self._values), self)
        own.shutdown(wait=False)

    def give(self, values: Mapping[str, Any]) -> None:
        """Send the values, so that helm continues."""
        assert self._values is not None  # noqa: S101 - see __init__
        self.is_hushed = False
        self._values.give(json_for_yaml(values).encode().removeprefix(_BEGINNING))

    def drop(self) -> None:
        """Send no values, so that helm ends without having done anything."""
        if self._values:
            self._values.cut()
