"""Marks values as secret that references copied from secrets of the environment; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from devtools.model import Environment
from devtools.redaction.keys import is_common
from devtools.redaction.origin import marked
from devtools.redaction.redactor import SHORTEST
from devtools.redaction.values import secret_values


def marking(environment: Environment) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return a function that marks an environment's secrets in values of releases, under whatever keys.

    A text that contains a secret is marked as a whole. Short secrets are not searched: they occur by chance.
    """
    secrets = secret_values(environment.values) if environment.references else ()
    known = tuple(secret for secret in secrets if len(secret) >= SHORTEST and not is_common(secret))

    def mark(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: mark(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [mark(item) for item in value]
        if isinstance(value, str):
            return marked(value) if any(secret in value for secret in known) else value
        return marked(value) if isinstance(value, int | float) and str(value) in known else value

    return mark if known else lambda values: values
