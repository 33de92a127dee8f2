"""For machines: every event as one line, or the summary document alone."""

from __future__ import annotations

import json
from typing import TextIO

from devtools.events import Event, to_json
from devtools.report.summary import Summary
from devtools.report.text import Writer


class JsonLines:
    """Writes each event as one JSON line, as `docs/events.md` describes them."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`; a reader that goes away is not an error."""
        self._writer = Writer(stream)

    def emit(self, event: Event, at: float) -> None:
        """One line."""
        self._writer.write(json.dumps(to_json(event, at)))

    def close(self) -> None:
        """Nothing is left to write."""


class JsonSummary:
    """Writes the run summary of `docs/output.md` at the end, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._writer = Writer(stream)
        self._summary = Summary()

    def emit(self, event: Event, at: float) -> None:
        """Take it into account."""
        self._summary.emit(event, at)

    def close(self) -> None:
        """The one document; none if nothing was ever run, so that an error's document stays alone."""
        if self._summary.run is not None:
            self._writer.write(json.dumps(self._summary.to_json(), indent=2))
