"""What an evaluation is given, and the ways it ends that are no errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtools.tilt.harness.files import Local, Render


class Restart(Exception):
    """A module must be loaded before the file that loads it dynamically: begin again."""


class Exit(Exception):
    """The Tiltfile ends here, and has loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the caller says about the machine."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    context: str = ""
    namespace: str = "default"
    subcommand: str = "up"
    local: Local | None = None
    render: Render | None = None
    extensions: Mapping[str, Path] = field(default_factory=dict)
