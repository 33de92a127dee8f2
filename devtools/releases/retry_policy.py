"""Classifies a failure of helm and decides on retries, by two tables: `RECOGNISERS` and `POLICIES`."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from devtools.charts.crds import files_of
from devtools.config.values import secret_shapes
from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted, limit_reached
from devtools.helm.commands import missing_kinds
from devtools.helm.failures import WEBHOOK, HelmFailure, classify
from devtools.model import Release
from devtools.process.runner import Result
from devtools.readiness.endpoints import missing_endpoints
from devtools.readiness.observer import Observer
from devtools.readiness.wait import Failure, LateFailure, Wait
from devtools.releases.facts import record_path
from devtools.releases.recovery import newest
from devtools.releases.recreate import refused

T = TypeVar("T")
_NO_THREAD = re.compile(r"failed to create new OS thread|fatal error: newosproc|pthread_create failed")
_NO_ANSWER = re.compile(
    r"connection refused|no endpoints available|not found|timeout|deadline exceeded|x509|EOF|no route|no such host"
)
# API groups of Kubernetes itself: no release installs their kinds (https://kubernetes.io/docs/reference/using-api/).
_OWN = frozenset(
    {"", "apps", "autoscaling", "batch", "extensions", "policy", "apiextensions.k8s.io", "apiregistration.k8s.io"}
    | {f"{area}.k8s.io" for area in ("admissionregistration", "authentication", "authorization", "certificates")}
    | {f"{area}.k8s.io" for area in ("coordination", "discovery", "events", "flowcontrol.apiserver", "networking")}
    | {f"{area}.k8s.io" for area in ("node", "rbac.authorization", "resource", "scheduling", "storage")}
)


class Outage(EnvironmentFault):
    """The API server went away while helm worked, and answers again."""


class Unanswered(Failure):
    """An admission webhook did not answer, so the API server refused the request."""


@dataclass(frozen=True, kw_only=True)
class FailedHelm:
    """A failed helm process, and where to find the reason."""

    release: Release
    verb: str
    result: Result
    started: float  # monotonic
    observer: Observer
    values: Mapping[str, Any]

    @cached_property
    def message(self) -> HelmFailure:
        """Helm's output."""
        return classify(self.result.stderr)


def _interrupted(failed: FailedHelm) -> DevtoolsError | None:
    return (
        Interrupted(f"helm {failed.verb} of {failed.release.id} was interrupted") if failed.result.cancelled else None
    )


def _no_thread(failed: FailedHelm) -> DevtoolsError | None:
    return thread_limit(failed.result)


def thread_limit(result: Result) -> EnvironmentFault | None:
    """Return the error if Go's runtime could start no thread for helm, which then printed a trace."""
    return limit_reached() if _NO_THREAD.search(result.stderr) else None


def _outage(failed: FailedHelm) -> DevtoolsError | None:
    """Ask the API server whether it went away: helm does not always report that (a hook's Job is just `not ready`).

    Raises ServerGone if it is still unreachable.
    """
    kind, text = failed.message.kind, failed.message.text
    failed.observer.kube.check()
    if kind == "away" or (kind != "chart" and failed.observer.kube.was_away(failed.started)):
        return Outage(f"the API server was unreachable for a while: {text}", hint="run the same command again")
    return None


def _late(failed: FailedHelm) -> DevtoolsError | None:
    if not failed.result.timed_out:
        return None
    return LateFailure(f"helm {failed.verb} took longer than {failed.release.timeout:.0f} s: {failed.message.text}")


def _killed(failed: FailedHelm) -> DevtoolsError | None:
    """Return the error if a signal from another process ended helm before it could print a reason."""
    number = -failed.result.returncode
    if number <= 0 or "Error: " in failed.result.stderr:
        return None
    name = {known.value: known.name for known in signal.Signals}.get(number, f"signal {number}")
    hint = "probably killed for lack of memory; run the same command again to recover"
    return Failure(f"helm was killed ({name})", hint=hint)


def _unlabelled_record(failed: FailedHelm) -> DevtoolsError | None:
    """Return the error if the record that helm is about to write exists although helm has not found it."""
    kube, release = failed.observer.kube, failed.release.id
    if "already exists" not in failed.message.text:
        return None
    revision = newest(kube, release) + 1
    found = kube.get(record_path(release, revision))
    labels = ((found or {}).get("metadata") or {}).get("labels") or {}
    expected = {"owner": "helm", "name": release.name, "version": str(revision)}
    missing = [f"{key}={value}" for key, value in expected.items() if labels.get(key) != value]
    if found is None or not missing:
        return None
    name = found["metadata"]["name"]
    missing += [] if labels.get("status") else ["status=deployed"]
    return Failure(
        f"Helm does not find its own record of the release: Secret {name} lacks {', '.join(missing)}",
        hint=f"kubectl --namespace {release.namespace} label --overwrite secret {name} {' '.join(missing)}",
    )


def _refused(failed: FailedHelm) -> DevtoolsError | None:
    return refused(
        failed.observer.kube, failed.release, failed.result.stderr, secret_shapes(failed.release, failed.values)
    )


def _unanswered(failed: FailedHelm) -> DevtoolsError | None:
    return unanswered(failed.message.text, failed.observer)


def unanswered(text: str, observer: Observer | None = None) -> Unanswered | None:
    """Return the error if a webhook did not answer; one that refuses has answered.

    With an `observer`, it says why the webhook's Service has no endpoints.
    """
    found = WEBHOOK.search(text)
    if found is None or not _NO_ANSWER.search(found["why"] or ""):
        return None
    reason = missing_endpoints(observer, text) if observer else ""
    why = " ".join(found["why"].split()) + f"; {reason}" * bool(reason)
    hint = "if another release serves it, declare that with `needs`"
    return Unanswered(f"admission webhook {found['name']} does not answer: {why}", hint=hint)


def _missing_kinds(failed: FailedHelm) -> DevtoolsError | None:
    text = failed.message.text
    kinds = missing_kinds(text)
    if not kinds:
        return None
    reason = f"the cluster has no kind {' and '.join(kinds)}"
    if all(kind.rpartition(" of ")[2].rpartition("/")[0] in _OWN for kind in kinds):
        hint = "the chart is for another Kubernetes: `kubectl api-versions` shows what this one serves"
        reason += ": its Kubernetes does not serve that version of its API"
    elif own := _template_with_crd(failed.release.chart.path, failed.values, kinds):
        hint = "move the CRD to the chart's crds/, or into a release that this one needs"
        reason += f": its CRD is in {own} of the same chart, and Helm looks up every kind before it installs any"
    else:
        hint = "add the release that installs the CRD to `needs`"
        reason += ": its CRD is not installed"
    return Failure(reason, hint=hint, details=[text])


def _template_with_crd(chart: Path, values: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """Return the template of a chart that seems to contain the CRD of one of these kinds, empty if none does."""
    names = "|".join(re.escape(kind.partition(" of ")[0]) for kind in kinds)
    declared = re.compile(rf"^\s*(?:names:\s*{{.*)?[\"']?kind[\"']?:\s*[\"']?(?:{names})\b", re.MULTILINE)
    try:
        for where, files in files_of(chart, values, lambda name: "templates/" in name):
            for name, content in sorted(files.items()):
                text = content.decode("utf-8", "replace")
                if name.startswith("templates/") and "CustomResourceDefinition" in text and declared.search(text):
                    return f"{where}{name}"
    except DevtoolsError:
        return ""
    return ""


# The first that returns an error decides.
RECOGNISERS: tuple[Callable[[FailedHelm], DevtoolsError | None], ...] = (
    _interrupted,
    _no_thread,
    _outage,
    _late,
    _killed,
    _unlabelled_record,
    _refused,
    _unanswered,
    _missing_kinds,
)


def recognise(failed: FailedHelm) -> DevtoolsError | None:
    """Return the error of a failed helm, None if only helm's own message shows what is wrong."""
    return next((error for recogniser in RECOGNISERS if (error := recogniser(failed))), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How an operation is retried after a failure."""

    attempts: float = inf
    seconds: float = inf  # since the first failure of this kind, and no longer than the release's timeout
    pause: float = 0.0  # seconds between attempts
    clear: bool = True  # the next attempt first cleans up after this one
    notice: str = ""  # a warning, from `what` and `why` of the message
    notices: float = 1  # how many of these failures are reported
    recover: Callable[[Any], None] = field(default=lambda _: None)  # prepares the next attempt, or raises


Policies = Mapping[type[DevtoolsError], Policy]
POLICIES: Policies = {
    Outage: Policy(attempts=3, notice="{what}: it is back: trying again ({why})", notices=inf),
    # the webhook's server may have just started
    Unanswered: Policy(seconds=20.0, pause=2.0, clear=False, notice="{what}: {why}: trying again for 20 s"),
}


class Retries:
    """The retries of one operation; `clear` says whether an earlier attempt may have left something to clean up."""

    def __init__(self, wait: Wait, warn: Callable[[str], None], policies: Policies = POLICIES) -> None:
        """`warn` reports each retry."""
        self._wait, self._warn, self._policies = wait, warn, policies
        self._counts: dict[type[DevtoolsError], int] = {}
        self._first: dict[type[DevtoolsError], float] = {}  # when each kind of failure occurred first
        self.clear = False

    def run(self, attempt: Callable[[], T]) -> T:
        """Return the result of the first attempt that succeeds."""
        while True:
            try:
                return attempt()
            except DevtoolsError as error:
                self._prepare(error)

    def _prepare(self, failure: DevtoolsError) -> None:
        """Prepare the next attempt by the policy; raise `failure` if there is none, Interrupted on cancel."""
        kind, now = type(failure), time.monotonic()
        policy = self._policies.get(kind)
        if policy is None:
            raise failure
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        elapsed = now - self._first.setdefault(kind, now)
        late = policy.seconds < inf and (self._wait.over() or elapsed > policy.seconds)
        if late or count > policy.attempts:
            raise failure
        if policy.notice and count <= policy.notices:
            what, _, why = failure.message.partition(": ")  # the reason may be long
            self._warn(policy.notice.format(what=what, why=why))
        policy.recover(failure)
        self.clear = self.clear or policy.clear
        self._wait.pause(policy.pause)
