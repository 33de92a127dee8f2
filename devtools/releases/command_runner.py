"""Runs the commands of a release, helm's and the declared ones, and emits their output."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from devtools.errors import Interrupted, TimedOut
from devtools.events import StepOutput
from devtools.helm.rejections import without_values
from devtools.model import Hook, Release
from devtools.process.runner import Command, Result
from devtools.readiness.wait import Failure
from devtools.releases.helm_process import HelmProcess
from devtools.run_context.session import Session

MOST_LINES = 10_000  # of one command that become events
_LAST = 10  # lines shown of a hook that failed


class Commands:
    """The commands of one session."""

    def __init__(self, session: Session) -> None:
        """The commands run in the session's repository, and their output goes to its bus."""
        self._session = session

    def run(
        self,
        release: Release | None,
        command: Command,
        launch: HelmProcess | None = None,
        *,
        quiet: bool = False,
        heard: dict[str, deque[str]] | None = None,
    ) -> Result:
        """Run a command and stream a limited number of lines; `quiet` withholds stdout, which is full of secrets.

        Lines are redacted, the result is not, because that would change names in helm's answer. `heard` gets every
        line; the output of a helm before it has its values (`launch`) is dropped.
        """
        printed, about = 0, str(release.id) if release else ""

        def on_output(stream: Any, line: str) -> None:
            nonlocal printed
            if launch and launch.is_hushed:
                return
            if heard is not None:
                heard[stream].append(line)
            if (quiet and stream == "stdout") or printed > MOST_LINES:
                return
            printed += 1
            line = line if printed <= MOST_LINES else f"(output after {MOST_LINES} lines is omitted)"
            self._session.bus.emit(StepOutput(release=about, stream=stream, line=without_values(line)))

        return self._session.runner.run(replace(command, line_secrets=self._session.redactor.values), on_output)

    def hook(
        self, hook: Hook, release: Release | None, env: Mapping[str, str] | None = None, *, cleanup: bool = False
    ) -> None:
        """Run one command of `before` or `after` in the repository's root, never through a shell.

        `release` is None for a command of the stack. With `cleanup` it runs even if the run was interrupted. Raises
        Failure with its last lines, TimedOut, Interrupted.
        """
        heard: dict[str, deque[str]] = {stream: deque(maxlen=_LAST) for stream in ("stdout", "stderr")}
        session, name = self._session, hook.argv[0]
        hint = f"it is declared at {hook.where}" if release else ""
        env = {**session.hook_env, **(env or {})}
        command = Command(argv=hook.argv, timeout=hook.timeout, cwd=session.root, env=env, keep=0, cleanup=cleanup)
        result = self.run(release, command, heard=heard)
        if result.timed_out:
            raise TimedOut(f"hook {name} took longer than {hook.timeout:.0f} s", hint=hint)
        if result.cancelled:
            raise Interrupted(session.cancel.reason)
        if not result.ok:
            last = [line for line in heard["stderr"] or heard["stdout"] if line.strip()]
            raise Failure(f"hook {name} ended with {result.returncode}", hint=hint, details=last)
