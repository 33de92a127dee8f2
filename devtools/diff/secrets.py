"""Finds what in a release's values is secret, so that helm's complaints can be shown without it; pure.

Helm quotes values in what it says of templates and schemas. Which values are secret is guessed from their keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devtools.process.runner import redact

_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|private.?key|api.?key|access.?key|signing.?key|encryption.?key"
    r"|connection.?string|dsn$|stringdata|htpasswd|salt$",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"(name|names|namespace|ref|refs|key|keys|path|type|kind|class|store|version|enabled|annotations|labels|provider)$"
    r"|^existing",
    re.IGNORECASE,
)
HIDDEN = "***"
SHORTEST = 6  # characters; shorter ones are ordinary words, and would blank them out


def secret_values(values: Any) -> tuple[str, ...]:
    """Strings of `SHORTEST` or more characters under keys that sound secret, at any depth."""
    return tuple(dict.fromkeys(_walk(values, secret=False)))


def without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with `HIDDEN` under keys that sound secret, and wherever else such a value stands."""
    known = secret_values(values)

    def shown(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            return {key: shown(item, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [shown(item, path) for item in value]
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value and is_secret(path):
            return HIDDEN
        return redact(value, known) if isinstance(value, str) else value

    return {key: shown(item, (str(key),)) for key, item in values.items()}


def is_secret(path: Iterable[str]) -> bool:
    """Whether the keys that lead to a value, or the name beside it, sound secret."""
    *above, last = path
    inside = False
    for key in above:
        inside = _sounds_secret(key, inside=inside, leaf=False)
    return _sounds_secret(last, inside=inside, leaf=True)


def _walk(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, secret=_sounds_secret(str(key), inside=secret, leaf=isinstance(item, str)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item, secret=secret)
    elif secret and isinstance(value, str) and len(value) >= SHORTEST:
        yield value


def _sounds_secret(key: str, *, inside: bool, leaf: bool) -> bool:
    """`password`, and what is inside `credentials`; but not `secretName`, nor the `name` of a secret."""
    sounds = bool(_SECRET.search(key)) and not key.lower().endswith("pullsecrets")
    if leaf and _HARMLESS.search(key):
        return sounds and bool(re.search(r"(private|api|access|signing|encryption).?key$", key, re.IGNORECASE))
    return sounds or inside
