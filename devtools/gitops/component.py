"""The types of an export, from which every engine makes its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from devtools.config.tenants import Tenant
from devtools.model import Release, ReleaseId

LABEL = "gitops.ameide.io"
"""The prefix of the labels of devtools: environment, tier, team, stage, wave, component."""
EXTRACTED = PurePosixPath("sources/charts")
_LONGEST_KEY = 253  # characters of a ConfigMap's key


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSource:
    """The source from which a controller gets a chart."""

    kind: Literal["git", "helm", "oci"]
    repository: str  # git: the URL; helm: the chart repository; oci: oci://host/path without the chart
    chart: str = ""  # helm, oci
    path: str = ""  # git: directory from the repository's root
    version: str = ""  # helm, oci: an exact pin; git: the revision comes from the settings


@dataclass(frozen=True, slots=True, kw_only=True)
class KindInfo:
    """A kind that a CRD of the stack defines."""

    group: str
    version: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, kw_only=True)
class ChartContents:
    """The contents of a chart's files, read without rendering them."""

    crds: tuple[KindInfo, ...] = ()
    crds_in_directory: bool = False  # in crds/, which Helm never upgrades
    kinds: tuple[str, ...] = ()  # of all objects in its templates
    custom_kinds: tuple[KindInfo, ...] = ()  # of custom resources in its templates
    random: tuple[str, ...] = ()  # functions in its templates with a different result each time
    post_sync: str = ""  # the value that makes its tests hooks of a controller, if it has one

    @property
    def needs_foreign_crds(self) -> bool:
        """Whether it has custom resources of groups that its own CRDs do not define."""
        return bool({kind.group for kind in self.custom_kinds} - {crd.group for crd in self.crds})


@dataclass(frozen=True, kw_only=True)
class ChartInfo(ChartContents):
    """The properties of a chart that an export needs; if its files are not on this disk, the lock names its CRDs."""

    name: str  # of the chart, and its version if the lock pins it
    source: ChartSource
    files: Mapping[PurePosixPath, bytes]  # to write below --out: an extracted chart
    cluster_kinds: tuple[tuple[str, str], ...]  # (group, kind) of cluster-scoped objects in its templates
    is_readable: bool  # its files are on this disk

    @property
    def short_name(self) -> str:
        """The chart's name in its Chart.yaml."""
        return self.name.rpartition("/")[2].partition("@")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFile:
    """A file of values that a controller reads."""

    path: PurePosixPath  # from the Git repository's root
    content: bytes | None = None  # written by the export; None: referenced in place
    original: bytes | None = None  # content of a file in place, for layouts that copy it
    encrypted: bool = False  # a SOPS file: passed through, never decrypted
    resolved: bool = False  # its references are replaced, so it may differ between environments

    @property
    def key(self) -> str:
        """Its key in a ConfigMap: `values.yaml` for inline values, else its path with dots."""
        parts = self.path.parts if self.content is None else self.path.parts[-1:]
        return ".".join(parts)[-_LONGEST_KEY:].lstrip(".")

    @property
    def copied(self) -> bytes:
        """The content that a layout writes if it copies values."""
        content = self.original if self.content is None else self.content
        if content is None:
            raise ValueError(f"{self.path} was not read")
        return content


@dataclass(frozen=True, slots=True)
class Note:
    """A note about something that an export could not map, or that must be done manually."""

    message: str
    component: str = ""  # `environment/namespace/name`; empty: about the whole export


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One release in one environment, as every engine exports it."""

    release: Release  # of a tenant: in the tenant's namespace
    chart: ChartInfo
    name: str  # unique in its environment
    environment: str
    tier: str
    project: str
    team: str
    stage: str
    wave: int
    needs: tuple[ReleaseId, ...]  # direct edges to exported components
    value_files: tuple[ValueFile, ...]  # weakest first
    creates_namespace: bool
    skips_crds: bool  # another component installs the CRDs of its crds/ directory
    secret_store: str  # a ClusterSecretStore

    @property
    def is_encrypted(self) -> bool:
        """Whether one of its value files is encrypted."""
        return any(file.encrypted for file in self.value_files)

    def note(self, message: str) -> Note:
        """Return a note about this component."""
        return Note(message, f"{self.environment}/{self.release.id}")


Components = Mapping[str, Sequence[Component]]  # by environment, in the order of waves
Files = dict[PurePosixPath, bytes]  # by path
Object = dict[str, Any]  # of Kubernetes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The location of the export: paths from the Git repository's root."""

    root: PurePosixPath  # of the stack
    out: PurePosixPath  # of the export
    charts: PurePosixPath = EXTRACTED  # extracted, below `out`


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The options of an export."""

    layout: Literal["components", "addons", "infra"]
    place: Place
    charts: Mapping[str, ChartInfo]  # by key of the chart
    tenants: tuple[Tenant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """The files of an export, below --out, and notes about what it could not map."""

    files: Mapping[PurePosixPath, bytes]
    notes: tuple[Note, ...]
