"""Output for programs: every event as one line, or only the summary document."""

from __future__ import annotations

import json
from typing import TextIO

from devtools.events import Event, to_json
from devtools.report.summary import Summary
from devtools.report.text import Writer


class JsonLines:
    """Writes each event as one JSON line, as `docs/events.md` describes them."""

    def __init__(self, stream: TextIO) -> None:
        self._writer = Writer(stream)

    def emit(self, event: Event, at: float) -> None:
        """Write one line."""
        self._writer.write(json.dumps(to_json(event, at)))

    def close(self) -> None:
        """Do nothing: every line is written."""


class JsonSummary(Summary):
    """Writes the run summary of `docs/output.md` at the end, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._writer = Writer(stream)

    def close(self) -> None:
        """Write the document; none if nothing ran, so that an error's document is the only one."""
        if self.run is not None:
            self._writer.write(json.dumps(self.to_json(), indent=2))
