"""A YAML loader with a nesting limit: libyaml's composer would recurse until the process crashes."""

from __future__ import annotations

from typing import Any

import yaml

PLAIN = "plain"
"""The tag of unquoted scalars."""
STANDARD = "tag:yaml.org,2002:"
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooDeep(yaml.YAMLError):
    """The document is nested deeper than the loader's limit."""


class BoundedLoader(_Base):  # type: ignore[misc] # the C loader's type is Any
    """Composes nodes; tags unquoted scalars `plain`, and raises TooDeep beyond `deepest` nesting levels."""

    deepest = 1000  # levels that certainly fit the C stack

    def __init__(self, stream: Any) -> None:
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

    def resolve(self, kind: type, value: str | None, implicit: Any) -> str:  # noqa: ARG002 - PyYAML's signature
        """Return the tag of a node that has none."""
        if kind is yaml.ScalarNode:
            return PLAIN if implicit[0] else f"{STANDARD}str"
        return f"{STANDARD}{'seq' if kind is yaml.SequenceNode else 'map'}"
