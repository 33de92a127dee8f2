"""Reads what `helmfile build --embed-values` and `helmfile list --output json` print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import read_map
from devtools.errors import DevtoolsError
from devtools.imports.model import Found
from devtools.model import ReleaseId

_STATE = re.compile(r"^---\n#  Source: (.+)\n", re.MULTILINE)
# helmDefaults that a release may set itself
_DEFAULTS = (
    *("timeout", "wait", "historyMax", "createNamespace", "atomic", "rollbackOnFailure", "cleanupOnFail"),
    *("force", "forceConflicts", "recreatePods", "waitForJobs", "reuseValues", "verify", "keyring", "postRenderer"),
    *("kubeContext", "takeOwnership", "skipSchemaValidation", "enableDNS"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state file as helmfile understands it in one environment."""

    source: Path
    data: Mapping[str, Any]

    @property
    def repositories(self) -> dict[str, Mapping[str, Any]]:
        """Chart repositories by name."""
        return {str(item.get("name")): item for item in self.data.get("repositories") or ()}


def read_states(text: str) -> tuple[State, ...]:
    """Return the state files in the order in which helmfile processes them, nested ones first."""
    _, *parts = _STATE.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    try:
        return tuple(State(source=Path(source.strip()), data=read_map(body.encode())) for source, body in pairs)
    except ValueError as error:
        raise DevtoolsError(f"the output of helmfile build is not YAML: {error}") from error


def read_list(text: str) -> dict[tuple[str, str], bool]:
    """Return whether each release is installed, by namespace and name; a condition that is false counts."""
    try:
        rows = read_json(text[text.index("[") :]) if "[" in text else []
        return {
            (str(row.get("namespace") or ""), str(row["name"])): bool(row["enabled"] and row["installed"])
            for row in rows
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DevtoolsError("the output of helmfile list is not a list of releases") from error


def releases_of(states: Iterable[State], listed: Mapping[tuple[str, str], bool], namespace: str) -> tuple[Found, ...]:
    """Return every release in order, with helmDefaults applied; `namespace` is for those without one."""
    found = []
    for state in states:
        defaults = state.data.get("helmDefaults") or {}
        for release in state.data.get("releases") or ():
            own = str(release.get("namespace") or "")
            keys = {key: defaults[key] for key in _DEFAULTS if key in defaults} | dict(release)
            if release.get("wait") is None and not keys.get("wait"):
                keys.pop("wait", None)  # helmfile prints false in helmDefaults that do not have it
            keys["labels"] = {**(state.data.get("commonLabels") or {}), **(release.get("labels") or {})}
            name = str(release["name"])
            effective = str(state.data.get("namespace") or own or namespace)
            on = listed.get((own, name), listed.get((effective, name), bool(release.get("installed", True))))
            identity = ReleaseId(effective, name)
            found.append(Found(id=identity, keys=keys, source=state.source, installed=on))
    return tuple(found)


def environments_of(states: Iterable[State]) -> tuple[str, ...]:
    """Return the environments that any state file declares, in their order."""
    return tuple(dict.fromkeys(str(name) for state in states for name in state.data.get("environments") or ()))
