"""Evaluates contracts against the API server.

A verdict is `passed` only if nothing behind it is simulated. The objects show that: a pod on a simulated node, or a
status whose field manager is kwok, makes it `simulated`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devtools.events import Verdict
from devtools.model import Contract, ObjectRef
from devtools.readiness.contract_evaluation import evaluate
from devtools.readiness.diagnostics import events_about, explain
from devtools.readiness.failures import Symptom
from devtools.readiness.http import Checked, HttpProbe
from devtools.readiness.observer import Observer
from devtools.readiness.rules import is_simulators, is_workload
from devtools.readiness.wait import FailureDetector, Patience, Wait

POD_KINDS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "Pod"})
REFUSED_FOR = 10.0  # seconds that an operator's refusal must last: a missing object may appear in a moment


class Contracts:
    """Evaluates contracts on one cluster; `real_node` is empty if every node is real or none is."""

    def __init__(
        self, observer: Observer, *, simulated: bool, real_node: str, refused_for: float = REFUSED_FOR
    ) -> None:
        """`simulated` says that some nodes of the cluster are; a refusal must last `refused_for` seconds."""
        self._refused_for = refused_for
        self._observer = observer
        self._simulated = simulated
        self._real_node = real_node
        self._http = HttpProbe(observer, self._is_simulated_pod)

    def wait_for(self, contract: Contract, namespace: str, wait: Wait) -> Checked:
        """Evaluate until the contract holds, cannot hold any more, or time is over; raise Interrupted on cancel.

        It cannot hold any more if a failure in the pods behind the object lasts too long, at any depth (such as the
        pods of a database behind its custom resource), or if the object's operator refuses it for as long.
        """
        detector = FailureDetector(self._observer)
        patience, polling, refused, value = Patience(), wait.polling(), 0.0, ""  # refused: since when
        while True:
            checked = self.check(contract, namespace)
            if checked.verdict is not Verdict.FAILED:
                return checked
            found = self._symptoms(detector, contract, namespace)
            if symptom := patience.expired(found):
                failure = detector.failure(symptom)
                reason = ": ".join(part for part in (checked.reason, failure.message) if part)
                return replace(checked, reason=reason, details=failure.details)
            same = checked.refused and checked.value == value
            refused, value = (refused if same and refused else time.monotonic()) * checked.refused, checked.value
            lost = refused and time.monotonic() - refused >= self._refused_for
            if checked.final or lost or wait.over():
                return replace(checked, details=tuple(self._details(contract, namespace, found)))
            polling.say([f"{contract}: {checked.reason}"])
            polling.rest()

    def simulated_pods(self, objects: Iterable[ObjectRef]) -> int:
        """Return how many pods behind these objects no kubelet runs: they are ready because a simulator says so."""
        if not self._simulated:
            return 0
        found: set[str] = set()
        for ref in objects:
            if ref.kind in POD_KINDS and (item := self._observer.get(ref)):
                pods = self._observer.pods_of(item)
                found.update(str(pod["metadata"].get("uid")) for pod in pods if self._is_simulated_pod(pod))
        return len(found)

    def check(self, contract: Contract, namespace: str) -> Checked:
        """Evaluate once; `namespace` is the release's."""
        namespace = contract.namespace or namespace
        if contract.http:
            return self._http.check(contract.http, namespace)
        ref = self._ref(contract, namespace)
        if ref is None:
            return Checked(verdict=Verdict.FAILED, value="", reason=f"the cluster serves no kind {contract.kind}")
        item = self._observer.get(ref)
        if item is None:
            return Checked(verdict=Verdict.FAILED, value="", reason=f"{ref} does not exist")
        return self._judge(contract, item)

    def _ref(self, contract: Contract, namespace: str) -> ObjectRef | None:
        """Return the object that a contract is about; None if its kind is not served."""
        resource = self._observer.kube.resource(contract.kind, contract.api_version)
        if resource is None:
            return None
        where = (contract.namespace or namespace) if resource.namespaced else ""
        return ObjectRef(resource.api_version, resource.kind, where, contract.name)

    def _judge(self, contract: Contract, item: Mapping[str, Any]) -> Checked:
        """Evaluate the contract against the object."""
        measured = evaluate(contract, item)
        if not measured.good:
            failed = Checked(verdict=Verdict.FAILED, value=measured.value, reason=measured.reason)
            return replace(failed, final=measured.final, refused=measured.refused)
        why = self._simulation(item)
        return Checked(verdict=Verdict.SIMULATED if why else Verdict.PASSED, value=measured.value, reason=why)

    def _symptoms(self, detector: FailureDetector, contract: Contract, namespace: str) -> list[Symptom]:
        """Return the failures behind the contract's object that look permanent."""
        if contract.http:
            pods = self._http.pods(contract.http, contract.namespace or namespace)
            found = [symptom for pod in pods for symptom in detector.of(pod, [pod])]
            return [symptom for symptom in found if symptom.reason != "Failed"]  # its owner starts another pod
        ref = self._ref(contract, namespace)
        item = self._observer.get(ref) if ref else None
        if item is None or not ref or not ref.namespace:
            return []
        return detector.of(item)

    def _details(self, contract: Contract, namespace: str, found: Sequence[Symptom]) -> list[str]:
        """Return what else is known about the object of a failed contract."""
        lines = [line for symptom in found[:2] for line in (str(symptom), *explain(self._observer.kube, symptom))]
        ref = self._ref(contract, namespace) if contract.kind else None
        if ref:
            lines += events_about(self._observer.kube, ref.namespace, ref.kind, ref.name)
        return list(dict.fromkeys(lines))

    def _simulation(self, item: Mapping[str, Any]) -> str:
        """Return the simulated part behind an object, if any."""
        if not self._simulated:
            return ""
        for field in item["metadata"].get("managedFields") or ():
            if is_simulators(field):
                return "its status is simulated"
        if not is_workload(item) and item.get("kind") not in {"Pod", "Job"}:
            return ""
        pods = self._observer.pods_of(item, since=time.monotonic())  # that are at least as new as what it says
        if any(map(self._is_simulated_pod, pods)):
            return "its pods are simulated"
        return ""

    def _is_simulated_pod(self, pod: Mapping[str, Any]) -> bool:
        node = (pod.get("spec") or {}).get("nodeName", "")
        return self._simulated and bool(node) and node != self._real_node
