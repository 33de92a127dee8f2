"""Hides what is secret in the fields of objects, so that the rest of them can be shown; pure.

Nothing of a Secret but its type and labels is shown; elsewhere what sounds secret is guessed from keys and names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from devtools.diff.difference import ABSENT
from devtools.diff.managed_fields import Step, Steps
from devtools.diff.secrets import HIDDEN, is_secret
from devtools.process.runner import redact

_SHOWN_OF_SECRETS = (("type",), ("immutable",), ("metadata", "labels"))
_SOUNDS = "passw|passphrase|secret|token|credential|private.?key|api.?key|access.?key"
_LINE = re.compile(rf"^(?P<key>.*?(?:{_SOUNDS})[^:=\n]*[:=][ \t]*)\S.*$", re.IGNORECASE | re.MULTILINE)


def is_hidden(kind: str, steps: Steps) -> bool:
    """Whether the value of a field may not be shown at all."""
    if kind == "Secret":
        return not any(steps[: len(shown)] == shown for shown in _SHOWN_OF_SECRETS)
    return is_secret([name for step in steps for name in _names(step)] or [""])


def veiled(value: Any, secrets: Sequence[str]) -> Any:
    """A value that may be shown, without the secrets in it: those that are known, and those whose keys sound so."""
    if isinstance(value, Mapping):
        named = str(value.get("name", ""))
        return {key: HIDDEN if _hides(str(key), item, named) else veiled(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [veiled(item, secrets) for item in value]
    return _LINE.sub(rf"\g<key>{HIDDEN}", redact(value, tuple(secrets))) if isinstance(value, str) else value


def _hides(key: str, item: Any, named: str) -> bool:
    """Whether a leaf is secret by its key, or as the value of what has a name (`env`)."""
    if isinstance(item, Mapping | list) or item is ABSENT:
        return False
    return is_secret([key]) or (key == "value" and is_secret([named, key]))


def _names(step: Step) -> list[str]:
    """What a step calls what is under it: of an item of a list the values of its keys."""
    if isinstance(step, str):
        return [step]
    return [] if isinstance(step, int) else [str(value) for _, value in step]
