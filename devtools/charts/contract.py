"""What is known of a third-party chart without having it: the `contract` of its entry in the lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class CrdVersion:
    """A version of a kind; exactly one of a CRD's is the one that objects are stored in."""

    name: str
    served: bool = True
    storage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Crd:
    """A CustomResourceDefinition."""

    group: str
    kind: str
    plural: str
    scope: Literal["Namespaced", "Cluster"]
    versions: tuple[CrdVersion, ...]
    status: bool = True  # it has the status subresource

    @property
    def name(self) -> str:
        """The object's name."""
        return f"{self.plural}.{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A workload; `{release}` and `{fullname}` in a name stand for what the release's name makes of it."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet"]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of a Service; without a name where it is the only one."""

    port: int
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service."""

    name: str
    ports: tuple[Port, ...]
    headless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartContract:
    """What a chart brings to the cluster with its default values."""

    crds: tuple[Crd, ...] = ()
    crds_in: Literal["crds", "templates"] = "crds"  # the directory of the chart
    crds_keep: bool = False  # those in templates outlive the release
    crds_switch: str = ""  # dotted path of the value that must be true for those in templates
    workloads: tuple[Workload, ...] = ()
    services: tuple[Service, ...] = ()


def contract_of(data: Mapping[str, Any]) -> ChartContract:
    """The contract that validated data of the lock (`declared.ContractKeys`) holds."""
    return ChartContract(
        **{key: data[key] for key in ("crds_in", "crds_keep", "crds_switch") if key in data},
        crds=tuple(
            Crd(**{**item, "versions": tuple(CrdVersion(**version) for version in item["versions"])})
            for item in data.get("crds", ())
        ),
        workloads=tuple(Workload(**item) for item in data.get("workloads", ())),
        services=tuple(
            Service(**{**item, "ports": tuple(Port(**port) for port in item["ports"])})
            for item in data.get("services", ())
        ),
    )


def contract_problems(contract: ChartContract) -> list[str]:
    """What no chart could bring, each as a sentence to follow the chart's name."""
    stored = {crd.name: sum(version.storage for version in crd.versions) for crd in contract.crds}
    found = [f"CRD '{name}' must store one version, not {count}" for name, count in stored.items() if count != 1]
    found += [
        f"Service '{service.name}' has several ports, so each needs a name"
        for service in contract.services
        if len(service.ports) > 1 and not all(port.name for port in service.ports)
    ]
    names = [("CRD", crd.name) for crd in contract.crds]
    names += [(workload.kind, workload.name) for workload in contract.workloads]
    names += [("Service", service.name) for service in contract.services]
    twice = {item: None for item in names if names.count(item) > 1}
    return found + [f"{kind} '{name}' is given twice" for kind, name in twice]
