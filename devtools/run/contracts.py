"""Evaluates contracts against the API server.

A verdict is `passed` only where nothing simulated stands behind it. That is read off the objects themselves: a pod
on a simulated node, or a status whose field manager is kwok, makes it `simulated`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from devtools.clients.kube import Kube
from devtools.errors import ConfigError, Problem
from devtools.run.events import Verdict
from devtools.run.http import Checked, HttpProbe
from devtools.run.readiness import WORKLOADS, condition, job_result, waits_for
from devtools.run.waiting import Observer, Wait, pods_of
from devtools.stack.model import Contract, ObjectRef

SIMULATOR = "kwok"  # prefix of the field managers that Stages write with


class Contracts:
    """Evaluates contracts on one cluster; `real_node` is empty where every node is real or none is."""

    def __init__(self, kube: Kube, observer: Observer, *, simulated: bool, real_node: str) -> None:
        """`simulated` says that some nodes of the cluster are."""
        self._kube = kube
        self._observer = observer
        self._simulated = simulated
        self._real_node = real_node

    def settle(self, contract: Contract, namespace: str, wait: Wait) -> Checked:
        """Look until the contract holds, cannot heal, or time is over; Interrupted on cancel."""
        pause, last = 0.05, ""
        while True:
            checked = self.check(contract, namespace)
            if checked.verdict is not Verdict.FAILED or checked.final or wait.over():
                return checked
            if checked.reason != last:
                wait.say(f"{contract}: {checked.reason}")
                last = checked.reason
            wait.pause(pause)
            pause = min(pause * 1.5, 0.5)

    def check(self, contract: Contract, namespace: str) -> Checked:
        """One look; `namespace` is the release's."""
        namespace = contract.namespace or namespace
        if contract.http:
            return HttpProbe(self._kube, self._observer, self._is_simulated_pod).check(contract.http, namespace)
        resource = self._kube.resource(contract.kind, contract.api_version)
        if resource is None:
            self._kube.discover()
            return Checked(verdict=Verdict.FAILED, value="", reason=f"the cluster serves no kind {contract.kind}")
        ref = ObjectRef(resource.api_version, resource.kind, namespace if resource.namespaced else "", contract.name)
        item = self._observer.get(ref)
        if item is None:
            return Checked(verdict=Verdict.FAILED, value="", reason=f"{ref} does not exist")
        return self._judge(contract, item)

    def _judge(self, contract: Contract, item: Mapping[str, Any]) -> Checked:
        """The object against the contract."""
        value, good, reason = _measure(contract, item)
        if not good:
            return Checked(verdict=Verdict.FAILED, value=value, reason=reason)
        why = self._simulation(item)
        return Checked(verdict=Verdict.SIMULATED if why else Verdict.PASSED, value=value, reason=why)

    def _simulation(self, item: Mapping[str, Any]) -> str:
        """What simulated thing stands behind an object, if any."""
        if not self._simulated:
            return ""
        for field in item["metadata"].get("managedFields") or ():
            if field.get("subresource") == "status" and str(field.get("manager", "")).startswith(SIMULATOR):
                return "its status is simulated"
        if item.get("kind") in WORKLOADS | {"Pod", "Job"}:
            pods = pods_of(self._observer, item)
            if any(self._is_simulated_pod(pod) for pod in pods):
                return "its pods are simulated"
        return ""

    def _is_simulated_pod(self, pod: Mapping[str, Any]) -> bool:
        node = (pod.get("spec") or {}).get("nodeName", "")
        return self._simulated and bool(node) and node != self._real_node


def _measure(contract: Contract, item: Mapping[str, Any]) -> tuple[str, bool, str]:
    """The value seen, whether it keeps the contract, and what is wrong with it."""
    if contract.condition:
        found = condition(item, contract.condition)
        value = str(found.get("status", "absent"))
        said = ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
        return f"{contract.condition}={value}", value == "True", f"{contract.condition} is {value}" + _after(said)
    if contract.jsonpath:
        value = ", ".join(_find(contract, item))
        good = value == contract.equals if contract.equals else bool(value)
        return value, good, f"{contract.jsonpath} is {value or 'absent'}" + _after(_message(item))
    if item.get("kind") == "Job":
        result, message = job_result(item)
        return result or "running", result == "complete", message or "is running"
    if item.get("kind") == "PersistentVolumeClaim":
        phase = str((item.get("status") or {}).get("phase", "Pending"))
        return phase, phase == "Bound", f"is {phase}"
    reason = waits_for(item)
    return reason or "ready", not reason, reason


def _find(contract: Contract, item: Mapping[str, Any]) -> Iterator[str]:
    """The values at a contract's path, in kubectl's notation `{.status.phase}`."""
    from jsonpath_ng.exceptions import JSONPathError  # noqa: PLC0415 - only contracts with a path pay for it
    from jsonpath_ng.ext.parser import parse  # noqa: PLC0415

    text = contract.jsonpath.strip().removeprefix("{").removesuffix("}")
    try:
        found = parse(f"${text}").find(item)
    except JSONPathError as error:
        problem = Problem(where=contract.where, message=f"jsonpath {contract.jsonpath!r} cannot be read: {error}")
        raise ConfigError("a contract cannot be evaluated", problems=(problem,)) from error
    for match in found:
        yield str(match.value).lower() if isinstance(match.value, bool) else str(match.value)


def _message(item: Mapping[str, Any]) -> str:
    """The message of a custom resource's status, where it has one."""
    status = item.get("status") or {}
    if isinstance(status.get("message"), str):
        return str(status["message"])
    bad = [entry for entry in status.get("conditions") or () if entry.get("status") == "False" and entry.get("message")]
    return str(bad[0]["message"]) if bad else ""


def _after(text: str) -> str:
    return f" ({text})" if text else ""


def deadline(seconds: float) -> float:
    """`seconds` from now on the monotonic clock."""
    return time.monotonic() + seconds
