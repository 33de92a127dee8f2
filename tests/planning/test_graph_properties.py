"""Random graphs: a plan's order respects every edge, and a cycle never gets through."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from devtools.errors import Location
from devtools.model import (
    Action,
    ChartRef,
    Environment,
    Facts,
    Layer,
    Need,
    Release,
    ReleaseFact,
    ReleaseId,
    Stack,
)
from devtools.planning.graph import check_graph
from devtools.planning.plan import Selection, down_plan, make_plan

WHERE = Location(file=Path("layers/10-a.yaml"))
Edge = tuple[int, int]


def identity(number: int) -> ReleaseId:
    return ReleaseId("ns", f"r{number}")


def stack_of(sizes: list[int], edges: set[Edge], smoke: set[int] = frozenset(), off: set[int] = frozenset()) -> Stack:  # type: ignore[assignment]
    """Layers of these sizes; an edge (a, b) is "a needs b", optional where b may be off."""
    layers = []
    number = 0
    needed: dict[int, list[int]] = {}
    for a, b in sorted(edges):
        needed.setdefault(a, []).append(b)
    for index, size in enumerate(sizes):
        releases = []
        for here in range(number, number + size):
            needs = [Need(release=identity(b), where=WHERE, optional=b in off) for b in needed.get(here, ())]
            releases.append(
                Release(
                    name=f"r{here}",
                    namespace="ns",
                    layer=f"{10 + index}-l",
                    chart=ChartRef(name="platform/web", path=Path()),
                    where=WHERE,
                    needs=tuple(needs),
                    smoke=here in smoke,
                    installed=here not in off,
                    disabled_by="a test" if here in off else "",
                )
            )
        number += size
        layers.append(
            Layer(name=f"{10 + index}-l", file=WHERE.file, stage="s", critical=index % 3 != 1, releases=tuple(releases))
        )
    return Stack(name="shop", root=Path(), environment=Environment(name="local"), layers=tuple(layers))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], set[Edge]]:
    """Layers, and edges that point backwards in one hidden order of each layer: no cycles, any declaration order."""
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    total = sum(sizes)
    layer_of = [index for index, size in enumerate(sizes) for _ in range(size)]
    hidden = sorted(draw(st.permutations(range(total))), key=lambda number: layer_of[number])
    rank = {number: position for position, number in enumerate(hidden)}
    if total < 2:
        return sizes, set()
    pairs = draw(st.sets(st.tuples(st.integers(0, total - 1), st.integers(0, total - 1)), max_size=20))
    return sizes, {(a, b) for a, b in pairs if rank[b] < rank[a]}


def everything(stack: Stack) -> Selection:
    return Selection(layers=tuple(layer.name for layer in stack.layers))


@given(graphs(), st.sets(st.integers(0, 30)), st.data())
def test_order_respects_every_edge(graph: tuple[list[int], set[Edge]], off: set[int], data: st.DataObject) -> None:
    sizes, edges = graph
    leaves = sorted(set(range(sum(sizes))) - {b for _, b in edges})
    smoke = set(data.draw(st.lists(st.sampled_from(leaves), max_size=2))) if leaves else set()
    stack = stack_of(sizes, edges, smoke, off)
    assert check_graph(stack) == []
    digests = dict.fromkeys((release.id for release in stack.releases()), "d")
    plan = make_plan(stack, everything(stack), Facts(), digests)
    assert sorted(step.id for step in plan.steps) == sorted(digests)
    place = {step.id: index for index, step in enumerate(plan.steps)}
    installed = {release.id for release in stack.releases() if release.installed}
    for step in plan.steps:
        assert all(place[need] < place[step.id] for need in step.needs)
        wanted = {need.release for need in step.release.needs} & installed if step.release.installed else set()
        assert wanted <= set(step.needs)
    assert plan == make_plan(stack, everything(stack), Facts(), digests)
    assert {step.action for step in plan.steps} <= {Action.INSTALL, Action.DISABLED}


@given(graphs())
def test_down_is_the_other_way_round(graph: tuple[list[int], set[Edge]]) -> None:
    stack = stack_of(*graph)
    facts = Facts(
        releases={
            release.id: ReleaseFact(id=release.id, status="deployed", revision=1, stack="shop")
            for release in stack.releases()
        }
    )
    place = {step.id: index for index, step in enumerate(down_plan(stack, everything(stack), facts).steps)}
    assert len(place) == len(stack.releases())
    for release in stack.releases():
        assert all(place[release.id] < place[need.release] for need in release.needs)


@given(graphs(), st.data())
def test_a_cycle_is_always_found(graph: tuple[list[int], set[Edge]], data: st.DataObject) -> None:
    sizes, edges = graph
    sizes = [*sizes, 4]
    first = sum(sizes) - 4
    length = data.draw(st.integers(1, 4))
    cycle = data.draw(st.permutations(range(first, first + 4)))[:length]
    closed = {(cycle[index], cycle[(index + 1) % length]) for index in range(length)}
    problems = check_graph(stack_of(sizes, edges | closed))
    (problem,) = [problem for problem in problems if problem.message.startswith("cycle: ")]
    words = problem.message.removeprefix("cycle: ").split(" needs ")
    assert words[0] == words[-1]
    assert set(words) == {str(identity(number)) for number in cycle}


def test_a_chain_of_thousands_is_no_cycle() -> None:
    edges = {(number, number + 1) for number in range(2999)}
    stack = stack_of([3000], edges)
    assert check_graph(stack) == []
