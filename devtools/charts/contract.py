"""Describes a third-party chart without its archive: the `contract` of its entry in the lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from devtools.base.key_types import Dotted, Limits, Name, ObjectName, Port, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class CrdVersion:
    """A version of a kind."""

    name: Name
    """`v1`, `v1alpha1`, …"""
    served: bool = True
    """Whether the API server serves it; true when absent."""
    storage: bool = False
    """Whether objects are stored in it; of exactly one version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crd:
    """A CustomResourceDefinition."""

    group: Text
    """Its API group."""
    kind: Text
    """Its kind."""
    plural: Name
    """Its plural, as in URLs."""
    scope: Literal["Namespaced", "Cluster"]
    """Whether its objects live in namespaces: `Namespaced` or `Cluster`."""
    versions: Annotated[tuple[CrdVersion, ...], Limits(min_length=1)]
    """Its versions."""
    status: bool = True
    """Whether it has the status subresource; true when absent."""

    @property
    def name(self) -> str:
        """The object's name."""
        return f"{self.plural}.{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A workload."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet"]
    """`Deployment`, `StatefulSet` or `DaemonSet`."""
    name: ObjectName
    """Its name; `{release}` and `{fullname}` may stand in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """A port of a Service."""

    port: Port
    """Its number."""
    name: Name = ""
    """Its name; required if there are several."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    """Its protocol; TCP when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service."""

    name: ObjectName
    """Its name; `{release}` and `{fullname}` may stand in it."""
    ports: Annotated[tuple[ServicePort, ...], Limits(min_length=1)]
    """Its ports."""
    headless: bool = False
    """Whether it has no address of its own; false when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartContract:
    """The objects that a chart installs with its default values."""

    crds: tuple[Crd, ...] = ()
    """Its CRDs."""
    crds_in: Literal["crds", "templates"] = "crds"
    """Where the chart has its CRDs: `crds` (Helm installs them and never touches them again) or `templates`."""
    crds_keep: bool = False
    """Whether CRDs in `templates` outlive the release; false when absent. Those in `crds` always do."""
    crds_switch: Dotted = ""
    """The value that enables the chart's CRDs, such as `crds.enabled`; none when absent."""
    workloads: tuple[Workload, ...] = ()
    """Its Deployments, StatefulSets and DaemonSets."""
    services: tuple[Service, ...] = ()
    """Its Services."""


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
