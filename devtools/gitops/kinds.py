"""Kinds that every cluster has, and the group and version of a contract's kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.gitops.component import KindInfo
from devtools.model import Contract


def _kinds() -> Iterable[KindInfo]:
    for scope, table in read_map(read_file(Path(__file__).with_suffix(".yaml"))).items():
        for api_version, kinds in table.items():
            group, _, version = api_version.rpartition("/")
            for kind in kinds.split():
                yield KindInfo(group=group, version=version, kind=kind, namespaced=scope == "namespaced")


BUILTIN: Mapping[str, KindInfo] = {item.kind: item for item in _kinds()}
"""Kinds of Kubernetes itself, by name."""

GROUPS = frozenset(item.group for item in BUILTIN.values()) | {"events.k8s.io", "authentication.k8s.io"}
"""API groups of Kubernetes itself."""


def kind_of(contract: Contract, crds: Mapping[str, KindInfo]) -> KindInfo | None:
    """Return the kind of a contract's object: as written, of Kubernetes, or of a CRD of the stack; None if unknown."""
    if contract.api_version:
        group, _, version = contract.api_version.rpartition("/")
        known = crds.get(contract.kind)
        namespaced = known.namespaced if known and known.group == group else True
        return KindInfo(group=group, version=version, kind=contract.kind, namespaced=namespaced)
    return BUILTIN.get(contract.kind) or crds.get(contract.kind)
