"""A helm process on a thread of its own, which may wait for its values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from devtools.base.machine_yaml import json_for_yaml
from devtools.process.runner import Cancel, Command, Later, Result

# What helm sees of the values when we die before we give them: no YAML, so that it does nothing.
_BEGINNING = b"{"


class HelmProcess:
    """One helm process, from its start to its result; `stop` ends it."""

    def __init__(
        self, command: Command, work: Callable[[Command, HelmProcess], Result], *, reads: bool = False
    ) -> None:
        """Starts: `work` gives the result of the command; one that `reads` waits for `give`, or for `drop`."""
        self.stop = Cancel()
        self.begun = time.monotonic()
        self.is_hushed = reads  # what it prints before it has its values is not its release's
        self._values = Later(_BEGINNING) if reads else None
        own = ThreadPoolExecutor(1, thread_name_prefix="helm")
        self.result: Future[Result] = own.submit(work, replace(command, cancel=self.stop, later=self._values), self)
        own.shutdown(wait=False)

    def give(self, values: Mapping[str, Any]) -> None:
        """Give it its values: it goes on now."""
        assert self._values is not None  # noqa: S101 - see __init__
        self.is_hushed = False
        self._values.give(json_for_yaml(values).encode().removeprefix(_BEGINNING))

    def drop(self) -> None:
        """It gets no values: it ends without having done anything."""
        if self._values:
            self._values.cut()
