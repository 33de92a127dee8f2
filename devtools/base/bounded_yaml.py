"""A YAML loader that does not go deeper than it may: libyaml's composer recurses until the process ends."""

from __future__ import annotations

from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooDeep(yaml.YAMLError):
    """What is nested deeper than the loader goes."""


class BoundedLoader(_Base):  # type: ignore[misc] # the C loader's type is Any
    """Counts the levels that the composer goes down; raises TooDeep beyond `deepest`."""

    deepest = 1000  # levels that the C stack surely holds

    def __init__(self, stream: Any) -> None:
        """At the top."""
        super().__init__(stream)
        self._depth = 0

    def descend_resolver(self, node: Any, index: Any) -> None:  # noqa: ARG002 - PyYAML's signature
        """The composer goes a level down."""
        self._depth += 1
        if self._depth > self.deepest:
            raise TooDeep(f"it is nested deeper than {self.deepest} levels")

    def ascend_resolver(self) -> None:
        """And up again."""
        self._depth -= 1
