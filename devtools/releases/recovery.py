"""Reads the revisions of a release, and decides how to recover from a killed run or a failed first install."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from devtools.errors import DevtoolsError
from devtools.helm.labels import LABEL_CHART, LABEL_DIGEST, LABEL_READY, LABEL_READY_REVISION
from devtools.helm.ownership import Origin, origin_of_newest, revision_of, written_by
from devtools.helm.revision import Applied, applied
from devtools.kube.client import Kube
from devtools.model import BUSY, PENDING, STAND_IN, ObjectRef, Release, ReleaseId
from devtools.readiness.wait import LateFailure, Wait
from devtools.releases.facts import record_path, release_of

_MARGIN = 30.0  # seconds after its timeout in which a helm ends, or is ended
_HELM_TIMEOUT = 300.0  # seconds, Helm's default
_LOOK = 0.5  # seconds between checks

_BACK = PENDING - {"pending-install"}
_WORKED = ("deployed", "superseded")  # the last such revision is the one to roll back to
How = Literal["rollback", "forget", "uninstall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How to prepare an upgrade; `revision` is the one to roll back to, or the one to forget."""

    how: How
    revision: int = 0

    def notice(self, state: str) -> str:
        """Return the message for users."""
        cause = "was never deployed" if state == "failed" else f"was left {state} by an interrupted helm"
        does = {
            "rollback": f"rolled back to revision {self.revision} first",
            "forget": "the record of that revision is deleted, and its objects are taken over",
            "uninstall": "uninstalled first",
        }
        return f"{cause}: {does[self.how]}"


def recovery(state: str, records: Iterable[Mapping[str, Any]], *, adopt: bool = False) -> Recovery:
    """Return how to recover from a state, from the metadata of the release's records (Helm's Secrets).

    An adopted release is neither removed nor rolled back: only its unfinished revision is forgotten.

    A rollback goes to the last working revision, which need not be the previous one, because that may have failed. If
    an upgrade was under way and no working revision is left, only the pending revision is forgotten; uninstalling would
    remove working objects.
    """
    states = _states(records)
    newest = max(states, default=0)
    if adopt:
        return Recovery(how="forget", revision=newest)
    if state not in _BACK:
        return Recovery(how="uninstall")
    for wanted in _WORKED:
        if worked := [number for number, status in states.items() if status == wanted and number < newest]:
            return Recovery(how="rollback", revision=max(worked))
    return Recovery(how="forget", revision=newest)


def last_good(records: Iterable[Mapping[str, Any]], before: int) -> int:
    """Return the newest revision older than `before` that was good, from the metadata of the records; 0 if none was.

    A revision of devtools was good if it became ready, whatever its status in Helm; one of another tool if Helm
    deployed it.
    """
    good = [0]
    for record in records:
        labels, number = record.get("labels") or {}, revision_of(record)
        own = labels.get(LABEL_DIGEST)
        was_ready = labels.get(LABEL_READY_REVISION) == str(number) and labels.get(LABEL_READY) == own
        if number < before and labels.get("status") in _WORKED and (was_ready or not own):
            good.append(number)
    return max(good)


def left(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the state of a release's newest revision if it requires recovery, otherwise empty."""
    states = _states(records)
    newest = max(states, default=0)
    state = states.get(newest, "")
    return state if state in BUSY or (state == "failed" and newest == 1) else ""


def await_other_helm(kube: Kube, release: Release, wait: Wait, *, origin: str, adopt: bool = False) -> None:
    """Wait while a helm that may still run works on a release.

    Whether a helm on another machine still runs is unknown. One that devtools started ends at the release's timeout,
    and Helm's own default is five minutes, so this waits for younger ones. Raises LateFailure if another program's is
    older, unless the release will be taken over.
    """
    limit = release.timeout + _MARGIN
    while True:
        known = records(kube, release.id)
        state = left(known)
        maker = origin_of_newest(known, origin) if state in BUSY else Origin.SAME_ORIGIN
        if maker is Origin.SAME_ORIGIN:
            return
        if maker is Origin.OTHER:
            limit = max(limit, _HELM_TIMEOUT)
        manager, since = written_by(max(known, key=revision_of))
        age = (kube.now() - since).total_seconds() if since else limit
        who = f"another helm (field manager {manager})" if maker is Origin.OTHER else "a helm of another machine's run"
        if age >= limit:
            if adopt or maker is Origin.DEVTOOLS:
                return
            raise LateFailure(
                f"release is {state} for {age / 60:.0f} minutes: {who} was interrupted or is still running",
                hint=f"if that helm has ended: invoke layer {release.layer} --take-ownership {release.id}",
            )
        wait.say(f"{who} to finish ({state} for {age:.0f} s)")
        wait.pause(_LOOK)


def is_stand_in(records: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the newest revision of a release was made from a stand-in and still exists."""
    newest = max(records, key=revision_of, default={})
    labels = newest.get("labels") or {}
    return labels.get(LABEL_CHART) == STAND_IN and labels.get("status") != "uninstalled"


def _states(records: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    return {revision_of(record): str((record.get("labels") or {}).get("status", "")) for record in records}


def records(kube: Kube, release: ReleaseId) -> list[dict[str, Any]]:
    """Return the metadata of a release's records."""
    path = f"/api/v1/namespaces/{release.namespace}/secrets"
    return kube.metadata(path, labelSelector=f"owner=helm,name={release.name}")


def newest(kube: Kube, release: ReleaseId) -> int:
    """Return the newest revision that Helm has of a release; 0 if it has none."""
    return max(map(revision_of, records(kube, release)), default=0)


def newest_state(records: Iterable[Mapping[str, Any]]) -> str:
    """Return Helm's status of the newest revision; empty if there is none."""
    states = _states(records)
    return states[max(states)] if states else ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Revision:
    """One revision and Helm's status of it."""

    number: int
    status: str


def revisions(records: Iterable[Mapping[str, Any]]) -> dict[ReleaseId, tuple[Revision, ...]]:
    """Return the revisions of each release, oldest first, from the metadata of records."""
    found: dict[ReleaseId, list[Revision]] = defaultdict(list)
    for record in records:
        status = str((record.get("labels") or {}).get("status", "unknown"))
        found[release_of(record)].append(Revision(number=revision_of(record), status=status))
    return {release: tuple(sorted(items)) for release, items in found.items()}


def basis(found: Sequence[Revision]) -> Revision | None:
    """Return the revision, of these from oldest to newest, that defines what should exist; None if nothing should.

    That is the last deployed one, otherwise the last of all, as for Helm's own upgrades (`prepareUpgrade` in its
    `pkg/action/upgrade.go`). A release that was uninstalled with its history kept should have no objects.
    """
    if not found or found[-1].status == "uninstalled":
        return None
    return next((one for one in reversed(found) if one.status == "deployed"), found[-1])


def last_two(kube: Kube, release: ReleaseId) -> tuple[Applied | None, Applied | None]:
    """Return the last working revision and the newest one; None for what is not available."""
    try:
        found = {revision_of(item): item["labels"]["status"] for item in records(kube, release)}
        newest = max(found)
        worked = max((number for number, status in found.items() if status in _WORKED), default=newest)
        secrets = [kube.get(record_path(release, number)) for number in (worked, newest)]
        before, after = (applied(secret, release) if secret else None for secret in secrets)
    except (DevtoolsError, KeyError, ValueError):
        return None, None
    return before, after


def object_of(revision: Applied, ref: ObjectRef) -> dict[str, Any] | None:
    """Return the object of a revision by kind and name; the namespace need not be in the manifest."""
    for item in revision.objects:
        where = item["metadata"].get("namespace") or ref.namespace
        if (item["kind"], item["metadata"]["name"], where) == (ref.kind, ref.name, ref.namespace):
            return item
    return None
