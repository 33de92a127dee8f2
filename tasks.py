"""The tasks of this repository: those of the library."""

from devtools.tasks import namespace

__all__ = ["namespace"]
