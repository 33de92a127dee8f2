"""Contracts as Flux checks them: objects that kstatus evaluates, and CEL expressions for kinds it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from devtools.gitops.component import Component, KindInfo, Note, Object
from devtools.gitops.jsonpath import PathStep, steps_of
from devtools.gitops.kinds import BUILTIN, kind_of
from devtools.model import Contract

_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Check:
    """One contract: the object, and the CEL expression that must hold; none if kstatus is enough."""

    api_version: str
    kind: str
    name: str
    namespace: str  # empty: the kind has none
    expression: str = ""

    @property
    def reference(self) -> dict[str, str]:
        """Its entry under healthChecks."""
        where = {"namespace": self.namespace} if self.namespace else {}
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, **where}


def checks_of(component: Component, crds: Mapping[str, KindInfo]) -> tuple[tuple[Check, ...], tuple[Note, ...]]:
    """Return a component's contracts as Flux checks them, and a note for each that it cannot check."""
    checks: list[Check] = []
    notes: list[Note] = []
    for contract in component.release.contract:
        kind = None if contract.http else kind_of(contract, crds)
        if kind is None:
            unknown = f"the group of {contract.kind} is unknown; set its apiVersion"
            why = "Flux makes no HTTP requests" if contract.http else unknown
            notes.append(component.note(f"contract '{contract}' is not checked: {why}"))
            continue
        expression = "" if kind.kind in BUILTIN or contract.hides(contract.equals) else expression_of(contract)
        if contract.jsonpath and not expression:
            notes.append(component.note(f"contract '{contract}' is checked by the object's readiness only"))
        namespace = (contract.namespace or component.release.namespace) if kind.namespaced else ""
        checks.append(Check(kind.api_version, contract.kind, contract.name, namespace, expression))
    return tuple(checks), tuple(notes)


def expression_of(contract: Contract) -> str:
    """Return a contract's condition in CEL; empty if it is only readiness, or if CEL cannot express it."""
    if contract.condition:
        return _item("status.conditions", PathStep(key="type", value=contract.condition), ".status", "True")
    steps = steps_of(contract.jsonpath) if contract.jsonpath else None
    if not steps:
        return ""
    filters = [index for index, step in enumerate(steps) if step.key]
    if not filters:
        path = _path(steps)
        return f"string({path}) == {_text(contract.equals)}" if path else ""
    first, (at, *others) = steps[0], filters
    if others or not first.name:
        return ""
    return _item(_path(steps[:at]), steps[at], _path(steps[at + 1 :], below=True), contract.equals)


def _item(path: str, step: PathStep, below: str, value: str) -> str:
    """Return CEL for a list that has an item with a value; `filter().all()` would hold for an empty result."""
    return f"{path}.exists(item, item.{step.key} == {_text(step.value)} && string(item{below}) == {_text(value)})"


def _path(steps: Sequence[PathStep], *, below: bool = False) -> str:
    """Return keys and indexes in CEL; empty if the first is not a name."""
    words: list[str] = []
    for step in steps:
        if step.index >= 0:
            words.append(f"[{step.index}]")
        elif _NAME.fullmatch(step.name):
            words.append(f".{step.name}" if words or below else step.name)
        else:
            words.append(f"[{_text(step.name)}]")
    return "" if words and words[0].startswith("[") and not below else "".join(words)


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def health_expressions(checks: Sequence[Check]) -> list[Object]:
    """Return healthCheckExprs, one for each kind, which is true for every object of it that no contract names."""
    by_kind: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        if check.expression:
            line = f"metadata.name != {_text(check.name)} || {check.expression}"
            by_kind.setdefault((check.api_version, check.kind), []).append(line)
    found = []
    for (version, kind), lines in sorted(by_kind.items()):
        unique = list(dict.fromkeys(lines))
        current = " && ".join(f"({line})" for line in unique) if len(unique) > 1 else unique[0]
        found.append({"apiVersion": version, "kind": kind, "current": current})
    return found


def references(checks: Iterable[Check]) -> list[Mapping[str, str]]:
    """Return healthChecks, each object once."""
    return list({tuple(check.reference.items()): check.reference for check in checks}.values())
