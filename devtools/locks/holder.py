"""Describes the holder of a run lock, on this machine or on the cluster."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from devtools.base.machine_json import read_json

_MOST_PID = 2**31 - 1
_TEXTS = ("what", "who", "started", "machine", "cluster")


def this_machine() -> str:
    """Return an id shared by all processes that see each other's process ids, until the next boot."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return hashlib.sha256(f"{boot}{Path('/proc/self/ns/pid').stat().st_ino}".encode()).hexdigest()[:12]
    except (OSError, ValueError):
        return hashlib.sha256(platform.node().encode()).hexdigest()[:12] if platform.system() == "Darwin" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The holder of a lock, as shown to other users."""

    what: str  # the command
    who: str = ""  # user@host
    pid: int
    started: str
    cluster: str = ""  # `<provider> <name>`, for commands that stop or remove it
    machine: str = field(default_factory=this_machine)
    identity: str = field(default_factory=lambda: uuid4().hex)

    def __str__(self) -> str:
        by = f" by {self.who}" if self.who else ""
        return f"{self.what}{by} (pid {self.pid}, since {self.started})"

    def note(self) -> str:
        """Return the text that `read_holder` reads."""
        return json.dumps({key: value for key, value in asdict(self).items() if key != "identity"})

    def is_dead(self) -> bool:
        """Return whether it was a process on this machine that has ended."""
        return bool(self.machine) and self.machine == this_machine() and has_ended(self.pid)


def has_ended(pid: int) -> bool:
    """Return whether no process on this machine has this id."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)  # else it is another user's
    return False


def read_holder(text: str | bytes, identity: str = "") -> Holder | None:
    """Return the holder that a note names, None if it names none; the note is not trusted."""
    with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, AttributeError):
        data = read_json(text)
        texts = {key: printable(data.get(key, "")) for key in _TEXTS}
        pid = int(data["pid"])
        if texts["what"] and 0 <= pid <= _MOST_PID:
            return Holder(**texts, pid=pid, identity=identity)
    return None


def printable(value: object) -> str:
    """Return untrusted text on one line, without characters that control a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))[:200]
