"""Finds BUF_TOKEN in the environment, else in `.env`; commands do that before anything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.base.open_file import read_source
from devtools.buf.commands import TOKEN, is_token
from devtools.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from dotenv.parser import Binding

FILE = ".env"
_FORM = "give one token without spaces, or TOKEN@REMOTE,TOKEN@REMOTE"


def find_token(environ: Mapping[str, str], root: Path) -> str:
    """Return the token; raises ConfigError if there is none, it is empty, or it is malformed.

    `.env` is read only if the environment has no token. No message shows any part of a line: it may be the token.
    """
    if value := environ.get(TOKEN, "").strip():
        if is_token(value):
            return value
        raise ConfigError(f"{TOKEN} in the environment is not in a format that buf accepts", hint=_FORM)
    if value := _from_file(root / FILE):
        return value
    raise ConfigError(
        f"{TOKEN} is not set: clusters read the published API, so it must be pushed before Helm installs anything",
        hint=f"write {TOKEN}=… into {root / FILE}, or export it; make one at https://buf.build/settings/user\n"
        "to build without publishing: invoke proto.push --no-push\n"
        "under Tilt: invoke bootstrap.down --keep-cluster && invoke bootstrap --no-push",
    )


def _from_file(path: Path) -> str:
    """Return the token in a `.env` file; empty if there is no file or no token in it."""
    if not path.is_file():
        return ""
    last: tuple[int, str] | None = None
    problems: list[Problem] = []
    for line, binding in _bindings(path):
        location = Location(file=path, line=line)
        if binding.error:
            problems.append(Problem(where=location, message="this line is not NAME=value"))
        elif binding.key == TOKEN and binding.value is None:
            problems.append(Problem(where=location, message=f"{TOKEN} has no `=` and no value"))
        elif binding.key == TOKEN:
            last = (line, (binding.value or "").strip())
    if last and last[1] and not is_token(last[1]):
        where = Location(file=path, line=last[0])
        problems.append(Problem(where=where, message=f"{TOKEN} is not of a form that buf reads", hint=_FORM))
    if problems:
        raise ConfigError(f"{FILE} cannot be used", hint="correct these lines", problems=tuple(problems))
    return last[1] if last else ""


def _bindings(path: Path) -> list[tuple[int, Binding]]:
    """Return the file's statements with their line numbers.

    Uses python-dotenv's parser and not its `dotenv_values`, which only logs an unreadable line and continues.
    `${…}` is not replaced: a token is used as written.
    """
    from io import StringIO

    from dotenv.parser import parse_stream

    try:
        text = read_source(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(where=Location(file=path, line=line), message="not UTF-8")
        raise ConfigError(f"{FILE} cannot be used", hint="save it as UTF-8", problems=(problem,)) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    return [(_line(binding), binding) for binding in parse_stream(StringIO(text))]


def _line(binding: Binding) -> int:
    """Return a statement's own line: the parser counts the blank lines before a statement as part of it."""
    string: str = binding.original.string
    blank = string[: len(string) - len(string.lstrip())]
    return int(binding.original.line) + blank.count("\n")
