"""A verb called as a task calls it, in this process: its code and what it printed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.app.exit_codes import DOCUMENTS, Verb, run
from devtools.errors import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a verb ended."""

    code: ExitCode
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What `--output json` put on stdout: one document and nothing else."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def call(
    verb: Verb, output: str, *, environ: Mapping[str, str], cwd: Path, outputs: tuple[str, ...] = DOCUMENTS
) -> Done:
    """Run a verb to its end; no error gets out."""
    out, err = io.StringIO(), io.StringIO()
    code = run(App(environ=environ, cwd=cwd, out=out, err=err), verb, output, outputs)
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return Done(code=code, out=out.getvalue(), err=err.getvalue())
