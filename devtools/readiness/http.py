"""HTTP checks through a port-forward to a pod of a Service."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.events import Verdict
from devtools.kube.client import ApiError, Kube
from devtools.model import HttpCheck, ObjectRef
from devtools.readiness.observer import Observer

BODY = 256 * 1024  # bytes of an answer that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How one look at a contract ended.

    `final` failures cannot heal by waiting, `refused` ones hardly; `details` tell why.
    """

    verdict: Verdict
    value: str
    reason: str = ""
    final: bool = False
    refused: bool = False
    details: tuple[str, ...] = ()


class HttpProbe:
    """Sends requests to Services the way `kubectl port-forward` does."""

    def __init__(self, kube: Kube, observer: Observer, simulated: Callable[[Mapping[str, Any]], bool]) -> None:
        """`simulated` tells a pod that no kubelet runs: nothing listens there."""
        self._kube = kube
        self._observer = observer
        self._simulated = simulated

    def check(self, check: HttpCheck, namespace: str) -> Checked:
        """One request; simulated where only simulated pods stand behind the Service."""
        service = self._service(check, namespace)
        if service is None:
            return Checked(verdict=Verdict.FAILED, value="", reason=f"Service/{check.service} does not exist")
        ready = [pod for pod in self.pods(check, namespace) if _is_ready(pod)]
        if not ready:
            return Checked(verdict=Verdict.FAILED, value="", reason=f"no pod of Service/{check.service} is ready")
        real = [pod for pod in ready if not self._simulated(pod)]
        if not real:
            return Checked(verdict=Verdict.SIMULATED, value="not sent", reason="its pods are simulated")
        try:
            status, body = self._request(namespace, real[0], _port(service, real[0], check.port), check.path)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Checked(verdict=Verdict.FAILED, value="", reason=f"no answer: {error}")
        except ApiError as error:
            return Checked(verdict=Verdict.FAILED, value="", reason=f"no answer: {error.text}")
        good = status == check.status and check.contains in body
        reason = (
            "" if good else f"answered {status}" + ("" if status != check.status else f" without {check.contains!r}")
        )
        return Checked(verdict=Verdict.PASSED if good else Verdict.FAILED, value=str(status), reason=reason)

    def pods(self, check: HttpCheck, namespace: str) -> list[dict[str, Any]]:
        """The pods behind the Service, ready or not."""
        service = self._service(check, namespace)
        return [pod for pod in self._observer.pods(namespace) if service and _behind(service, pod)]

    def _service(self, check: HttpCheck, namespace: str) -> dict[str, Any] | None:
        return self._observer.get(ObjectRef("v1", "Service", namespace, check.service))

    def _request(self, namespace: str, pod: Mapping[str, Any], port: int, path: str) -> tuple[int, str]:
        """GET through the API server; status and the start of the body."""
        with self._kube.forward(namespace, str(pod["metadata"]["name"]), port) as link:
            connection = http.client.HTTPConnection("localhost", port)
            connection.sock = link
            try:
                connection.request("GET", path, headers={"Connection": "close"})
                with connection.getresponse() as answer:
                    return answer.status, answer.read(BODY).decode("utf-8", "replace")
            finally:
                connection.close()


def _behind(service: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    selector = (service.get("spec") or {}).get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def _port(service: Mapping[str, Any], pod: Mapping[str, Any], port: int) -> int:
    """The pod's port behind a Service's, by number or name."""
    for entry in (service.get("spec") or {}).get("ports") or ():
        if entry.get("port") == port:
            target = entry.get("targetPort", port)
            if isinstance(target, int):
                return target
            for container in pod["spec"].get("containers") or ():
                for named in container.get("ports") or ():
                    if named.get("name") == target:
                        return int(named["containerPort"])
    raise ValueError(f"the Service has no port {port}")
