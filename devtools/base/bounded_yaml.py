"""A YAML loader with a nesting limit: libyaml's composer would recurse until the process crashes."""

from __future__ import annotations

from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooDeep(yaml.YAMLError):
    """The document is nested deeper than the loader's limit."""


class BoundedLoader(_Base):  # type: ignore[misc] # the C loader's type is Any
    """Counts the composer's nesting levels; raises TooDeep beyond `deepest`."""

    deepest = 1000  # levels that certainly fit the C stack

    def __init__(self, stream: Any) -> None:
        """Start at the top level."""
        super().__init__(stream)
        self._depth = 0

    def descend_resolver(self, node: Any, index: Any) -> None:  # noqa: ARG002 - PyYAML's signature
        """Count one level more."""
        self._depth += 1
        if self._depth > self.deepest:
            raise TooDeep(f"it is nested deeper than {self.deepest} levels")

    def ascend_resolver(self) -> None:
        """Count one level less."""
        self._depth -= 1
