"""The order of steps: against every possible order on small graphs, and as the engine does it on a cluster."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from threading import Barrier, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.engine.schedule import expected, levels
from devtools.events import Outcome, StepFinished
from devtools.model import Action, ChartRef, ReleaseId
from devtools.process.runner import Command, OnOutput, Result
from devtools.run_context.durations import Durations, durations_file, load_durations, read_durations, save_durations
from devtools.run_context.slots import Slots
from tests.kits.fuzzing import cases
from tests.kits.run import HERE, Bench, Recorder, config_map, deployment, plan, release, step
from tests.kits.waiting import eventually

Needs = Mapping[str, Sequence[str]]


def makespan(needs: Needs, seconds: Mapping[str, float], slots: int, rank: Callable[[str], float]) -> float:
    """How long a list schedule takes: whenever a slot is free, the ready step of the highest rank gets it."""
    ends: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    now = 0.0
    while len(ends) < len(needs):
        busy = {name for _, name in running}
        ready = [
            name
            for name in needs
            if name not in ends and name not in busy and all(need in ends for need in needs[name])
        ]
        for name in sorted(ready, key=lambda name: (-rank(name), name))[: slots - len(running)]:
            heapq.heappush(running, (now + seconds[name], name))
        now, name = heapq.heappop(running)
        ends[name] = now
    return now


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Needs, Mapping[str, float]]:
    names = [f"r{number}" for number in range(draw(st.integers(1, 6)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=2)) if index else []
        for index, name in enumerate(names)
    }
    return needs, {name: float(draw(st.integers(1, 9))) for name in names}


@given(graphs(), st.integers(2, 3))
@cases(60)
def test_the_longest_path_first_is_within_grahams_bound(graph: tuple[Needs, Mapping[str, float]], slots: int) -> None:
    needs, seconds = graph
    urgency = levels(needs, seconds.__getitem__)
    ours = makespan(needs, seconds, slots, urgency.__getitem__)
    orders = [{name: float(rank) for rank, name in enumerate(order)} for order in permutations(needs)]
    best = min(makespan(needs, seconds, slots, order.__getitem__) for order in orders)
    naive = makespan(needs, seconds, slots, lambda _: 0.0)
    bound = 2 - 1 / slots
    assert best <= ours <= bound * best + 1e-9
    assert ours <= bound * naive + 1e-9
    assert ours >= max(*urgency.values(), sum(seconds.values()) / slots) - 1e-9  # what nobody can beat


@given(graphs())
def test_a_level_is_the_longest_way_to_the_end(graph: tuple[Needs, Mapping[str, float]]) -> None:
    needs, seconds = graph
    urgency = levels(needs, seconds.__getitem__)

    def longest(name: str) -> float:
        return seconds[name] + max((longest(other) for other in needs if name in needs[other]), default=0.0)

    assert urgency == {name: pytest.approx(longest(name)) for name in needs}
    assert urgency == levels(
        {name: needs[name] for name in reversed(list(needs))}, seconds.__getitem__
    )  # however it is written


def test_a_chain_of_thousands_has_levels() -> None:
    needs = {str(number): [str(number - 1)] if number else [] for number in range(5000)}
    assert levels(needs, lambda _: 1.0)["0"] == 5000.0


def test_a_long_chain_begins_before_what_was_declared_first() -> None:
    """Four leaves declared before a chain of three: naive order leaves the chain for the end."""
    needs: Needs = {"a": [], "b": [], "c": [], "d": [], "x": [], "y": ["x"], "z": ["y"]}
    seconds = dict.fromkeys(needs, 1.0)
    order = {name: -float(rank) for rank, name in enumerate(needs)}
    assert makespan(needs, seconds, 2, order.__getitem__) == 5.0
    assert makespan(needs, seconds, 2, levels(needs, seconds.__getitem__).__getitem__) == 4.0


def test_a_duration_is_measured_or_guessed_from_the_kind() -> None:
    chart = ChartRef(name="platform/web", path=Path("web"))
    plain, vendored = step(release(chart, "a")), step(release(replace(chart, kind="vendored"), "a"))
    smoke = step(release(chart, "a", smoke=True))
    assert expected(plain, {}, test=True) < expected(vendored, {}, test=True) < expected(smoke, {}, test=True)
    assert expected(smoke, {}, test=False) == expected(plain, {}, test=True)
    assert expected(plain, {plain.id: 7.0}, test=True) == 7.0
    assert expected(smoke, {smoke.id: 70.0}, test=False) < 7.0  # that was with its tests
    still = replace(plain, action=Action.UNCHANGED)
    assert expected(still, {plain.id: 7.0}, test=True) < 0.1
    assert plain.release.where == HERE


def test_a_slot_goes_to_the_most_urgent_who_waits() -> None:
    slots, order = Slots(1), [ReleaseId("a", name) for name in ("last", "first", "second", "unknown")]
    slots.order({order[1]: 3.0, order[2]: 2.0, order[0]: 1.0})
    got: list[str] = []

    def work(who: ReleaseId) -> None:
        with slots.hold(who):
            got.append(who.name)

    threads = [Thread(target=work, args=(who,)) for who in order]
    with slots.hold(ReleaseId("a", "busy")):
        for thread in threads:
            thread.start()
        while len(slots._line) < len(order):
            threads[0].join(0.001)
    for thread in threads:
        thread.join(120)
    assert got == ["first", "second", "last", "unknown"]
    assert slots.queued(order[0]) > 0
    assert slots.queued(ReleaseId("a", "busy")) < slots.queued(order[0])


def test_slots_are_limited_and_released_after_an_error() -> None:
    slots, both = Slots(2), Barrier(2, timeout=120)

    def work(name: str) -> None:
        with suppress(ValueError), slots.hold(ReleaseId("a", name)):
            both.wait()  # only where two are in at once
            raise ValueError(name)

    threads = [Thread(target=work, args=(f"r{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert slots._free == 2


def test_durations_come_back_smoothed(tmp_path: Path) -> None:
    web, job = ReleaseId("a", "web"), ReleaseId("a", "job")
    file = durations_file(tmp_path, "stack", "context")
    first = load_durations(file)
    assert first.known == {}
    first.note(web, 4.0)
    first.note(job, 1.0)
    save_durations(file, first)
    second = load_durations(file)
    assert second.known == {web: 4.0, job: 1.0}
    second.note(web, 2.0)
    save_durations(file, second)
    assert load_durations(file).known == {web: 3.0, job: 1.0}
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert durations_file(tmp_path, "stack", "other") != file


def test_a_run_that_synced_nothing_writes_nothing(tmp_path: Path) -> None:
    file = durations_file(tmp_path, "stack", "context")
    save_durations(file, Durations(known={ReleaseId("a", "web"): 1.0}))
    assert not file.parent.exists()


def test_a_place_that_cannot_be_written_to_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "durations").write_text("in the way")
    noted = Durations()
    noted.note(ReleaseId("a", "web"), 1.0)
    save_durations(durations_file(tmp_path, "stack", "context"), noted)
    assert load_durations(durations_file(tmp_path, "stack", "context")).known == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 2, "seconds": {}}', '{"version": 1, "seconds": {"a/b": "x"}}', '{"version": 1}'],
)
def test_what_is_no_file_of_durations_is_nothing(text: str) -> None:
    assert read_durations(text).known == {}


@given(st.text(max_size=60))
def test_nothing_that_lies_there_is_an_error(text: str) -> None:
    assert isinstance(read_durations(text), Durations)


def test_numbers_that_are_none_are_left_out() -> None:
    text = '{"version": 1, "seconds": {"a/nan": NaN, "a/inf": Infinity, "a/minus": -1, "a/web": 2}}'
    assert read_durations(text).known == {ReleaseId("a", "web"): 2.0}


def test_the_engine_gives_slots_by_what_earlier_runs_took(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tail` was declared last, but what needs it took a minute: its helm does not come last."""
    chart = bench.chart("plain", config_map("{{ .Release.Name }}", a="b"))
    leaves = [bench.release(chart, name=name) for name in ("one", "two", "three", "four")]
    tail, slow = bench.release(chart, name="tail"), bench.release(chart, name="slow")
    made = plan(*map(step, leaves), step(tail), step(slow, tail))
    durations = Durations(known={slow.id: 6000.0, tail.id: 1.0, **{item.id: 1.0 for item in leaves}})
    slots = Slots(1)
    monkeypatch.setattr(Slots, "idle", lambda _: False)  # no helm begins before it has the slot

    class Slow(Recorder):
        """A leaf's helm takes until one of the chain waits for the slot, as long as there is one to come."""

        def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
            names = {item.argv[2] for item in self.commands}
            if command.argv[2] not in {"tail", "slow"} and "slow" not in names:
                eventually(lambda: any(-minus > 1000 for minus, *_ in slots._line))
            return super().run(command, on_output)

    ran = bench.run(made, slots=slots, durations=durations, runner=Slow(bench.cancel))
    order = [command.argv[2] for command in ran.runner.commands]
    assert order.index("tail") <= 1  # whoever came to the first slot before it
    assert order.index("slow") <= 3
    assert set(durations.measured) == {item.release.id for item in made.steps}
    assert durations.measured[slow.id] > 3000  # smoothed
    assert durations.measured[leaves[0].id] < 1000


def test_who_waits_for_readiness_holds_no_slot(bench: Bench) -> None:
    waits = deployment("web")
    waits["spec"]["minReadySeconds"] = 3
    late = bench.release(bench.chart("late", waits))
    quick = bench.release(bench.chart("quick", config_map("quick", a="b")))
    ran = bench.run(plan(step(late), step(quick)), slots=Slots(1), durations=Durations(known={late.id: 60.0}))
    assert [(event.release, event.outcome) for event in ran.all(StepFinished)] == [
        (str(quick.id), Outcome.INSTALLED),
        (str(late.id), Outcome.INSTALLED),
    ]
