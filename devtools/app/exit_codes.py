"""Runs a command as the body of a process, and maps errors to exit codes; nothing else does that."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import IO

from devtools.app.environment import App, real_app
from devtools.app.signals import signals
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault, ExitCode, Interrupted

Verb = Callable[[App], ExitCode]
DOCUMENTS = ("text", "json")  # formats of commands that print a document
_GARBAGE = 50_000  # objects until the collector looks for cycles: importing makes none, but thousands of objects


def main(
    verb: Verb,
    output: str = "text",
    outputs: tuple[str, ...] = DOCUMENTS,
    *,
    environment: str = "",
    sets: Iterable[str] = (),
) -> None:
    """Run a command in this process and exit with its code; 0 returns, so that invoke can run the next task.

    `output` must be one of `outputs`; with json an error without a result is printed as a document on stdout, too.
    `environment` is as typed (default: the usual one), `sets` are values of it, as `key=value`.
    """
    gc.set_threshold(_GARBAGE)
    app = real_app(environment, sets)
    code = _flushed(app, run(app, verb, output, outputs))
    gc.freeze()  # the process ends: a last collection would be wasted
    if code is not ExitCode.OK:
        sys.exit(int(code))


def run(app: App, verb: Verb, output: str = "text", outputs: tuple[str, ...] = DOCUMENTS) -> ExitCode:
    """Run a command; print every error as a sentence on stderr and return its exit code."""
    with signals(app):
        try:
            if output not in outputs:
                raise ConfigError(f"unknown output {output!r}", hint=f"choose one of {', '.join(outputs)}")
            return verb(app)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place that classifies whatever comes
            if isinstance(error, BrokenPipeError) and is_reader_gone(app.out):
                return ExitCode.OK  # the reader of stdout has closed the pipe
            return _fail(app, _classified(app, error), output)


def _classified(app: App, error: BaseException) -> DevtoolsError:
    """Return the error that describes an exception to the user."""
    if app.cancel.is_set() or isinstance(error, KeyboardInterrupt):
        return Interrupted(app.cancel.reason or "interrupted")
    if isinstance(error, DevtoolsError):
        return error
    from devtools.app.crash_reports import bug

    return bug(error, app.redactor.text)


def _fail(app: App, error: DevtoolsError, output: str) -> ExitCode:
    """Print what went wrong, if stderr or stdout can still be written."""
    from devtools.report.problems import error_json, render_error
    from devtools.report.renderers import use_color

    error = _redacted(_with_way_out(app, error), app.redactor.text)
    with contextlib.suppress(OSError, ValueError):
        render_error(error, app.err, color=use_color(isatty=app.err.isatty(), environ=app.environ), cwd=app.cwd)
    if output == "json":
        with contextlib.suppress(OSError, ValueError):
            app.out.write(json.dumps(error_json(error, app.cwd), indent=2) + "\n")
            app.out.flush()
    return error.exit_code


def _redacted(error: DevtoolsError, clean: Callable[[str], str]) -> DevtoolsError:
    """Hide secrets in everything that is shown of an error."""
    changes: dict[str, object] = {"message": clean(error.message), "hint": clean(error.hint)}
    if isinstance(error, ConfigError):
        changes["problems"] = tuple(replace(item, message=clean(item.message)) for item in error.problems)
    if details := getattr(error, "details", ()):
        changes["details"] = tuple(map(clean, details))
    return error.changed(**changes)


def _with_way_out(app: App, error: DevtoolsError) -> DevtoolsError:
    """Return how to move the state elsewhere, if its directory is the one that cannot be used."""
    try:
        state = app.folders.state
    except DevtoolsError:
        return error
    if not isinstance(error, EnvironmentFault) or str(state) not in error.message:
        return error
    place = next(path for path in (state, *state.parents) if path.exists())
    if place.is_dir() and os.access(place, os.W_OK):
        return error
    return error.changed(hint="set DEVTOOLS_STATE to a directory that you may write to")


def _flushed(app: App, code: ExitCode) -> ExitCode:
    """Write buffered output; a failure is reported here, not by the interpreter at exit."""
    try:
        if not is_reader_gone(app.out):
            app.out.flush()
    except (OSError, ValueError) as error:
        _silence(app.out)
        return code if code is not ExitCode.OK else _fail(app, _classified(app, error), "text")
    return code


def is_reader_gone(out: IO[str]) -> bool:
    """Return whether the reader of stdout is gone; then nothing more is written there, not even at exit.

    With unbuffered output (PYTHONUNBUFFERED) there is nothing to flush, so the pipe itself is checked, too.
    """
    try:
        out.flush()
        poll = select.poll()
        poll.register(out.fileno(), 0)
        is_left = any(event & select.POLLERR for _, event in poll.poll(0))
    except BrokenPipeError:
        is_left = True
    except (OSError, ValueError):
        return False  # another error, which the next write reports
    if is_left:
        _silence(out)
    return is_left


def _silence(out: IO[str]) -> None:
    """Discard everything that is written to stdout from now on."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, out.fileno())
