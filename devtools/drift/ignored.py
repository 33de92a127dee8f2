"""Fields that a release's `ignore` leaves to other managers; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from devtools.diff.managed_fields import Step, Steps
from devtools.model import Ignore, ObjectRef


def is_ignored(ignored: Iterable[Ignore], ref: ObjectRef, body: Mapping[str, Any], steps: Steps) -> bool:
    """Return whether a field of an object is ignored, or inside an ignored one; `body` is the declared object."""
    group = ref.api_version.rpartition("/")[0]
    return any(
        _covers(pointer, body, steps)
        for item in ignored
        if item.kind == ref.kind and item.name in {"", ref.name} and item.group in {"", group}
        for pointer in item.paths
    )


def _covers(pointer: str, body: Any, steps: Steps) -> bool:
    """Return whether a JSON pointer leads to the steps or to a parent of them."""
    words = [word.replace("~1", "/").replace("~0", "~") for word in pointer.split("/")[1:]]
    if len(words) > len(steps):
        return False
    for word, step in zip(words, steps, strict=False):
        if not _is_same(word, body, step):
            return False
        body = _below(body, word)
    return True


def _is_same(word: str, parent: Any, step: Step) -> bool:
    """Return whether a pointer's token is a step: pointers use an index for list items, steps use keys."""
    if isinstance(step, str):
        return word == step
    if isinstance(step, int):
        return word == str(step)
    item = _below(parent, word)
    return isinstance(item, Mapping) and all(item.get(key) == value for key, value in step)


def _below(parent: Any, word: str) -> Any:
    if isinstance(parent, Mapping):
        return parent.get(word)
    if isinstance(parent, list) and word.isdigit() and int(word) < len(parent):
        return parent[int(word)]
    return None
