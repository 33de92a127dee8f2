"""How direct the way of a run is: frames from the engine to helm's process, and calls back up to a higher package."""

from __future__ import annotations

import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from devtools.model import Contract
from devtools.process.runner import Cancel, Command, OnOutput, Result
from tests.kits.repository import ROOT
from tests.kits.run import HERE, Bench, Recorder, config_map, deployment, job, plan, step

MOST_FRAMES = 10
MOST_CALLS_UP = 4
PACKAGE = f"{ROOT / 'devtools'}/"


def _ours(frame: FrameType | None) -> list[str]:
    """The functions of the package on a stack, outermost first."""
    names = []
    while frame is not None:
        if _package(frame):
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return names[::-1]


def _package(frame: FrameType) -> str:
    """The package of ours that a frame is in; empty for others' code."""
    name = frame.f_code.co_filename
    return Path(name.removeprefix(PACKAGE)).parts[0].removesuffix(".py") if name.startswith(PACKAGE) else ""


def _ranks() -> dict[str, int]:
    """The height of each package in the import contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = enumerate(reversed(contracts[0]["layers"]))
    return {name.strip(): rank for rank, layer in layers for name in layer.split("|")}


@contextmanager
def _calls_up() -> Iterator[Counter[tuple[str, str]]]:
    """Count, on every thread, the calls from a package to one above it."""
    ranks, found = _ranks(), Counter[tuple[str, str]]()

    def note(frame: FrameType, event: str, _: object) -> None:
        callee = _package(frame) if event == "call" else ""
        caller = frame.f_back
        while callee and caller is not None and not _package(caller):
            caller = caller.f_back
        if callee and caller is not None and ranks.get(callee, -1) > ranks.get(_package(caller), -1) >= 0:
            found[f"{_package(caller)}.{caller.f_code.co_qualname}", f"{callee}.{frame.f_code.co_qualname}"] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


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
    assert len(runner.found) <= MOST_FRAMES, runner.found


@pytest.mark.cluster
def test_few_functions_call_back_up_to_a_higher_package(bench: Bench) -> None:
    """A run with a workload, a contract and a test."""
    contract = Contract(where=HERE, kind="Deployment", name="web", condition="Available")
    web = bench.release(bench.chart("web", deployment("web")), contract=(contract,))
    smoke = bench.release(bench.chart("smoke", job("t", "test", "true")), smoke=True)
    with _calls_up() as found:
        bench.run(plan(step(web), step(smoke, web)))
    assert len(found) <= MOST_CALLS_UP, found
