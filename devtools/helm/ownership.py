"""Determines who wrote a revision of a release: a run on this machine, a run on another one, or another program.

Every helm that devtools starts writes a token of its own into a label of the revision. Helm copies the labels of the
previous revision, so a token that an older revision also has says nothing about the newest one. `helm rollback` and
`helm uninstall` accept no labels: the revision they start from is labelled first, with the number of the revision that
they will write. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any
from uuid import uuid4

from devtools.helm.labels import LABEL_LAUNCH

Record = Mapping[str, Any]  # the metadata of a Helm record
OURS = "devtools"  # the field manager of devtools
_VERBS = {"pending-rollback": "rollback", "uninstalling": "uninstall"}


class Origin(Enum):
    """What started the helm that wrote a revision."""

    SAME_ORIGIN = auto()  # devtools with this state directory, on this machine
    DEVTOOLS = auto()  # devtools, elsewhere
    OTHER = auto()


def launch_token(origin: str) -> str:
    """Return a label value for the revision that a helm is about to write."""
    return f"{origin}.{uuid4().hex[:12]}"


def token_for_next_revision(origin: str, verb: str, revision: int) -> str:
    """Return a label value for the revision that a `helm rollback` goes to, or a `helm uninstall` starts from.

    `revision` is the one that helm will write.
    """
    return f"{origin}.{verb}-{revision}"


def revision_of(record: Record) -> int:
    """Return the revision of a record from its metadata; 0 if it names none."""
    text = str((record.get("labels") or {}).get("version", "0"))
    return int(text) if text.isdecimal() else 0


def origin_of_newest(records: Iterable[Record], origin: str = "") -> Origin:
    """Return what started the helm of a release's newest record."""
    *older, newest = sorted(records, key=revision_of)
    labels = newest.get("labels") or {}
    started, _, token = str(labels.get(LABEL_LAUNCH, "")).rpartition(".")
    verb = _VERBS.get(str(labels.get("status")))
    if verb:
        own = token == f"{verb}-{revision_of(newest)}"
    else:
        own = bool(token) and all(_launch(record) != _launch(newest) for record in older)
    if not own:
        return Origin.OTHER
    return Origin.SAME_ORIGIN if started == origin else Origin.DEVTOOLS


def rolled_back_to(records: Iterable[Record]) -> int:
    """Return the revision that a release's newest record restores; 0 if it is not a rollback.

    `helm rollback` copies the labels of the revision it restores; an upgrade by another helm those of the last one.
    """
    *older, newest = sorted(records, key=revision_of)
    token = _launch(newest)
    restored = [record for record in older if token and _launch(record) == token]
    if restored[-1:] == older[-1:] and not token.endswith(f".rollback-{revision_of(newest)}"):
        return 0
    return max(map(revision_of, restored), default=0)


def written_by(record: Record) -> tuple[str, datetime | None]:
    """Return the field manager, other than devtools, that last wrote a record, and when by the API server's clock."""
    entries = [
        (str(entry.get("time", "")), str(entry.get("manager", "")))
        for entry in record.get("managedFields") or ()
        if entry.get("manager") != OURS
    ]
    when, manager = max(entries, default=("", ""))
    return manager or "an unknown program", _time(when) or _time(str(record.get("creationTimestamp", "")))


def _launch(record: Record) -> str:
    return str((record.get("labels") or {}).get(LABEL_LAUNCH, ""))


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
