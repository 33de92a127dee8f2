"""HTTP checks through port-forwards to the pods of a Service."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from devtools.events import Verdict
from devtools.kube.client import ApiError
from devtools.model import HttpCheck, ObjectRef
from devtools.process.waiting import within
from devtools.readiness.endpoints import is_behind, is_ready, selects_nothing
from devtools.readiness.observer import Observer
from devtools.readiness.rules import selects

BODY = 256 * 1024  # bytes of an answer that are checked
SERVER_ERROR = 500
ANSWER_FOR = 20.0  # seconds from making the port-forward to the end of the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The result of one evaluation of a contract.

    Waiting cannot resolve a `final` failure and rarely resolves a `refused` one; `details` show why.
    """

    verdict: Verdict
    value: str
    reason: str = ""
    final: bool = False
    refused: bool = False
    details: tuple[str, ...] = ()


class HttpProbe:
    """Sends requests to Services the way `kubectl port-forward` does."""

    def __init__(self, observer: Observer, simulated: Callable[[Mapping[str, Any]], bool]) -> None:
        """`simulated` returns whether no kubelet runs a pod, so that nothing listens there."""
        self._observer = observer
        self._simulated = simulated

    def check(self, check: HttpCheck, namespace: str) -> Checked:
        """Send a request to every pod behind the Service; the result is simulated if a simulator runs one of them.

        A wrong answer is final once it is stable, except a server error, which a pod that just started may give.
        """
        service = self._service(check, namespace)
        if service is None:
            return _failed(f"Service/{check.service} does not exist")
        behind = self.pods(check, namespace)
        if not behind:
            return _failed(selects_nothing(service, check.service))
        ready = [pod for pod in self._current(behind, namespace) if is_ready(pod)]
        if not ready:
            return _failed(f"no pod of Service/{check.service} is ready")
        real = [pod for pod in ready if not self._simulated(pod)]
        answers = [self._ask(service, pod, check, namespace) for pod in real]
        if bad := [answer for answer in answers if answer.verdict is Verdict.FAILED]:
            return min(bad, key=lambda answer: answer.refused)  # one that waiting may resolve decides
        if len(real) < len(ready):
            which = "its pods are" if not real else f"{len(ready) - len(real)} of its {len(ready)} ready pods are"
            value = answers[0].value if answers else "not sent"
            return Checked(verdict=Verdict.SIMULATED, value=value, reason=f"{which} simulated")
        return answers[0]

    def pods(self, check: HttpCheck, namespace: str) -> list[dict[str, Any]]:
        """Return the pods behind the Service, ready or not, without those that are terminating."""
        service = self._service(check, namespace)
        pods = self._observer.pods(namespace)
        return [
            pod for pod in pods if service and is_behind(service, pod) and not pod["metadata"].get("deletionTimestamp")
        ]

    def _current(self, pods: list[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
        """Return the pods without those of a Deployment's older revisions."""
        old: set[str] = set()
        for item in self._observer.items("apps/v1", "Deployment", namespace):
            own = {_uid(pod) for pod in pods if selects(item, pod)}
            if own:
                old |= own - {_uid(pod) for pod in self._observer.pods_of(item)}
        return [pod for pod in pods if _uid(pod) not in old]

    def _ask(self, service: Mapping[str, Any], pod: Mapping[str, Any], check: HttpCheck, namespace: str) -> Checked:
        """Send one request to one pod."""
        name = pod["metadata"]["name"]
        try:
            port = _port(service, pod, check.port)
            ask = partial(self._request, namespace, pod, port, check.path)
            status, body = within(ANSWER_FOR, self._observer.kube.cancel, ask)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return _failed(f"no answer: {error}")
        except ApiError as error:
            return _failed(f"no answer: {error.text}")
        if status == check.status and check.contains in body:
            return Checked(verdict=Verdict.PASSED, value=str(status))
        without = "" if status != check.status else f" without {check.contains!r}"
        return Checked(
            verdict=Verdict.FAILED,
            value=str(status),
            reason=f"Pod/{name} answered {status}{without}",
            refused=status < SERVER_ERROR,
        )

    def _service(self, check: HttpCheck, namespace: str) -> dict[str, Any] | None:
        return self._observer.get(ObjectRef("v1", "Service", namespace, check.service))

    def _request(self, namespace: str, pod: Mapping[str, Any], port: int, path: str) -> tuple[int, str]:
        """Send GET through the API server; return status and the start of the body."""
        with self._observer.kube.forward(namespace, str(pod["metadata"]["name"]), port) as link:
            connection = http.client.HTTPConnection("localhost", port)
            connection.sock = link
            try:
                connection.request("GET", path, headers={"Connection": "close"})
                with connection.getresponse() as answer:
                    return answer.status, answer.read(BODY).decode("utf-8", "replace")
            finally:
                connection.close()


def _failed(reason: str) -> Checked:
    """Return the result if there is no answer to check."""
    return Checked(verdict=Verdict.FAILED, value="", reason=reason)


def _uid(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("uid", ""))


def _port(service: Mapping[str, Any], pod: Mapping[str, Any], port: int) -> int:
    """Return the pod's port behind a Service's, by number or name."""
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
