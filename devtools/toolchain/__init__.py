"""Finds the pinned tools, or builds them once into the user's cache."""

from __future__ import annotations

from devtools.toolchain.chain import Source, Toolchain, ToolRow

__all__ = ["Source", "ToolRow", "Toolchain"]
