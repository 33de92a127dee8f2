"""Random histories of a release: the newest revision that was ready is found, whatever labels helm passed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from devtools.helm.labels import AFTER_DUE, LABEL_DIGEST, LABEL_READY, LABEL_READY_REVISION
from devtools.releases.recovery import last_good

OURS = st.tuples(st.sampled_from(["ready", "due", "unready", "failed", "pending-upgrade"]), st.sampled_from("ab"))
BY_HAND = st.tuples(st.just("by hand"), st.just(""))
BACK = st.tuples(st.sampled_from(["back", "back and ready"]), st.integers(0, 9).map(str))


def record(number: int, status: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"labels": {**labels, "version": str(number), "status": status}}


def history(foreign: int, operations: Sequence[tuple[str, str]]) -> tuple[list[dict[str, Any]], set[int]]:
    """The records that helm and a run leave, and which revisions were good; as helm does, labels are passed on."""
    records = [record(number, "superseded", {}) for number in range(1, foreign + 1)]
    good = set(range(1, foreign + 1))
    for operation, detail in operations:
        number = len(records) + 1
        labels = dict(records[-1]["labels"]) if records else {}
        status = operation if operation in {"failed", "pending-upgrade"} else "superseded"
        if operation.startswith("back"):
            if not good:
                continue
            labels = dict(records[sorted(good)[int(detail) % len(good)] - 1]["labels"])
        elif operation != "by hand":
            labels[LABEL_DIGEST] = detail
        if operation in {"ready", "due"} or (operation == "back and ready" and LABEL_DIGEST in labels):
            labels[LABEL_READY] = AFTER_DUE if operation == "due" else labels[LABEL_DIGEST]
            labels[LABEL_READY_REVISION] = str(number)
        records.append(record(number, status, labels))
        own = LABEL_DIGEST in labels
        if status == "superseded" and (operation in {"ready", "back and ready"} or not own):
            good.add(number)
    return records, good


@given(st.integers(0, 2), st.lists(OURS | BY_HAND | BACK, max_size=8), st.integers(1, 12))
def test_it_is_the_newest_that_was_good(foreign: int, operations: list[tuple[str, str]], before: int) -> None:
    records, good = history(foreign, operations)
    assert last_good(records, before) == max((number for number in good if number < before), default=0)
