"""Prints commands as an equivalent shell script; each line can be pasted alone. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.process.runner import Command, redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command, the stage it belongs to, and the destination of its output.

    `to` is a file that only its owner may read, written through the filter `through` if there is one; `log` and `pid`
    are files of a background command. `skipped` says why a command cannot be run here.
    """

    stage: str
    command: Command
    skipped: str = ""
    through: tuple[str, ...] = ()
    to: Path | None = None
    log: Path | None = None
    pid: Path | None = None


def shell(line: Line) -> str:
    """Return the line for sh(1), with environment, working directory and standard input."""
    command = line.command
    words = shlex.join(redact(word, command.secrets) for word in command.argv)
    env = "".join(f"{key}={shlex.quote(value)} " for key, value in command.env.items())
    text = f"{env}{words}"
    if line.log and line.pid:
        text = f"{env}nohup {words} >>{_quoted(line.log)} 2>&1 </dev/null & echo $! >{_quoted(line.pid)}"
        text = f"mkdir -p {_quoted(line.log.parent)} && {{ {text}; }}"
    if line.through:
        text = f"{text} | {shlex.join(line.through)}"
    if line.to:
        text = f"mkdir -p {_quoted(line.to.parent)} && (umask 077 && {text} >{_quoted(line.to)})"
    if command.cwd:
        text = f"(cd {_quoted(command.cwd)} && {text})"
    if command.stdin is None:
        return text
    body = command.stdin.decode()
    end = _terminator(body)
    return f"{text} <<'{end}'\n{body.rstrip(chr(10))}\n{end}"


def script(lines: Iterable[Line]) -> str:
    """Return the script, with a comment for each stage."""
    parts: list[str] = []
    stage = ""
    for line in lines:
        if line.stage != stage:
            stage = line.stage
            parts.append(f"# {stage}")
        parts.append(f"# {line.skipped}: {shell(line)}" if line.skipped else shell(line))
    return "\n".join(parts) + "\n"


def as_json(line: Line) -> dict[str, Any]:
    """Return one element of `commands` in the documented `bootstrap-plan` document."""
    command = line.command
    return {
        "stage": line.stage,
        "argv": [redact(word, command.secrets) for word in command.argv],
        "env": dict(command.env),
        "cwd": str(command.cwd) if command.cwd else None,
        "stdin": command.stdin.decode() if command.stdin is not None else None,
        "stdout": str(line.to or line.log or "") or None,
        "background": line.pid is not None,
        "skipped": line.skipped,
        "shell": shell(line),
    }


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _terminator(body: str) -> str:
    end = "EOF"
    while end in body.splitlines():
        end += "_"
    return end
