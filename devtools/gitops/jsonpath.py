"""The subset of kubectl's JSONPath that exports can express in Lua and CEL."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STEP = re.compile(
    r"\.(?P<name>(?:[\w/-]|\\\.)+)"
    r"|\[['\"](?P<quoted>[^'\"\]]+)['\"]\]"
    r"|\[(?P<index>\d+)\]"
    r"|\[\?\(@\.(?P<key>[\w.-]+)\s*==\s*['\"](?P<value>[^'\"]*)['\"]\)\]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStep:
    """One step: a key, an index, or the first item of a list whose `key` is `value`."""

    name: str = ""
    index: int = -1
    key: str = ""
    value: str = ""


def steps_of(path: str) -> tuple[PathStep, ...] | None:
    """Return the steps of `{.status.conditions[?(@.type=="Ready")].status}`; None if it has others than these."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[PathStep] = []
    end = 0
    for match in _STEP.finditer(text):
        if match.start() != end:
            return None
        end = match.end()
        if match["index"] is not None:
            steps.append(PathStep(index=int(match["index"])))
        elif match["key"] is not None:
            steps.append(PathStep(key=match["key"], value=match["value"]))
        else:
            steps.append(PathStep(name=(match["quoted"] or match["name"]).replace("\\.", ".")))
    return tuple(steps) if steps and end == len(text) else None
