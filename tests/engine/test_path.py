"""How many frames there are between the engine and the process of a release's helm."""

from __future__ import annotations

import sys
import threading
from types import FrameType

import pytest

from devtools.process.runner import Cancel, Command, OnOutput, Result
from tests.kits.run import Bench, Recorder, config_map, plan, step

MOST = 10


def _ours(frame: FrameType | None) -> list[str]:
    """The functions of the package on a stack, outermost first."""
    names = []
    while frame is not None:
        if "/devtools/" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return names[::-1]


class Looking(Recorder):
    """Notes the stacks of the step's thread and of helm's when an upgrade is run."""

    def __init__(self, cancel: Cancel) -> None:
        super().__init__(cancel)
        self.found: list[str] = []

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        if "upgrade" in command.argv:
            frames = sys._current_frames()
            waiting = [thread for thread in threading.enumerate() if thread.name.startswith("step")]
            self.found = [name for thread in waiting for name in _ours(frames[thread.ident or 0])]
            self.found += _ours(sys._getframe(1))
        return super().run(command, on_output)


@pytest.mark.cluster
def test_the_path_from_the_engine_to_a_process_is_short(bench: Bench) -> None:
    runner = Looking(bench.cancel)
    item = bench.release(bench.chart("conf", config_map("conf")))
    bench.run(plan(step(item)), runner=runner)
    assert "Steps.sync" in runner.found
    assert len(runner.found) <= MOST, runner.found
