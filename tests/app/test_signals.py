"""A process that waits for something which no signal interrupts ends all the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

STUCK = """
import contextlib, os, sys
from devtools.app import signals
from devtools.app.environment import real_app

signals.STUCK = float(sys.argv[1])
with signals.signals(app := real_app()):
    print("ready", flush=True)
    while not (app.cancel.is_set() and sys.argv[2] == "ends"):
        with contextlib.suppress(BaseException):  # as os.open of a pipe, which Python begins again after a signal
            app.cancel.wait(0.01) if sys.argv[2] == "ends" else os.read(os.pipe()[0], 1)
"""


def begun(seconds: float, how: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(seconds), how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_process_that_is_stuck(second: signal.Signals) -> None:
    child = begun(0.2, "is stuck")
    child.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.7)
    child.send_signal(second)
    _, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (130, "error: interrupted, and did not end by itself\n")


def test_one_that_ends_by_itself_is_left_to_it() -> None:
    child = begun(60, "ends")
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (0, "")


def test_a_terminal_that_goes_away_says_so_more_than_once() -> None:
    child = begun(0.0, "is stuck")
    for _ in range(2):
        child.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
    child.kill()
    child.communicate()
