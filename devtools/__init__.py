"""Local-dev orchestration for Kubernetes: one graph of layers, run, shown, tested and exported.

`from devtools import Project` is the library; nothing is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devtools.project import Project, Request

__all__ = ["Project", "Request"]


def __getattr__(name: str) -> Any:
    """Import the public API when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from devtools import project

    return getattr(project, name)
