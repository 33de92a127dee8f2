"""Derives the contract of a chart's lock entry from renderings with default values under two release names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from devtools.charts.contract import ChartContract, Crd, CrdVersion, Service, ServicePort, Workload
from devtools.diff.effects import CRD
from devtools.helm.commands import annotations_of
from devtools.helm.record import KEEP

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
SHORT = "rlsq"
"""A release name that no chart contains in an object's name by chance."""

_ORDER = (  # of keys in the lock
    *("crds_in", "crds_keep", "crds_switch", "crds", "workloads", "services"),
    *("group", "kind", "name", "port", "protocol", "plural", "scope", "status", "versions", "served", "storage"),
    *("headless", "ports"),
)
Objects = Sequence[Mapping[str, Any]]


def containing(chart: str) -> str:
    """Return a release name that contains the chart's, which most charts then use as the full name."""
    return f"q-{chart[:40]}-q"


def derive_contract(
    known: ChartContract, chart: str, crds: Objects, short: Objects, long: Objects
) -> ChartContract | None:
    """Return the contract of a chart; None if the name of an object cannot be written with the placeholders.

    `crds` are those of `crds/`; `short` and `long` its renderings as release `SHORT` and as `containing(chart)`.
    The value that enables CRDs is copied from `known`.
    """
    rendered = [item for item in short if item.get("kind") == CRD]
    names = {kind: {_name(item) for item in long if item.get("kind") == kind} for kind in (*_WORKLOADS, "Service")}
    try:
        workloads = tuple(
            Workload(kind=item["kind"], name=_pattern(_name(item), chart, names[item["kind"]]))
            for item in short
            if item.get("kind") in _WORKLOADS
        )
        services = tuple(_service(item, chart, names["Service"]) for item in short if item.get("kind") == "Service")
    except ValueError:
        return None
    found = [_crd(item) for item in (*crds, *rendered)]
    return ChartContract(
        crds=tuple(found),
        crds_in="templates" if rendered and not crds else "crds",
        crds_keep=bool(rendered) and not crds and all(annotations_of(item).get(KEEP) == "keep" for item in rendered),
        crds_switch=known.crds_switch,
        workloads=workloads,
        services=services,
    )


def is_same(one: ChartContract, other: ChartContract) -> bool:
    """Return whether two contracts are equal, ignoring order."""
    return _unordered(one) == _unordered(other)


def contract_keys(contract: ChartContract) -> dict[str, Any]:
    """Return the lock's form of a contract: keys with their default value are left out."""
    keys = _keys(contract)
    if not contract.crds:
        return {key: value for key, value in keys.items() if not key.startswith("crds")}
    keep = {"crds_keep": contract.crds_keep} if contract.crds_in == "templates" else {}
    return {"crds_in": contract.crds_in, **keep, **keys}


def _keys(item: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in sorted(fields(item), key=lambda field: _ORDER.index(field.name)):
        if (value := getattr(item, field.name)) != field.default:
            found[field.name] = list(map(_keys, value)) if isinstance(value, tuple) else value
    return found


def _name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name") or "")


def _pattern(name: str, chart: str, others: Iterable[str]) -> str:
    """Return a name with a placeholder for the part that depends on the release; raises ValueError if none fits."""
    full, long = f"{SHORT}-{chart}", containing(chart)
    known = set(others)
    for begin, placeholder in ((full, "{fullname}"), (SHORT, "{release}")):
        if name.startswith(begin) and f"{long}{name[len(begin) :]}" in known:
            return f"{placeholder}{name[len(begin) :]}"
    if name not in known:
        raise ValueError(name)
    return name


def _crd(item: Mapping[str, Any]) -> Crd:
    spec = item["spec"]
    versions = spec.get("versions") or ()
    return Crd(
        group=spec["group"],
        kind=spec["names"]["kind"],
        plural=spec["names"]["plural"],
        scope=spec["scope"],
        versions=tuple(
            CrdVersion(name=one["name"], served=bool(one.get("served")), storage=bool(one.get("storage")))
            for one in versions
        ),
        status=any("status" in (one.get("subresources") or {}) for one in versions),
    )


def _service(item: Mapping[str, Any], chart: str, others: Iterable[str]) -> Service:
    spec = item.get("spec") or {}
    ports = tuple(
        ServicePort(port=one["port"], name=str(one.get("name") or ""), protocol=one.get("protocol") or "TCP")
        for one in spec.get("ports") or ()
    )
    return Service(name=_pattern(_name(item), chart, others), ports=ports, headless=spec.get("clusterIP") == "None")


def _unordered(contract: ChartContract) -> tuple[Any, ...]:
    versions = {crd: tuple(sorted(crd.versions, key=lambda version: version.name)) for crd in contract.crds}
    crds = {replace(crd, versions=ordered) for crd, ordered in versions.items()}
    rest = replace(contract, crds=(), workloads=(), services=())
    return rest, crds, set(contract.workloads), set(contract.services)
