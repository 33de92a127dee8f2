"""The tools of devtools, their pinned versions, and the versions accepted from a user's PATH.

tools.toml has the pins. This module decides how a version is requested and parsed; `probe` runs the tools.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devtools.base.open_file import read_file

Version = tuple[int, int, int]
Same = Literal["major", "minor", "never"]

_VERSION = re.compile(r"(?<![\w.])v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[0-9A-Za-z.-]+)?")
_EQUAL: dict[Same, int] = {"major": 1, "minor": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Programs built together from one go.mod, `tools/<name>/go.mod`; `version` is that of its main module."""

    name: str
    version: str
    module: str  # the module whose version this is
    packages: tuple[str, ...]
    stamps: tuple[str, ...] = ()  # the variable that `-X` sets, so that the program knows its version
    usually: str  # how long a first build takes on two cores, for users

    @property
    def ldflags(self) -> str:
        """The linker's flags: no symbol tables, and the version stamped in."""
        return " ".join(("-s -w", *(f"-X {stamp}" for stamp in self.stamps)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One program: its pinned version, and the rule for taking another one from PATH."""

    name: str
    version: str
    family: str = ""  # empty: from PyPI, a script next to the interpreter
    same: Same  # the number of leading parts in which a version from PATH must equal the pinned one
    at_least: bool = True  # and it must not be older
    ask: tuple[str, ...] = ("--version",)  # empty: it cannot print its version
    linux_only: bool = False
    lazy: bool = False  # built by the first command that needs it, not by `invoke toolchain`

    @property
    def rule(self) -> str:
        """The versions accepted from PATH, in words."""
        if self.same == "never":
            return "only ours"
        text = ".".join(self.version.split(".")[: _EQUAL[self.same]]) + ".x"
        return f"{text}, at least {self.version}" if self.at_least else text

    def accepts(self, found: str) -> bool:
        """Return whether `found`, as `read_version` returns it, may replace the pinned version."""
        if self.same == "never" or not found or "-" in found:
            return False  # a pre-release guarantees nothing
        theirs, ours = parts(found), parts(self.version)
        equal = _EQUAL[self.same]
        return theirs[:equal] == ours[:equal] and (theirs >= ours or not self.at_least)


def tool(name: str) -> Tool:
    """Return the tool of that name; KeyError for an unknown one."""
    return {item.name: item for item in TOOLS}[name]


def family(name: str) -> Family:
    """Return the family of that name; KeyError for an unknown one."""
    return {item.name: item for item in FAMILIES}[name]


def read_version(output: str) -> str:
    """Return the first `x.y.z` or `x.y.z-pre` that a tool printed, without `v` or build metadata; empty if none."""
    found = _VERSION.search(output)
    return "" if found is None else ".".join(found.groups()[:3]) + (found.group(4) or "")


def parts(version: str) -> Version:
    """Return `1.34.4` or `1.26` as numbers, missing parts as 0; anything after a `-` is dropped."""
    numbers = [int(part) for part in version.split("-", maxsplit=1)[0].split(".")]
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch


def _load() -> tuple[tuple[Family, ...], tuple[Tool, ...]]:
    """Read the families and tools of tools.toml; tools from PyPI have no packages to build."""
    families: list[Family] = []
    tools: list[Tool] = []
    for entry in tomllib.loads(read_file(Path(__file__).with_name("tools.toml")).decode())["families"]:
        version, own = entry["version"], entry.pop("tools")
        numbers = dict(zip(("major", "minor", "patch"), parts(version), strict=True), version=version)
        if "packages" in entry:
            stamps = tuple(stamp.format(**numbers) for stamp in entry.pop("stamps", ()))
            families.append(Family(**{**entry, "packages": tuple(entry["packages"])}, stamps=stamps))
        for item in own:
            ask = tuple(item.pop("ask", ("--version",)))
            tools.append(Tool(**item, version=version, family=entry["name"] if "packages" in entry else "", ask=ask))
    return tuple(families), tuple(tools)


FAMILIES, TOOLS = _load()
