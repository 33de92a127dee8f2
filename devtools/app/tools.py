"""`invoke toolchain`: get what is missing, show what there is."""

from __future__ import annotations

from devtools.app import toolchain
from devtools.app.wiring import App
from devtools.errors import ExitCode


def show(app: App, output: str) -> ExitCode:
    """Build what is missing, then a table of tools."""
    app.toolchain.ensure(progress=app.say)
    if output == "json":
        app.out.write(toolchain.document(app.toolchain))
        return ExitCode.OK
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON

    toolchain.render(app.toolchain, Console(file=app.out, no_color="NO_COLOR" in app.environ or None))
    return ExitCode.OK
