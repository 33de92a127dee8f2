"""Synthetic graphs of releases: wide, deep, skewed."""

from __future__ import annotations

from dataclasses import dataclass

SHAPES = ("wide", "deep", "skewed")
SLOW = 2  # seconds that a release on the skewed graph's chain takes to become ready
CHAINS = 4  # of the deep graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One release: its name, what it needs, and the seconds that its pod must be up before it counts as available."""

    name: str
    needs: tuple[str, ...] = ()
    delay: int = 0


def graph(shape: str, size: int) -> tuple[Node, ...]:
    """`size` releases, in the order they are declared; ValueError for a shape that is none."""
    return {"wide": _wide, "deep": _deep, "skewed": _skewed}[shape](size)


def _wide(size: int) -> tuple[Node, ...]:
    """All but one need the first: every order is as good as any other."""
    return (Node(name="r0"), *(Node(name=f"r{number}", needs=("r0",)) for number in range(1, size)))


def _deep(size: int) -> tuple[Node, ...]:
    """Four chains side by side."""
    return tuple(
        Node(name=f"r{number}", needs=(f"r{number - CHAINS}",) if number >= CHAINS else ()) for number in range(size)
    )


def _skewed(size: int) -> tuple[Node, ...]:
    """Many that nothing needs are declared first; a fifth are a chain of slow ones (at most 12), declared last.

    Who syncs level by level waits for a slow one on each level; who takes what was declared first begins the chain
    last.
    """
    chain = min(12, max(3, size // 5))
    leaves = tuple(Node(name=f"r{number}") for number in range(size - chain))
    return (
        *leaves,
        *(
            Node(name=f"slow{number}", needs=(f"slow{number - 1}",) if number else (), delay=SLOW)
            for number in range(chain)
        ),
    )


def critical_path(nodes: tuple[Node, ...], each: float) -> float:
    """Seconds along the longest chain, where a release takes `each` seconds and its delay."""
    ends: dict[str, float] = {}
    for node in nodes:  # declared after what they need
        ends[node.name] = each + node.delay + max((ends[need] for need in node.needs), default=0.0)
    return max(ends.values(), default=0.0)


def batches(needs: dict[str, tuple[str, ...]]) -> list[list[str]]:
    """Level by level, as helmfile and a chain of xargs go: each level needs only earlier ones."""
    level: dict[str, int] = {}
    for name, wanted in needs.items():  # declared after what they need
        level[name] = 1 + max((level[need] for need in wanted), default=-1)
    return [[name for name in needs if level[name] == number] for number in range(max(level.values(), default=-1) + 1)]
