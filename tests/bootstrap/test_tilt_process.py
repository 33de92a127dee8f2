"""Tilt in the background: what is stubborn, silent or interrupted ends, with all it started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest

from devtools.bootstrap.tilt_commands import Tilt
from devtools.bootstrap.tilt_process import OWNER_VARIABLE, TiltFault, TiltProcess
from devtools.errors import Interrupted, TimedOut
from devtools.process.runner import Cancel, SubprocessRunner
from tests.kits.bootstrap import Machine, carrying, is_alive
from tests.kits.waiting import eventually


class Bench:
    """Servers of one checkout."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.cancel = Cancel()
        self.lines: list[str] = []

    def server(self, does: str = "", *, wait: float = 120.0, loading: float = 120.0, grace: float = 1.0) -> TiltProcess:
        tool = Tilt(
            program=self.machine.programs / "tilt",
            root=self.machine.root,
            kubeconfig=Path("/x"),
            context="k3d-demo",
            port=int(self.machine.environ["TILT_PORT"]),
        )
        runner = SubprocessRunner({**self.machine.environ, "TILT_DOES": does}, self.cancel)
        return TiltProcess(tool, runner=runner, cancel=self.cancel, wait=wait, loading=loading, grace=grace)

    def left(self) -> list[int]:
        """Processes that carry this checkout's mark."""
        return carrying(f"{OWNER_VARIABLE}={self.machine.run_directory}")


@pytest.fixture
def bench(machine: Machine) -> Iterator[Bench]:
    made = Bench(machine)
    yield made
    assert made.left() == []


def test_it_is_found_again_by_looking(bench: Bench) -> None:
    started = bench.server().start(bench.lines.append)
    (bench.machine.run_directory / "tilt.pid").write_text("1\n")  # a lie
    found = bench.server().ours()
    assert found == started
    assert found.context == "k3d-demo"
    os.kill(started.pid, signal.SIGKILL)
    eventually(lambda: not is_alive(started.pid))
    assert bench.server().ours() is None, "what it ran is not Tilt, though it leads a session of its own"
    assert [process.pid for process in bench.server().orphans()] == bench.left() != []
    assert bench.server().ended_unexpectedly()
    assert bench.server().stop(bench.lines.append)
    assert not bench.server().stop(bench.lines.append), "nothing is left"
    assert not bench.server().ended_unexpectedly()


def test_what_takes_no_term_is_killed_with_its_session(bench: Bench) -> None:
    bench.server("stubborn").start(bench.lines.append)
    assert len(bench.left()) == 2
    bench.server(grace=0.3).stop(bench.lines.append)
    assert bench.left() == []


def test_one_that_never_answers_is_ended(bench: Bench) -> None:
    with pytest.raises(TimedOut, match=r"did not answer at http://127.0.0.1:\d+/ in 0.5 s; see .*tilt.log"):
        bench.server("hangs", wait=0.5).start(bench.lines.append)
    assert not (bench.machine.run_directory / "tilt.pid").exists()


def test_ctrl_c_while_waiting_ends_it(bench: Bench) -> None:
    server = bench.server("hangs")
    timer = Timer(0.4, bench.cancel.set, ["interrupted by Ctrl-C"])
    timer.start()
    with pytest.raises(Interrupted, match="Ctrl-C"):
        server.start(bench.lines.append)
    timer.join()


def test_a_tiltfile_that_loads_for_ever_times_out(bench: Bench) -> None:
    running = bench.server("loads for ever").start(bench.lines.append)
    assert bench.server().load_error(running) is None
    with pytest.raises(TimedOut, match=r"did not load the Tiltfile in 0.1 s; see http://127.0.0.1:\d+/"):
        bench.server(loading=0.1).await_load(running, bench.lines.append)
    timer = Timer(0.2, bench.cancel.set, ["interrupted by Ctrl-C"])
    timer.start()
    with pytest.raises(Interrupted, match="Ctrl-C"):
        bench.server().await_load(running, bench.lines.append)
    timer.join()
    assert is_alive(running.pid), "only the wait ends"
    bench.cancel = Cancel()
    bench.server().stop(bench.lines.append)
    with pytest.raises(TiltFault, match="does not answer"):
        bench.server().load_error(running)


def test_one_that_dies_has_its_last_words_shown(bench: Bench) -> None:
    with pytest.raises(TiltFault) as caught:
        bench.server("dies").start(bench.lines.append)
    assert caught.value.details[-1] == "Error: Tiltfile:3:1: no such thing"


def test_a_cluster_that_tilt_made_is_no_part_of_it(bench: Bench) -> None:
    """It has Tilt's environment, and a mark of its own."""
    from devtools.clusters.embedded.layout import CLUSTER_VARIABLE
    from devtools.process.runner import Command

    runner = SubprocessRunner({"PATH": "/usr/bin:/bin"}, Cancel())
    env = {OWNER_VARIABLE: str(bench.machine.run_directory), CLUSTER_VARIABLE: "x"}
    pid = runner.spawn(Command(argv=("sleep", "300"), env=env), bench.machine.root / "log")
    try:
        assert not bench.server().stop(bench.lines.append)
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))


def test_it_knows_its_own_port_whatever_is_asked_for_now(bench: Bench) -> None:
    running = bench.server().start(bench.lines.append)
    other = bench.server()
    other = replace(other, tool=replace(other.tool, port=1))
    found = other.ours()
    assert found is not None
    assert found.url == running.url
    bench.server().stop(bench.lines.append)
