"""Runs the commands of a stack, `before` and `after` in devtools.yaml, around the steps of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from devtools.engine.outcome import End
from devtools.errors import DevtoolsError, ExitCode
from devtools.events import Notice
from devtools.model import Hook, Plan

if TYPE_CHECKING:
    from devtools.run_context.session import Session

_RESULTS = {ExitCode.OK: "ok", ExitCode.INTERRUPTED: "interrupted"}  # any other is `failed`


class StackCommands:
    """The commands of one run."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self._session = session
        self._plan = plan

    def before(self) -> End:
        """Run the commands until one fails."""
        for hook in self._plan.before:
            end = self._run(hook, {})
            if end.code:
                return end
        return End()

    def after(self, end: End) -> End:
        """Run every command even if another one failed, and return the outcome of the run: a failed command's if any.

        They also run after an interruption; an interruption while they run ends them.
        """
        if not self._plan.after:
            return end
        env = {"DEVTOOLS_RESULT": _RESULTS.get(end.code, "failed"), "DEVTOOLS_EXIT_CODE": str(int(end.code))}
        cleanup = self._session.cancel.is_set()
        failed = [found for hook in self._plan.after if (found := self._run(hook, env, cleanup=cleanup)).code]
        if not failed:
            return end
        if not end.code:
            return failed[0]
        return End(end.code, "; ".join((end.reason, *(one.reason for one in failed))), end.hint)

    def _run(self, hook: Hook, env: Mapping[str, str], *, cleanup: bool = False) -> End:
        """Run a command; return a failure as an outcome with the command's last lines."""
        from devtools.releases.command_runner import Commands

        self._session.bus.emit(Notice(level="info", message=f"runs {shlex.join(hook.argv)}"))
        try:
            Commands(self._session).hook(hook, None, env, cleanup=cleanup)
        except DevtoolsError as error:
            return End.of(error, hook.where)
        return End()
