"""The check before every replay: what is about to be used is what the lock says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from devtools.charts.resolve import Charts
from devtools.stack.model import Release
from devtools.stack.settings import failed


def verify_charts(releases: Iterable[Release], directory: Path, root: Path | None = None) -> None:
    """Raise ConfigError with every archive that is missing, corrupted or unsafe among those the releases use.

    `directory` is the charts directory; files are named from `root` (else from the directory above).
    """
    if problems := Charts(directory, root).verify(releases):
        raise failed(problems)
