"""Contracts as Flux checks them: objects that kstatus judges, and CEL expressions for what it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devtools.gitops.component import ChartInfo, Component, Note
from devtools.model import Contract

# Kinds that no CRD brings: (API version, whether it has a namespace).
_CORE = {
    **dict.fromkeys(
        (
            "ConfigMap",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ),
        ("v1", True),
    ),
    **dict.fromkeys(("Namespace", "Node", "PersistentVolume"), ("v1", False)),
    **dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), ("apps/v1", True)),
    **dict.fromkeys(("CronJob", "Job"), ("batch/v1", True)),
    **dict.fromkeys(("Ingress", "NetworkPolicy"), ("networking.k8s.io/v1", True)),
    **dict.fromkeys(("Role", "RoleBinding"), ("rbac.authorization.k8s.io/v1", True)),
    **dict.fromkeys(("ClusterRole", "ClusterRoleBinding"), ("rbac.authorization.k8s.io/v1", False)),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", False),
    "HorizontalPodAutoscaler": ("autoscaling/v2", True),
    "IngressClass": ("networking.k8s.io/v1", False),
    "PodDisruptionBudget": ("policy/v1", True),
    "PriorityClass": ("scheduling.k8s.io/v1", False),
    "StorageClass": ("storage.k8s.io/v1", False),
}
_CONDITION = re.compile(r"\.status\.conditions\[\?\(@\.type\s*==\s*[\"'](?P<type>\w+)[\"']\)\]\.(?P<field>\w+)")
_STEP = re.compile(r"\.(?P<key>(?:[\w/-]|\\\.)+)|\[(?P<index>\d+)\]|\[[\"'](?P<quoted>[^\"']+)[\"']\]")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
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


class Kinds:
    """The API version of every kind that the cluster or a chart of the stack has."""

    def __init__(self, charts: Iterable[ChartInfo]) -> None:
        """`charts` are those of the stack."""
        self._known = dict(_CORE)
        for chart in charts:
            for crd in chart.crds:
                self._known.setdefault(crd.kind, (crd.api_version, crd.namespaced))

    def find(self, contract: Contract) -> tuple[str, bool] | None:
        """Return the API version of a contract's kind and whether it has a namespace."""
        known = self._known.get(contract.kind)
        if contract.api_version and (known is None or known[0] != contract.api_version):
            return contract.api_version, True
        return known


def checks_of(component: Component, kinds: Kinds) -> tuple[tuple[Check, ...], tuple[Note, ...]]:
    """Return a component's contracts as Flux checks them, and a note for each that it cannot check."""
    checks: list[Check] = []
    notes: list[Note] = []
    for contract in component.contract:
        found = None if contract.http else kinds.find(contract)
        if found is None:
            why = "Flux makes no HTTP requests" if contract.http else "the API version of its kind is unknown"
            notes.append(_note(component, contract, f"is not checked: {why}"))
            continue
        api_version, has_namespace = found
        is_custom = contract.kind not in _CORE
        expression = expression_of(contract) if is_custom else ""
        if contract.jsonpath and not expression:
            notes.append(_note(component, contract, "is checked by the object's readiness only"))
        namespace = contract.namespace or component.namespace
        check = Check(
            api_version=api_version,
            kind=contract.kind,
            name=contract.name,
            namespace=namespace if has_namespace else "",
            expression=expression,
        )
        checks.append(check)
    return tuple(checks), tuple(notes)


def _note(component: Component, contract: Contract, message: str) -> Note:
    return Note(component=f"{component.environment}/{component.release}", message=f"contract {contract} {message}")


def expression_of(contract: Contract) -> str:
    """Return what must be true of an object, in CEL; empty if nothing more than that it is ready."""
    if contract.condition:
        return _condition(contract.condition, "status", "True")
    if not contract.jsonpath:
        return ""
    path = contract.jsonpath.strip().removeprefix("{").removesuffix("}")
    if found := _CONDITION.fullmatch(path):
        return _condition(found["type"], found["field"], contract.equals)
    value = _field(path)
    return f"string({value}) == {_text(contract.equals)}" if value else ""


def _condition(name: str, field: str, value: str) -> str:
    """Return that a condition has a value; `filter().all()` would hold if there is none."""
    return f"status.conditions.exists(c, c.type == {_text(name)} && c.{field} == {_text(value)})"


def _field(path: str) -> str:
    """Return a path of keys and indexes as CEL; empty if it is more than that."""
    words: list[str] = []
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return ""
        key = (step["key"] or step["quoted"] or "").replace("\\.", ".")
        if step["index"] is not None:
            words.append(f"[{step['index']}]")
        elif _NAME.fullmatch(key):
            words.append(f".{key}" if words else key)
        else:
            words.append(f"[{_text(key)}]")
        position = step.end()
    return "".join(words) if words and not words[0].startswith("[") else ""


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def health_expressions(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return healthCheckExprs: one for each kind, which holds for every object of it that no contract names."""
    by_kind: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        if check.expression:
            line = f"metadata.name != {_text(check.name)} || {check.expression}"
            by_kind.setdefault((check.api_version, check.kind), []).append(line)
    return [
        {"apiVersion": version, "kind": kind, "current": " && ".join(_grouped(lines))}
        for (version, kind), lines in sorted(by_kind.items())
    ]


def _grouped(lines: Sequence[str]) -> Iterable[str]:
    unique = list(dict.fromkeys(lines))
    return unique if len(unique) == 1 else (f"({line})" for line in unique)


def references(checks: Iterable[Check]) -> list[Mapping[str, str]]:
    """Return healthChecks, each object once."""
    found = [check.reference for check in checks]
    return [item for index, item in enumerate(found) if item not in found[:index]]
