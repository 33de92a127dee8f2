"""What to do with a release that a killed run, or a failed first install, left behind; pure, but for `forget`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from devtools.helm.labels import LABEL_CHART
from devtools.kube.client import Kube
from devtools.model import PENDING, STAND_IN, ReleaseId
from devtools.releases.facts import revision_of

_BACK = PENDING - {"pending-install"}
_STUCK = PENDING | {"uninstalling"}
_WORKED = ("deployed", "superseded")  # the last such revision is the one to go back to
How = Literal["rollback", "forget", "uninstall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How to clear the way for an upgrade; `revision` is the one to go back to, or the one to forget."""

    how: How
    revision: int = 0

    def told(self, state: str) -> str:
        """What a user is told of it."""
        cause = "was never deployed" if state == "failed" else f"was left {state} by a helm that was cut off"
        does = {
            "rollback": f"rolled back to revision {self.revision} first",
            "forget": "that revision is forgotten, and what it made is taken over",
            "uninstall": "uninstalled first",
        }
        return f"{cause}: {does[self.how]}"


def recovery(state: str, records: Iterable[Mapping[str, Any]]) -> Recovery:
    """The way out of a state, from the metadata of the release's records (Helm's Secrets).

    Back to the last revision that worked, which need not be the one before: that may have failed. Where an upgrade
    was under way and none that worked is left, only the pending revision is forgotten; uninstalling would take
    away what had worked.
    """
    states = _states(records)
    if state not in _BACK:
        return Recovery(how="uninstall")
    newest = max(states, default=0)
    for wanted in _WORKED:
        worked = [number for number, status in states.items() if status == wanted and number < newest]
        if worked:
            return Recovery(how="rollback", revision=max(worked))
    return Recovery(how="forget", revision=newest)


def left(records: Iterable[Mapping[str, Any]]) -> str:
    """The state of a release's newest revision where it has to be recovered from, else empty."""
    states = _states(records)
    newest = max(states, default=0)
    state = states.get(newest, "")
    return state if state in _STUCK or (state == "failed" and newest == 1) else ""


def is_stand_in(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the newest revision of a release was made from a stand-in and is still there."""
    newest = max(records, key=revision_of, default={})
    labels = newest.get("labels") or {}
    return labels.get(LABEL_CHART) == STAND_IN and labels.get("status") != "uninstalled"


def _states(records: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Helm's status of each revision."""
    return {revision_of(record): str((record.get("labels") or {}).get("status", "")) for record in records}


def records(kube: Kube, release: ReleaseId) -> list[dict[str, Any]]:
    """The metadata of a release's records."""
    path = f"/api/v1/namespaces/{release.namespace}/secrets"
    return kube.metadata(path, labelSelector=f"owner=helm,name={release.name}")


def newest(kube: Kube, release: ReleaseId) -> int:
    """The newest revision that Helm has of a release; 0 where it has none."""
    return max(map(revision_of, records(kube, release)), default=0)
