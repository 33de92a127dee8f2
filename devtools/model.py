"""The words of the product as frozen values; no behaviour beyond naming and looking up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from devtools.errors import Location
from devtools.redaction.keys import HIDDEN, is_secret

_DATA = re.compile(r"\{?\s*\.(?:data|stringData)\b")
_KEY = re.compile(r"[A-Za-z_][\w-]*")


@dataclass(frozen=True, slots=True, order=True)
class ReleaseId:
    """A Helm release's identity in a cluster, written `namespace/name` in `needs`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """`namespace/name`, the form layer files use."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRef:
    """A chart as a layer file names it, and what it resolved to on this disk.

    `path` is a chart directory (`local`), an archive (`vendored`) or a generated archive (`stand-in`).
    """

    name: str
    path: Path
    kind: Literal["local", "vendored", "stand-in"] = "local"
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """An edge to another release; an optional one vanishes when its target is disabled."""

    release: ReleaseId
    where: Location
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """An HTTP request through a port-forward to a Service that must answer as said."""

    service: str
    port: int
    path: str = "/"
    status: int = 200
    contains: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What must be true on the cluster after a release is synced.

    With neither `condition`, `jsonpath` nor `http`, the kind's own rule holds: workloads are Available,
    CustomResourceDefinitions Established, Jobs complete, volumes bound; anything else must exist.
    """

    where: Location
    kind: str = ""
    name: str = ""
    namespace: str = ""  # empty: the release's
    api_version: str = ""  # empty: looked up by kind
    condition: str = ""  # type of a status condition that must be `True`
    jsonpath: str = ""  # kubectl's form: {.status.phase}
    equals: str = ""
    http: HttpCheck | None = None
    timeout: float = 0.0  # seconds; 0: the release's

    def __str__(self) -> str:
        """`Gateway/public Programmed`, `Kafka/kafka {.status.x} = y`, `http web:80/healthz`."""
        if self.http:
            return f"http {self.http.service}:{self.http.port}{self.http.path}"
        subject = f"{self.kind}/{self.name}"
        if self.condition:
            return f"{subject} {self.condition}"
        if not self.jsonpath:
            return subject
        return f"{subject} {self.jsonpath} = {HIDDEN if self.hides(self.equals) else self.equals}"

    def hides(self, value: str) -> bool:
        """Whether a value at its path is secret."""
        if self.kind == "Secret" and _DATA.match(self.jsonpath):
            return bool(value)
        return bool(value) and is_secret(_KEY.findall(self.jsonpath), value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command run before a release is synced: argv, never a shell string."""

    argv: tuple[str, ...]
    timeout: float = 60.0
    where: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Fields of an object that something else than the chart may set: no difference there counts."""

    kind: str
    paths: tuple[str, ...]  # JSON pointers
    name: str = ""  # empty: every object of the kind
    group: str = ""  # empty: the core group, or whichever group has the kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One Helm release as declared, with what this environment makes of it."""

    name: str
    namespace: str
    layer: str
    chart: ChartRef
    where: Location
    values: Mapping[str, Any] = field(default_factory=dict)  # inline in the layer file
    values_where: Mapping[tuple[str | int, ...], Location] = field(default_factory=dict, compare=False, repr=False)
    values_files: tuple[Path, ...] = ()  # overlays that exist, weakest first
    needs: tuple[Need, ...] = ()
    contract: tuple[Contract, ...] = ()
    before: tuple[Hook, ...] = ()
    installed: bool = True
    disabled_by: str = ""  # the key that switched it off, and where
    optional: bool = False
    smoke: bool = False
    timeout: float = 300.0  # seconds
    wait: bool = True
    history: int = 5  # revisions Helm keeps
    labels: Mapping[str, str] = field(default_factory=dict)
    team: str = ""  # that owns it in GitOps exports; empty: that of the settings
    ignore: tuple[Ignore, ...] = ()
    gitops: bool = True  # part of GitOps exports
    argocd: Mapping[str, Any] = field(default_factory=dict)  # laid over its Application's spec
    flux: Mapping[str, Any] = field(default_factory=dict)  # laid over its HelmRelease's spec

    @property
    def id(self) -> ReleaseId:
        """Its identity in the cluster."""
        return ReleaseId(self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A named slice of the stack, `NN-name`, in the order of its number."""

    name: str
    file: Path
    stage: str
    alias: str = ""  # the name Tilt shows, when it is another
    critical: bool = True  # apps, and the layers after it, wait for it
    releases: tuple[Release, ...] = ()
    inactive: str = ""  # why this environment leaves the whole layer out
    tier: str = ""  # its name in GitOps exports, when it is another
    project: str = ""  # of its Applications in GitOps exports; empty: that of the settings
    gitops: bool = True  # part of GitOps exports

    @property
    def number(self) -> int:
        """The numeric prefix."""
        return int(self.name.partition("-")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One set of overlays and switches; `values` is what `installed:` paths look into."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Everything declared in one repository, as one environment sees it; layers in order."""

    name: str
    root: Path
    environment: Environment
    layers: tuple[Layer, ...]
    environments: tuple[str, ...] = ()

    def releases(self) -> tuple[Release, ...]:
        """All releases, in layer order, disabled ones too."""
        return tuple(release for layer in self.layers for release in layer.releases)

    def layer(self, name: str) -> Layer:
        """The layer of exactly this name; KeyError where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object of a release on the cluster; `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`kind/name`, as kubectl prints it."""
        return f"{self.kind}/{self.name}"


STAND_IN = "stand-in"
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})  # Helm's, while it works
BUSY = PENDING | {"uninstalling"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFact:
    """What the cluster holds of one release now."""

    id: ReleaseId
    status: str  # Helm's: deployed, failed, pending-install, …
    revision: int
    digest: str = ""  # our inputs' digest that this revision was made from
    ready: str = ""  # the digest that was seen ready and kept its contract
    tested: str = ""  # of a smoke release: the layer's digest that its tests passed on; `failed` if they failed last
    objects: tuple[ObjectRef, ...] = ()  # what the ready revision made
    missing: tuple[ObjectRef, ...] = ()  # those of them that are gone
    going: tuple[ObjectRef, ...] = ()  # those of them that are being deleted
    leaving: bool = False  # its namespace is being deleted, and with it all that is in there
    layer: str = ""  # the layer label it was installed with
    stack: str = ""  # the stack label it was installed with
    chart: str = ""  # the kind of chart it was installed from; empty if another tool installed it
    cut_off: tuple[int, ...] = ()  # revisions before this one that Helm still calls pending
    other_helm: str = ""  # field manager of a helm that devtools did not start, where its operation is not finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the cluster holds now, by release."""

    releases: Mapping[ReleaseId, ReleaseFact] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()  # made for releases of the stack; looked at only where they may go
    crds: tuple[str, ...] = ()  # that came with the stack; looked at only where they may go


class Action(StrEnum):
    """What a step will do."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    UNCHANGED = "unchanged"
    UNINSTALL = "uninstall"
    BLOCKED = "blocked"
    DISABLED = "disabled"


SYNCED = frozenset({Action.INSTALL, Action.UPGRADE})  # helm brings these releases to what is declared


class Sweep(StrEnum):
    """What is left of a stack when its releases are gone; the value stands where a release has its namespace.

    No namespace has a capital letter, so no release can be meant.
    """

    NAMESPACES = "Namespaces"
    CRDS = "CRDs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a run will do to one release, and why; `needs` are edges inside the plan."""

    release: Release
    action: Action
    reason: str
    needs: tuple[ReleaseId, ...] = ()
    digest: str = ""
    recover: str = ""  # the pending-* or failed state to clear first, or STAND_IN to uninstall first
    cut_off: tuple[int, ...] = ()  # older revisions that Helm still calls pending, to forget
    revision: int = 0  # the deployed revision now; 0: none
    sweep: Sweep | None = None  # it is about no release, but about what is left of all of them
    force: bool = False  # of CRDs: with whatever objects of their kinds there are
    recreate: bool = False  # objects that refuse a change because it is to what cannot change are deleted first
    take: bool = False  # fields and objects that are somebody else's are taken over
    take_pending: bool = False  # a helm that has not finished its work on the release is taken for cut off
    going: tuple[ObjectRef, ...] = ()  # objects that are being deleted, and are waited for first
    adopt: bool = False  # the release was installed by other means, or by another stack, and becomes this stack's

    @property
    def id(self) -> ReleaseId:
        """The release it is about."""
        return self.release.id

    @property
    def is_on_stand_in(self) -> bool:
        """Whether it rests on a stand-in; what removes a release, or leaves it out, uses no chart."""
        return self.release.chart.kind == STAND_IN and self.action not in {"uninstall", "disabled", "blocked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in an order that respects every edge; the same inputs give the same plan."""

    stack: Stack
    layers: tuple[str, ...]  # selected ones, in order
    steps: tuple[Step, ...]
    keeps_crds: bool = False  # releases go and their CRDs stay, which is to be said
    undeclared: tuple[ReleaseId, ...] = ()  # on the cluster, and stay there: no layer declares them any more
