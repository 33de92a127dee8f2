"""What becomes of other people's programs, with real processes."""

from __future__ import annotations

import json
import os

import pytest

from devtools.clusters.external_program import Program
from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Cancel, Command, SubprocessRunner


def program(cancel: Cancel | None = None) -> Program:
    runner = SubprocessRunner(os.environ, cancel or Cancel())
    return Program(runner=runner, name="ox", hint="feed it", longer="wait longer")


def shell(script: str, timeout: float = 300.0) -> Command:
    return Command(argv=("sh", "-c", script), timeout=timeout)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no >&2; echo 'too heavy' >&2; exit 1", "ox could not pull: too heavy"),
        ("echo 'said elsewhere'; exit 3", "ox could not pull: said elsewhere"),
        ("exit 1", "ox could not pull: no reason given"),
        ("head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1", "ox could not pull: " + "x" * 300),
    ],
    ids=["stderr", "stdout", "silence", "much"],
)
def test_a_failure_is_reported_with_the_last_output(script: str, message: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        program().run(shell(script), "pull")
    assert (caught.value.message, caught.value.hint) == (message, "feed it")


def test_a_limit_says_how_long_and_how_to_raise_it() -> None:
    with pytest.raises(TimedOut) as caught:
        program().run(shell("exec sleep 600", timeout=0.1), "pull")
    assert (caught.value.message, caught.value.hint) == ("ox did not pull in 0.1 s", "wait longer")


def test_an_interrupt_is_none_of_its_failures() -> None:
    cancel = Cancel()
    cancel.set("test")
    with pytest.raises(Interrupted, match="interrupted: ox did not pull"):
        program(cancel).run(shell("exit 1"), "pull")


def test_what_it_prints_is_read_or_refused() -> None:
    assert program().read(shell("echo '[1]'"), "count", json.loads) == [1]
    for script in ("echo moo", "echo"):
        with pytest.raises(EnvironmentFault, match="ox could not count: unexpected output"):
            program().read(shell(script), "count", json.loads)
    with pytest.raises(DevtoolsError, match="ox could not count: broke down"):
        program().read(shell("echo '[1]'; echo 'broke down' >&2; exit 1"), "count", json.loads)
