"""Runs a verb as the body of a process: signals, exit codes, and the only mapping from errors to either."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from devtools.app.wiring import App, real_app
from devtools.errors import DevtoolsError, ExitCode, Interrupted

Verb = Callable[[App], ExitCode]


def main(verb: Verb, output: str = "text") -> None:
    """Run a verb in this process and exit with its code; 0 returns, so that invoke can go on to the next task.

    With `output` json an error before there is a result is a document on stdout, too.
    """
    app = real_app()
    code = run(app, verb, output)
    with contextlib.suppress(BrokenPipeError):
        app.out.flush()
    if code is not ExitCode.OK:
        sys.exit(int(code))


def run(app: App, verb: Verb, output: str = "text") -> ExitCode:
    """Run a verb; every error becomes a sentence on stderr and an exit code."""
    with signals(app):
        try:
            return verb(app)
        except DevtoolsError as error:
            return _fail(app, error, output)
        except BrokenPipeError:
            _silence(app)
            return ExitCode.OK  # who reads us has seen enough
        except KeyboardInterrupt:
            return _fail(app, Interrupted(app.cancel.reason or "interrupted"), output)
        except Exception as error:  # noqa: BLE001 - the one place that classifies whatever comes
            from devtools.app.bugs import bug  # noqa: PLC0415 - hopefully not needed

            return _fail(app, bug(error), output)


@contextlib.contextmanager
def signals(app: App) -> Iterator[None]:
    """INT, TERM and HUP ask everything under way to stop; a second INT stops us where we are."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if app.cancel.is_set() and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise KeyboardInterrupt
        app.cancel.set(_REASONS[signal.Signals(number)])

    previous = {number: signal.signal(number, handle) for number in _REASONS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_REASONS = {
    signal.SIGINT: "interrupted by Ctrl-C",
    signal.SIGTERM: "asked to stop (SIGTERM)",
    signal.SIGHUP: "the terminal went away (SIGHUP)",
}


def _fail(app: App, error: DevtoolsError, output: str) -> ExitCode:
    """Say what went wrong."""
    from devtools.report.choose import use_color  # noqa: PLC0415 - only failures need it
    from devtools.report.problems import error_json, render_error  # noqa: PLC0415

    if app.cancel.is_set():
        error = Interrupted(app.cancel.reason)
    render_error(error, app.err, color=use_color(isatty=app.err.isatty(), environ=app.environ), cwd=app.cwd)
    if output == "json":
        app.out.write(json.dumps(error_json(error, app.cwd), indent=2) + "\n")
    return error.exit_code


def _silence(app: App) -> None:
    """The reader of stdout is gone: nothing more may be written there, not even at exit."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, app.out.fileno())
