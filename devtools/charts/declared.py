"""The keys of the chart lock, as types for pydantic; imported only when there is a lock to read."""

from __future__ import annotations

from typing import Annotated, Literal, Required

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic needs it for Python < 3.12

from devtools.config.declared import (
    CHART_PART,
    DNS_LABEL,
    DOTTED,
    LONGEST_PART,
    OBJECT_NAME,
    OCI,
    SHA256,
    URL,
    VERSION,
    Text,
)

_STRICT = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

Label = Annotated[str, Field(pattern=DNS_LABEL, max_length=63)]
ObjectName = Annotated[str, Field(pattern=OBJECT_NAME, min_length=1, max_length=63)]


@with_config(_STRICT)
class CrdVersionKeys(TypedDict, total=False):
    """A version of a kind."""

    name: Required[Label]
    """`v1`, `v1alpha1`, …"""
    served: bool
    """Whether the API server serves it; true when absent."""
    storage: bool
    """Whether objects are stored in it; of exactly one version."""


@with_config(_STRICT)
class CrdKeys(TypedDict, total=False):
    """A CustomResourceDefinition."""

    group: Required[Text]
    """Its API group."""
    kind: Required[Text]
    """Its kind."""
    plural: Required[Label]
    """Its plural, as in URLs."""
    scope: Required[Literal["Namespaced", "Cluster"]]
    """Whether its objects live in namespaces: `Namespaced` or `Cluster`."""
    status: bool
    """Whether it has the status subresource; true when absent."""
    versions: Required[Annotated[list[CrdVersionKeys], Field(min_length=1)]]
    """Its versions."""


@with_config(_STRICT)
class WorkloadKeys(TypedDict, total=False):
    """A workload."""

    kind: Required[Literal["Deployment", "StatefulSet", "DaemonSet"]]
    """`Deployment`, `StatefulSet` or `DaemonSet`."""
    name: Required[ObjectName]
    """Its name; `{release}` and `{fullname}` may stand in it."""


@with_config(_STRICT)
class PortKeys(TypedDict, total=False):
    """A port of a Service."""

    name: Label
    """Its name; needed where there are several."""
    port: Required[Annotated[int, Field(ge=1, le=65535)]]
    """Its number."""
    protocol: Literal["TCP", "UDP", "SCTP"]
    """Its protocol; TCP when absent."""


@with_config(_STRICT)
class ServiceKeys(TypedDict, total=False):
    """A Service."""

    name: Required[ObjectName]
    """Its name; `{release}` and `{fullname}` may stand in it."""
    headless: bool
    """Whether it has no address of its own; false when absent."""
    ports: Required[Annotated[list[PortKeys], Field(min_length=1)]]
    """Its ports."""


@with_config(_STRICT)
class ContractKeys(TypedDict, total=False):
    """What a chart brings to the cluster with its default values."""

    crds_in: Literal["crds", "templates"]
    """Where the chart has its CRDs: `crds` (Helm installs them and never touches them again) or `templates`."""
    crds_keep: bool
    """Whether CRDs in `templates` outlive the release; false when absent. Those in `crds` always do."""
    crds_switch: Annotated[str, Field(pattern=DOTTED)]
    """The value that must be true for the chart to bring its CRDs, such as `crds.enabled`; none when absent."""
    crds: list[CrdKeys]
    """Its CRDs."""
    workloads: list[WorkloadKeys]
    """Its Deployments, StatefulSets and DaemonSets."""
    services: list[ServiceKeys]
    """Its Services."""


@with_config(ConfigDict(strict=True, extra="allow", use_attribute_docstrings=True))
class LockedChart(TypedDict, total=False):
    """One pinned chart; other keys are kept as they are."""

    publisher: Required[Annotated[str, Field(pattern=CHART_PART, max_length=LONGEST_PART)]]
    """Who publishes it: the first part of its name in layer files."""
    name: Required[Annotated[str, Field(pattern=CHART_PART, max_length=LONGEST_PART)]]
    """Its name in Chart.yaml."""
    version: Required[Annotated[str, Field(pattern=VERSION, max_length=LONGEST_PART)]]
    """Its version in Chart.yaml."""
    sha256: Required[Annotated[str, Field(pattern=SHA256)] | None]
    """Of the archive; null until it is vendored."""
    repository: Annotated[str, Field(pattern=URL)]
    """URL of the chart repository it comes from."""
    oci: Annotated[str, Field(pattern=OCI)]
    """Reference of the OCI artifact it comes from, without a tag."""
    license: Text
    """Its license, as an SPDX expression."""
    contract: ContractKeys
    """What it brings to the cluster."""


@with_config(ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True))
class LockFile(TypedDict, total=False):
    """The chart lock: `charts/third_party/lock.yaml`."""

    charts: list[LockedChart]
    """The pinned charts."""
