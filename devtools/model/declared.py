"""The declarations in the files of a stack, as frozen values; no behaviour beyond names and look-ups.

A field with a docstring is a key of a file that users write; the docstring is its description in the JSON Schema. All
other fields are derived.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from devtools.base import key_types as key
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

    `path` is a chart directory (`local`), an archive (`vendored`), or an archive in the cache that devtools makes:
    of a contract (`stand-in`), of manifests or a kustomization (`packaged`).
    """

    name: str
    path: Path
    kind: Literal["local", "vendored", "stand-in", "packaged"] = "local"
    version: str = ""
    sha256: str = ""  # of an archive as the lock says, of a packaged chart's sources
    sources: tuple[Path, ...] = ()  # directories that a packaged chart is made of
    dependencies: tuple[str, ...] = ()
    """The names of the dependencies that a local chart declares."""
    pin: str = ""  # `<publisher>/<chart>@<version>`, its entry in the lock

    @property
    def key(self) -> str:
        """Its unique key: its pin, otherwise its name."""
        return self.pin or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """An edge to another release; an optional one vanishes when its target is disabled."""

    release: ReleaseId
    where: Location
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """An HTTP request through a port-forward to a Service."""

    service: key.Name
    """The Service's name, in the contract's namespace."""
    port: key.Port
    """The Service's port."""
    path: key.Rooted = "/"
    """Path and query of the request; `/` when absent."""
    status: Annotated[int, key.Limits(ge=100, le=599)] = 200
    """The status that must come back; 200 when absent."""
    contains: str = ""
    """Text that the body must contain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What must be true on the cluster after the release is synced.

    With neither `condition`, `jsonpath` nor `http`, the kind's own rule holds: workloads are Available,
    CustomResourceDefinitions Established, Jobs complete, volumes bound; anything else must exist.
    """

    where: key.Derived[Location]
    api_version: Annotated[key.Text, key.Written(key="apiVersion")] = ""
    """The object's apiVersion; looked up by kind when absent."""
    kind: key.Text = ""
    """The object's kind."""
    name: key.Text = ""
    """The object's name."""
    namespace: key.Name = ""
    """The object's namespace; the release's when absent."""
    condition: key.Text = ""
    """Type of a status condition that must be True, such as `Programmed`."""
    jsonpath: key.JsonPath = ""
    """A field in kubectl's form, such as `{.status.phase}`; `equals` says what it must be."""
    equals: str = ""
    """The value that `jsonpath` must have, as text."""
    http: HttpCheck | None = None
    """An HTTP request that must get the declared answer, instead of an object."""
    timeout: key.Duration = 0.0
    """How long it may take to become true; the release's timeout when absent."""

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
        """Return whether a value at its path is secret."""
        if self.kind == "Secret" and _DATA.match(self.jsonpath):
            return bool(value)
        return bool(value) and is_secret(_KEY.findall(self.jsonpath), value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command run before a release is synced or once it is ready, or before or after a whole run."""

    where: key.Derived[Location]
    argv: Annotated[tuple[str, ...], key.Written(key.Arguments, "run")]
    """The command and its arguments; no shell reads them. Relative paths start at the repository's root."""
    timeout: key.Duration = 60.0
    """How long it may run; 60s when absent."""
    environments: tuple[key.Name, ...] | None = None
    """The environments it runs in; all when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Fields of an object whose differences do not count."""

    kind: key.Text
    """The object's kind."""
    paths: Annotated[tuple[key.JsonPointer, ...], key.Limits(min_length=1)]
    """The fields, as JSON pointers such as `/spec/replicas`."""
    name: key.Text = ""
    """The object's name; every object of the kind when absent."""
    group: str = ""
    """The API group of the kind; any when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmKeys:
    """How Helm treats a release."""

    timeout: key.Duration = 300.0
    """How long a sync may take, readiness included; 5m when absent."""
    wait: bool = True
    """Wait until the release's objects are ready; true when absent."""
    history: Annotated[int, key.Limits(ge=1, le=100)] = 5
    """How many revisions Helm keeps; 5 when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseKeys(HelmKeys):
    """The keys a release may take from `layers/_defaults.yaml`."""

    namespace: key.Name = ""
    """The namespace it is installed into."""
    create_namespace: bool = True
    """Whether its namespace is created if it is missing; true when absent. If false, the namespace must exist."""
    labels: key.Labels = field(default_factory=dict)
    """Labels of the Helm release record; `stage` and `layer` are set from the file."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values over the chart's defaults and under every overlay."""
    needs: Annotated[tuple[Need, ...], key.Written(tuple[key.Need, ...])] = ()
    """Releases that must be ready first, as `namespace/name`: of this layer or an earlier one."""
    contract: tuple[Contract, ...] = ()
    """What must be true on the cluster after it is synced."""
    before: tuple[Hook, ...] = ()
    """Commands run before it is synced."""
    after: tuple[Hook, ...] = ()
    """Commands run after it is synced, once it is ready and keeps its contract."""
    on_failure: Literal["keep", "rollback", "uninstall"] = "keep"
    """The action if its sync fails: `keep` it unchanged (the default), `rollback` or `uninstall` it."""
    installed: Annotated[bool, key.Written(key.Switch)] = True
    """Whether it is installed: true, false, or a dotted path into the environment's values."""
    environments: tuple[key.Name, ...] | None = None
    """The environments it belongs to; all when absent."""
    optional: bool = False
    """Smoke tests that may be skipped: the log says why."""
    smoke: bool = False
    """A release of smoke tests: it needs all other releases of its layer."""
    team: key.Name = ""
    """The team that owns it in GitOps exports; that of `gitops` in devtools.yaml when absent."""
    ignore: tuple[Ignore, ...] = ()
    """Fields that others set: `invoke drift`, Argo CD and Flux ignore their differences."""
    secrets: tuple[key.Name, ...] = ()
    """Secrets that a GitOps export takes from the secret store, by name."""
    gitops: bool = True
    """Whether it is part of GitOps exports; true when absent."""
    argocd: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the spec of its Argo CD Application."""
    flux: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the spec of its Flux HelmRelease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(ReleaseKeys):
    """One Helm release."""

    name: key.ReleaseName
    """The Helm release's name."""
    chart: Annotated[ChartRef, key.Written(key.Chart)]
    """`platform/<chart>`, `manifests/<dir>` or `kustomize/<dir>` (directories), or `<publisher>/<chart>[@<version>]`
    (vendored, in the lock)."""
    layer: key.Derived[str]
    where: key.Derived[Location]
    values_where: key.Derived[Mapping[tuple[str | int, ...], Location]] = field(
        default_factory=dict, compare=False, repr=False
    )
    values_files: key.Derived[tuple[Path, ...]] = ()  # overlays that exist, weakest first
    secret_files: key.Derived[tuple[Path, ...]] = ()  # encrypted overlays, on top of those, weakest first
    secrets_digest: key.Derived[str] = ""  # of what is encrypted in them
    disabled_by: key.Derived[str] = ""  # the key that disabled it, and its place

    @property
    def id(self) -> ReleaseId:
        """Its identity in the cluster."""
        return ReleaseId(self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer: `layers/NN-name.yaml`."""

    name: key.Derived[str]
    file: key.Derived[Path]
    stage: key.Stage
    """The layer's stage: a label on its releases, and its group in Tilt."""
    alias: key.Name = ""
    """Another name for the layer, shown in Tilt."""
    critical: Annotated[bool, key.Written(key="critical_path")] = True
    """Whether later layers and apps wait for it; true when absent."""
    environments: tuple[key.Name, ...] | None = None
    """The environments it belongs to; all when absent."""
    tier: key.Name = ""
    """Its name in GitOps exports; the layer's name when absent."""
    project: key.Name = ""
    """The project of its releases in GitOps exports; that of `gitops` in devtools.yaml when absent."""
    gitops: bool = True
    """Whether it is part of GitOps exports; true when absent."""
    releases: tuple[Release, ...] = ()
    """Its Helm releases."""
    inactive: key.Derived[str] = ""  # why the environment leaves out the whole layer

    @property
    def number(self) -> int:
        """The numeric prefix."""
        return int(self.name.partition("-")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class SetValue:
    """A value of the environment that `--set` replaces for one run."""

    key: str
    value: Any
    declared: Any  # the value in its files
    where: Location  # its place in the files

    def shown(self) -> dict[str, str]:
        """Return the value as text, JSON if it is not text."""
        value, before = (one if isinstance(one, str) else json.dumps(one) for one in (self.value, self.declared))
        return {"key": self.key, "value": value, "before": before, "where": str(self.where)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One set of overlays and switches; `values` is what `installed:` paths and references look into."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[tuple[str | int, ...], Location] = field(default_factory=dict, compare=False, repr=False)
    references: bool = False  # whether layer files and overlays may refer to the values
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)  # of files that are referred to, by path
    sets: tuple[SetValue, ...] = ()  # typed values that are in `values`


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Everything declared in one repository, as one environment sees it; layers in order."""

    name: str
    root: Path
    environment: Environment
    layers: tuple[Layer, ...]
    environments: tuple[str, ...] = ()
    before: tuple[Hook, ...] = ()  # commands around a run that changes something, in this environment
    after: tuple[Hook, ...] = ()

    def releases(self) -> tuple[Release, ...]:
        """Return all releases, in layer order, disabled ones too."""
        return tuple(release for layer in self.layers for release in layer.releases)

    def must_exist(self) -> frozenset[str]:
        """Return the namespaces that are never created or removed: a release has `create_namespace: false`."""
        return frozenset(release.namespace for release in self.releases() if not release.create_namespace)

    def layer(self, name: str) -> Layer:
        """Return the layer of exactly this name; KeyError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)
