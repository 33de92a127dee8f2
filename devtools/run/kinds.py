"""Kinds that a release wants and nobody brought."""

from __future__ import annotations

from devtools.run.waiting import Failure
from devtools.tools.helm import missing_kinds


def unknown(text: str) -> Failure | None:
    """What helm's complaint means where it is about kinds that the cluster does not have."""
    if kinds := missing_kinds(text):
        said = f"the cluster has no kind {' and '.join(kinds)}: no CRD for it is there"
        return Failure(said, hint="add the release that brings the CRD to its needs", details=[text])
    return None
