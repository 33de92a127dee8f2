"""The types of an export, from which every engine makes its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from devtools.config.tenants import Tenant
from devtools.model import Contract, Ignore, ReleaseId

LABEL = "gitops.ameide.io"
"""The prefix of the labels of devtools: environment, tier, team, stage, wave, component."""


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
        return f"{self.group}/{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartInfo:
    """The properties of a chart that an export needs, read without rendering it."""

    name: str  # of the chart, and its version if the lock pins it
    source: ChartSource
    files: Mapping[PurePosixPath, bytes] = field(default_factory=dict)  # to write below --out: an extracted chart
    crds: tuple[KindInfo, ...] = ()  # that it contains
    crds_in_directory: bool = False  # in crds/, which Helm never upgrades
    large_crds: bool = False  # one is too large for a client-side apply
    custom_kinds: tuple[KindInfo, ...] = ()  # of custom resources in its templates
    cluster_kinds: tuple[tuple[str, str], ...] = ()  # (group, kind) of cluster-scoped objects in its templates
    kinds: frozenset[str] = frozenset()  # of all objects in its templates
    random: tuple[str, ...] = ()  # functions in its templates with a different result each time
    post_sync: str = ""  # the value that makes its tests hooks of a controller, if it has one
    is_readable: bool = True  # its files are on this disk; otherwise only the lock names its CRDs


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFile:
    """A file of values that a controller reads."""

    path: PurePosixPath  # from the Git repository's root
    content: bytes | None = None  # written by the export; None: referenced in place
    original: bytes | None = None  # content of a file in place, for layouts that copy it
    encrypted: bool = False  # a SOPS file: passed through, never decrypted
    resolved: bool = False  # its references are replaced, so it may differ between environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One release in one environment, as every engine exports it."""

    release: ReleaseId
    name: str  # unique in its environment
    environment: str
    layer: str
    tier: str
    project: str
    team: str
    stage: str
    wave: int
    needs: tuple[ReleaseId, ...] = ()  # direct edges to exported components
    chart: ChartSource
    chart_name: str = ""  # of its ChartInfo
    value_files: tuple[ValueFile, ...] = ()  # weakest first
    contract: tuple[Contract, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    timeout: float = 300.0
    history: int = 5
    wait: bool = True
    on_failure: str = "keep"
    labels: Mapping[str, str] = field(default_factory=dict)
    smoke: bool = False
    optional: bool = False
    creates_namespace: bool = False
    brings_crds: bool = False
    crds_in_directory: bool = False
    large_crds: bool = False
    needs_foreign_crds: bool = False
    skips_crds: bool = False  # another component installs the CRDs of its crds/ directory
    kinds: frozenset[str] = frozenset()  # of the objects in its chart's templates; empty if they are not known
    post_sync: str = ""  # the value of its chart that makes its tests hooks of a controller
    secrets: tuple[str, ...] = ()  # names of Secrets that come from the store
    secret_store: str = ""  # a ClusterSecretStore
    argocd: Mapping[str, Any] = field(default_factory=dict)
    flux: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chart_short(self) -> str:
        """The chart's name in its Chart.yaml."""
        return self.chart_name.rpartition("/")[2].partition("@")[0]

    @property
    def namespace(self) -> str:
        """The namespace it is deployed into."""
        return self.release.namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note about something that an export could not map, or that must be done manually."""

    message: str
    component: str = ""  # `environment/namespace/name`; empty: about the whole export


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The location of the export: paths from the Git repository's root."""

    root: PurePosixPath = field(default_factory=PurePosixPath)  # of the stack
    out: PurePosixPath  # of the export
    charts: PurePosixPath = field(default_factory=lambda: PurePosixPath("sources/charts"))  # extracted, below `out`

    def below_out(self, path: PurePosixPath) -> PurePosixPath:
        """Return the path, from the Git repository's root, of a file below --out."""
        return self.out / path


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The options of an export."""

    layout: Literal["components", "addons", "infra"] = "components"
    order: Literal["", "rolling", "waves", "none"] = ""  # empty: that of the settings
    revision: str = ""  # empty: that of the settings
    place: Place
    charts: Mapping[str, ChartInfo] = field(default_factory=dict)  # by name
    tenants: tuple[Tenant, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """The files of an export, below --out, and notes about what it could not map."""

    files: Mapping[PurePosixPath, bytes] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
