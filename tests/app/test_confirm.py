"""Writing to a cluster that devtools did not make, on a real terminal and without one."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.app.environment import App
from devtools.app.providers import confirm_writing
from devtools.errors import ConfigError, Interrupted
from tests.kits.stack import write

CONTEXT = "cluster: {provider: context, context: prod}\nallowed_contexts: [prod, staging]\n"


def _app(root: Path, settings: str = CONTEXT, **environ: str) -> App:
    write(root, {"devtools.yaml": settings, "environments/staging/environment.yaml": ""})
    return App(environ=environ, cwd=root, out=io.StringIO(), err=io.StringIO())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The user's end of a terminal that is stdin."""
    user, program = os.openpty()
    with open(program, encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdin", stream)
        yield user
    os.close(user)


def _at_terminal(app: App, stream: io.TextIOBase) -> App:
    app.out = app.err = stream  # type: ignore[assignment]
    return app


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_it_needs_a_flag(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="context prod, which devtools did not make") as caught:
        confirm_writing(_app(tmp_path), "prod")
    assert "--yes" in caught.value.hint


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False)])
def test_a_terminal_is_asked(tmp_path: Path, terminal: int, typed: str, *, agreed: bool) -> None:
    app = _at_terminal(_app(tmp_path), _Screen())
    os.write(terminal, typed.encode())
    if agreed:
        confirm_writing(app, "prod")
    else:
        with pytest.raises(ConfigError, match="nothing was changed in context prod"):
            confirm_writing(app, "prod")
    assert "[y/N]" in app.err.getvalue()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("terminal")
def test_an_interrupt_ends_the_question(tmp_path: Path) -> None:
    app = _at_terminal(_app(tmp_path), _Screen())
    app.cancel.set("interrupted by Ctrl-C")
    with pytest.raises(Interrupted):
        confirm_writing(app, "prod")


def test_own_clusters_are_changed_without_a_question(tmp_path: Path) -> None:
    confirm_writing(_app(tmp_path, "cluster: {provider: kwok}\n"), "kwok")


def test_an_environment_with_its_own_context_is_not_diverted(tmp_path: Path) -> None:
    own = "allowed_contexts: [staging]\nenvironments: {staging: {cluster: {provider: context, context: staging}}}\n"
    app = _app(tmp_path, own, DEVTOOLS_PROVIDER="kwok")
    assert app.provider_name == "kwok"
    there = App(environ=app.environ, cwd=tmp_path, out=app.out, err=app.err, environment="staging")
    with pytest.raises(ConfigError, match="staging is deployed to context staging, but DEVTOOLS_PROVIDER=kwok"):
        _ = there.provider_name
