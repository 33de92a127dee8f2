"""Findings of `gitops.verify`, and its rules (`rules.yaml`), from which the documentation's table is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.errors import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what happens if the error is not found, and what to do."""

    engine: Literal["Argo CD", "Flux", "both"]
    effect: str
    fix: str


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One error in a GitOps tree."""

    file: Path
    line: int
    column: int
    rule: str
    message: str
    hint: str


def finding(rule: str, where: Location, message: str, hint: str = "") -> Finding:
    """Return a finding of a rule, with the rule's own fix if `hint` is empty."""
    return Finding(where.file, where.line, where.column, rule, message, hint or RULES[rule].fix)


_FILE = Path(__file__).with_name("rules.yaml")
RULES = {name: Rule(**keys) for name, keys in read_map(read_file(_FILE)).items()}
