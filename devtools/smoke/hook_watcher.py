"""Watches the hooks that a helm process waits for: helm reports neither why one hangs nor what a failed one printed.

Nor does helm, while it waits for a hook, notice before its own timeout that the API server is unreachable.

The release's record names the hooks; helm writes it before it runs the first one.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.helm.ownership import revision_of
from devtools.helm.record import read_document
from devtools.kube.client import ServerGone
from devtools.kube.logs import log_lines
from devtools.model import ObjectRef, ReleaseId
from devtools.process.runner import Cancel, Result
from devtools.readiness.attempts import last_attempt
from devtools.readiness.diagnostics import LOG_LINES
from devtools.readiness.failures import Symptom, gone
from devtools.readiness.rules import container_statuses, has_begun, job_result
from devtools.readiness.wait import Failure, FailureDetector, Patience
from devtools.releases.helm_process import HelmProcess
from devtools.releases.recovery import records
from devtools.run_context.session import Session

FIRST_LOOK = 1.0  # seconds; most releases have no hooks that take longer
PAUSE = 0.3
LINGER = 10.0  # seconds that helm may take to notice that a hook has failed
_GO_ON = "invoke cluster.status; when the server is back, the same command continues from here"
_API_VERSIONS = {"Job": "batch/v1", "Pod": "v1"}
_VERBS = {  # helm's operation, by the status of the release meanwhile
    "pending-install": "install",
    "pending-upgrade": "upgrade",
    "pending-rollback": "rollback",
    "uninstalling": "delete",
}


@dataclass(slots=True, kw_only=True)
class HookWatch:
    """Watches the hooks that one helm process makes; `say` gets the reason of a long wait."""

    session: Session
    release: ReleaseId
    verb: str  # of helm
    say: Callable[[str], None]
    _shown: str = ""
    _hooks: dict[ObjectRef, str] | None = None  # with the event of each, `pre-install`; None: no record
    _removed_by_helm: frozenset[ObjectRef] = frozenset()
    _since: str = ""  # creation time of the record: older objects are of an earlier run
    _patience: Patience = field(default_factory=Patience)
    _detector: FailureDetector = field(init=False)
    _failure: DevtoolsError | None = None
    _running: dict[ObjectRef, str] = field(default_factory=dict)  # and its failed attempts so far
    _tails: dict[tuple[str, str], deque[str]] = field(default_factory=dict)  # of each container that has begun

    def __post_init__(self) -> None:
        self._detector = FailureDetector(self.session.observer)

    def run(self, launch: HelmProcess) -> Result:
        """Watch a helm that starts now, and return its result.

        Raises Failure if a hook fails or cannot end, EnvironmentFault if the API server stays unreachable for longer
        than its client waits; both end helm.
        """
        helm = launch.result
        try:
            wait_for((helm,), FIRST_LOOK)
            self._watch(helm, launch.stop)
        finally:
            wait_for((helm,))
        result = helm.result()
        if not result.ok and self._hooks and not self._failure:
            self._look()
        cancel = self.session.cancel
        if self._failure and not result.ok and (not cancel.is_set() or cancel.error is self._failure):
            raise self._failure
        return result

    def log(self) -> tuple[str, ...]:
        """Return the last lines of its hooks' containers."""
        return tuple(f"log {name}: {line}" for (_, name), tail in self._tails.items() for line in tail)

    def _watch(self, helm: Future[Result], stop: Cancel) -> None:
        """Check until helm has ended; end it if its wait cannot succeed."""
        deadline = 0.0
        if not helm.done():
            self._tell()
        while not helm.done() and self._hooks != {}:
            if self._failure is None:
                deadline = time.monotonic() + (LINGER if self._look() else 0.0)
                self._tell()
            elif time.monotonic() >= deadline:
                stop.set("its wait cannot succeed")
            wait_for((helm,), PAUSE if self._hooks else FIRST_LOOK)

    def _tell(self) -> None:
        """Report which hooks run, otherwise that helm runs, if that has changed."""
        hooks = self._hooks or {}
        running = sorted(
            f"{ref} ({hooks[ref]} hook{': ' * bool(attempts)}{attempts})" for ref, attempts in self._running.items()
        )
        what = ", ".join(running) or f"helm {self.verb}"
        if what != self._shown:
            self._shown = what
            self.say(what)

    def _look(self) -> bool:
        """Check every hook and record failures; return whether helm will notice by itself."""
        try:
            if self._hooks is None:
                self._hooks = self._read()
            found = [(symptom, event) for ref, event in (self._hooks or {}).items() for symptom in self._symptoms(ref)]
            if expired := self._patience.expired([symptom for symptom, _ in found]):
                event = next(event for symptom, event in found if symptom is expired)
                self._failure = self._failed(expired, event)
                return expired.reason == "Failed"
        except EnvironmentFault as error:  # it was retried for as long as the client waits
            kind = ServerGone if isinstance(error, ServerGone) else EnvironmentFault
            self._failure = kind(error.message + " (helm waited for a hook)" * bool(self._hooks), hint=_GO_ON)
            if kind is ServerGone:
                self.session.cancel.fail(self._failure)  # nothing that still runs can succeed
        except DevtoolsError:  # a read that fails now is left to the next check, and helm reports errors
            return False
        return False

    def _failed(self, symptom: Symptom, event: str) -> Failure:
        """Return the failure of the release that a hook's failure means, with its container's output."""
        failure = self._detector.failure(symptom)
        details = list(failure.details)
        if not any(line.startswith("log ") for line in details):  # helm may have removed the pod
            job = symptom.object.partition("/")[2] + "-"  # begins the names of its pods
            details += [
                f"log {container}: {line}"
                for (pod, container), tail in list(self._tails.items())
                if (pod, container) == (symptom.pod, symptom.container) or (not symptom.pod and pod.startswith(job))
                for line in tail
            ]
        return Failure(f"{event} hook: {failure.message}", hint=failure.hint, details=details)

    def _follow(self, item: Mapping[str, Any]) -> None:
        """Read the logs of a hook's containers while they run: helm may remove the pod as soon as it has failed."""
        for pod in self.session.observer.pods_of(item):
            name = str(pod["metadata"]["name"])
            for state in container_statuses(pod):
                key = (name, str(state["name"]))
                if key not in self._tails and has_begun(state):
                    self._tails[key] = deque(maxlen=LOG_LINES)
                    Thread(target=self._tail, args=(pod, key), name=f"log-{name}", daemon=True).start()

    def _tail(self, pod: Mapping[str, Any], key: tuple[str, str]) -> None:
        """Read the end of one container's log."""
        with contextlib.suppress(DevtoolsError):
            for line in log_lines(self.session.kube, self.release.namespace, pod, key[1], follow="true"):
                self._tails[key].append(line)

    def _symptoms(self, ref: ObjectRef) -> list[Symptom]:
        """Return the possibly permanent failures of one running hook."""
        item = self.session.observer.get(ref)
        if item is None:
            if self._running.pop(ref, None) is None or ref in self._removed_by_helm:
                return []  # helm deletes an ended hook by its policy, perhaps before its end was observed
            self._running[ref] = ""
            return [gone(ref.kind, ref.namespace, ref.name)]
        if str(item["metadata"]["creationTimestamp"]) < self._since:
            return []
        done = job_result(item)[0] == "complete" or (item.get("status") or {}).get("phase") == "Succeeded"
        self._running.pop(ref, None)
        if not done:
            self._running[ref] = last_attempt(item, self.session.observer.pods_of(item)) if ref.kind == "Job" else ""
        self._follow(item)
        return self._detector.of(item)

    def _read(self) -> dict[ObjectRef, str] | None:
        """Return the Jobs and Pods among the hooks that helm runs now; None before the release's record shows them."""
        kube = self.session.kube
        found = records(kube, self.release)
        newest = max(found, key=revision_of, default={})
        verb = _VERBS.get(str((newest.get("labels") or {}).get("status", "")))
        if verb is None:
            return None
        record = kube.get(f"/api/v1/namespaces/{self.release.namespace}/secrets/{newest['name']}") or {}
        self._since = str(newest.get("creationTimestamp", ""))
        self._removed_by_helm = frozenset(hooks(record, verb, self.release.namespace, policy="hook-succeeded"))
        return hooks(record, verb, self.release.namespace)


def hooks(record: Mapping[str, Any], verb: str, namespace: str, policy: str = "") -> dict[ObjectRef, str]:
    """Return the Jobs and Pods among a record's hooks for an operation, each with its event; none of an invalid record.

    With a delete policy, only those that have it.
    """
    try:
        release = read_document(record)
        when = {f"pre-{verb}", f"post-{verb}"}
        return {
            ObjectRef(_API_VERSIONS[hook["kind"]], hook["kind"], namespace, hook["name"]): event
            for hook in release.get("hooks") or ()
            for event in hook.get("events") or ()
            if hook.get("kind") in _API_VERSIONS
            and event in when
            and (not policy or policy in (hook.get("delete_policies") or ()))
        }
    except (DevtoolsError, KeyError, TypeError, AttributeError):
        return {}
