"""Converts contracts of releases to health checks in Lua, for kinds whose health Argo CD does not know."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.gitops.component import Component, KindInfo, Note
from devtools.gitops.jsonpath import PathStep, steps_of
from devtools.gitops.kinds import BUILTIN, kind_of
from devtools.model import Contract

_REFUSED = ("Invalid", "InvalidParameters", "InvalidSpec", "InvalidConfiguration", "Unsupported", "UnsupportedAddress")
Rule = tuple[str, str, str]  # condition, jsonpath, equals


@cache
def script(name: str) -> str:
    """Return a script, or a part of one.

    `application` is the health of an Application that another one deploys; Argo CD has no such check by default, so
    waves would not wait.
    """
    return read_file(Path(__file__).parent / "lua" / f"{name}.lua").decode()


@cache
def _known_kinds() -> dict[str, list[str]]:
    """Return the kinds whose health Argo CD knows without a customization, by API group; groups are patterns."""
    groups = read_map(read_file(Path(__file__).with_name("builtin_health.yaml")))
    return {group: kinds.split() for group, kinds in groups.items()}


def has_health(group: str, kind: str) -> bool:
    """Return whether Argo CD knows the health of a kind."""
    return any(
        "*" in kinds or kind in kinds
        for pattern, kinds in _known_kinds().items()
        if pattern == group or ("*" in pattern and fnmatch.fnmatchcase(group, pattern))
    )


def lua_of(
    components: Iterable[Component], crds: Mapping[str, KindInfo]
) -> tuple[Mapping[tuple[str, str], str], tuple[Note, ...]]:
    """Return Lua by (group, kind), and a note for each contract that a health check of Argo CD cannot express."""
    rules: dict[tuple[str, str], dict[str, list[Rule]]] = {}
    notes: list[Note] = []
    for component in components:
        for contract in component.release.contract:
            if message := _unmapped(contract, component, crds):
                notes.append(component.note(message))
                continue
            kind = kind_of(contract, crds)
            if contract.http or kind is None or not (contract.condition or contract.jsonpath):
                continue
            if has_health(kind.group, kind.kind) or kind.kind in BUILTIN:
                continue
            rule = (contract.condition, contract.jsonpath, contract.equals)
            found = rules.setdefault((kind.group, kind.kind), {}).setdefault(contract.name, [])
            found += [rule] if rule not in found else []
    return {key: _lua(names) for key, names in sorted(rules.items())}, tuple(dict.fromkeys(notes))


def _unmapped(contract: Contract, component: Component, crds: Mapping[str, KindInfo]) -> str:
    """Return why Argo CD cannot wait for a contract; empty if it can."""
    if contract.http:
        return f"contract '{contract}' is not checked: Argo CD makes no HTTP requests"
    kind = kind_of(contract, crds)
    if kind is None:
        return f"contract '{contract}' is not checked: the group of {contract.kind} is unknown; set its apiVersion"
    kinds = component.chart.kinds
    if kinds and contract.kind not in kinds and contract.kind != "CustomResourceDefinition":
        return f"contract '{contract}' is not checked: the chart has no {contract.kind}, so something else makes it"
    if contract.jsonpath and (steps_of(contract.jsonpath) is None or contract.hides(contract.equals)):
        return f"contract '{contract}' is not checked: Argo CD cannot evaluate its path"
    return ""


def _lua(names: Mapping[str, Sequence[Rule]]) -> str:
    """Return the script for all objects of a kind; objects that no contract names are healthy if any rule differs."""
    distinct = {tuple(rules) for rules in names.values()}
    head = 'hs = {status = "Progressing", message = "waiting for its contract"}\n'
    head += "local refused = {" + ", ".join(f"{reason} = true" for reason in _REFUSED) + "}\n" + script("current")
    if len(distinct) == 1:
        return head + _checks(next(iter(distinct))) + "return hs\n"
    parts = [
        f"if obj.metadata.name == {json.dumps(name)} then\n" + _indented(_checks(rules) + "return hs\n") + "end\n"
        for name, rules in sorted(names.items())
    ]
    return head + "".join(parts) + 'return {status = "Healthy", message = ""}\n'


def _checks(rules: Sequence[Rule]) -> str:
    """Return statements that leave hs Healthy only if every rule holds."""
    text = _check(rules[0])
    for rule in rules[1:]:
        text += 'if hs.status == "Healthy" then\n  hs.status = "Progressing"\n' + _indented(_check(rule)) + "end\n"
    return text


def _check(rule: Rule) -> str:
    condition, path, equals = rule
    if condition:
        return script("condition").replace("@TYPE@", json.dumps(condition))
    steps = steps_of(path) or ()
    expected = f"tostring(value) == {json.dumps(equals)}" if equals else 'value ~= nil and value ~= ""'
    lines = ["local value = obj"]
    for step in steps:
        lines += _descend(step)
    status = "obj.status ~= nil and current({}) and " if steps and steps[0].name == "status" else ""
    lines += [f"if {status}{expected} then", '  hs.status = "Healthy"', '  hs.message = ""', "end"]
    return "do\n" + _indented("\n".join(lines) + "\n") + "end\n"


def _descend(step: PathStep) -> list[str]:
    """Return Lua lines that take `value` one step down, to nil if there is nothing."""
    if step.name or step.index >= 0:
        key = json.dumps(step.name) if step.name else str(step.index + 1)
        return ['if type(value) == "table" then', f"  value = value[{key}]", "else", "  value = nil", "end"]
    return [
        "local found = nil",
        'if type(value) == "table" then',
        "  for _, item in ipairs(value) do",
        f"    if found == nil and item[{json.dumps(step.key)}] == {json.dumps(step.value)} then found = item end",
        "  end",
        "end",
        "value = found",
    ]


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
