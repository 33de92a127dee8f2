"""The keys of every file people write, as types: pydantic validates with them, the JSON Schema is made of them.

Imports pydantic, so only `config`, `settings`, `schema` and the chart lock import it, inside the functions that need
it. The docstring under a key is its description in the schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Required

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, with_config
from typing_extensions import TypedDict  # pydantic needs it for Python < 3.12

from devtools.base.image_names import DIGEST, REPOSITORY, TAG
from devtools.model import ReleaseId

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
NEED = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
CHART = r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?/[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$"
DURATION = r"^(?=.)([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
DOTTED = r"^[^.\s]+(\.[^.\s]+)*$"

PROVIDER = r"^(auto|kwok|k3d|context)$"
KUBERNETES = r"^v?[0-9]+\.[0-9]+\.[0-9]+([-+]k3s[0-9]+)?$"
PORTS = r"^[0-9]{1,5}:[0-9]{1,5}(/(tcp|udp))?$"
VOLUME = r"^[^:$]+:/[^:$]*(:r[ow])?$"
ROOTED = r"^/"
POINTER = r"^(/([^~/]|~[01])+)+$"
JSONPATH = r"^\{.+\}$"
SHA256 = r"^[0-9a-f]{64}$"
# A Kubernetes name in which {release} and {fullname} may stand for what the release's name makes of it.
OBJECT_NAME = r"^(\{release\}|\{fullname\})?[-a-z0-9.]*$"
CHART_PART = r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$"
LONGEST_PART = 100  # of a publisher, a chart's name and its version: they are parts of a file's name, of 255 bytes
VERSION = r"^v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"
URL = r"^https?://"
OCI = r"^oci://"
GIT = r"^(https?|ssh|file)://[^\s]+$|^[\w.-]+@[\w.-]+:[^\s]+$"
CHARTS = r"^(upstream|extracted|oci://[^@\s]+)$"
SYNC = r"^(auto|manual)$"
PRUNE = r"^(auto|confirm|never)$"
ORDER = r"^(rolling|waves|none)$"
MIRROR = r"^(https?|oci)://[^@\s/]+(/[^\s]*)?$"

RESERVED_LABELS = frozenset({"createdAt", "modifiedAt", "name", "owner", "status", "version"})
"""What Helm itself labels a release's record with."""

_ENDS = "with a letter or digit at both ends"
WORDS = {
    DNS_LABEL: f"must be a Kubernetes name: lower-case letters, digits and '-', {_ENDS}",
    LABEL_VALUE: f"must be a Kubernetes label value: letters, digits, '-', '_' and '.', {_ENDS}",
    LABEL_KEY: "must be a Kubernetes label key: a name, or prefix/name",
    CHART: "must be platform/<chart> or <publisher>/<chart>",
    DOTTED: "must be a dotted path into values, such as crds.enabled",
    OBJECT_NAME: "must be a Kubernetes name, which may begin with {release} or {fullname}",
    PROVIDER: "must be auto, kwok, k3d or context",
    KUBERNETES: "must be a whole version, such as 1.34.4 or v1.34.4+k3s1",
    PORTS: "must be HOST:CONTAINER ports, such as 8080:80 or 8053:53/udp",
    VOLUME: "must be SOURCE:TARGET, such as ./data:/data or ./data:/data:ro, without '$'",
    ROOTED: "must begin with '/'",
    POINTER: "must be a JSON pointer, such as /spec/replicas (a '/' in a key is ~1, a '~' is ~0)",
    JSONPATH: "must be a field in kubectl's form, such as {.status.phase}",
    SHA256: "must be 64 lower-case hexadecimal digits",
    CHART_PART: f"must be lower-case letters, digits, '-', '_' and '.', {_ENDS}",
    VERSION: "must be a version such as 1.2.3 or v1.2.3-rc.1",
    URL: "must begin with https:// or http://",
    OCI: "must begin with oci://",
    GIT: "must be the URL of a Git repository, such as https://git.example.com/team/stack.git",
    CHARTS: "must be upstream, extracted or the oci:// URL of a registry",
    SYNC: "must be auto or manual",
    PRUNE: "must be auto, confirm or never",
    ORDER: "must be rolling, waves or none",
    MIRROR: "must be a URL (https, http or oci) without credentials, which DEVTOOLS_CHART_MIRROR may hold",
    REPOSITORY: "must be an image's name without tag and digest, such as docker.io/alpine/k8s",
    TAG: "must be an image's tag: letters, digits, '_', '.' and '-', at most 128",
    DIGEST: "must be 'sha256:' and 64 lower-case hexadecimal digits, or null",
}
"""What a mismatch of each pattern means to a person."""

_LONGEST_DURATION = 24 * 3600.0


def duration(value: Any) -> float:
    """Seconds of `300`, `30s`, `5m`, `1h30m`; raises ValueError for anything else."""
    seconds = 0.0
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and re.fullmatch(DURATION, value) and len(value) < 20:  # noqa: PLR2004 - digits of any sane one
        units = {"h": 3600, "m": 60, "s": 1}
        seconds = float(sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", value)))
    if not 0 < seconds <= _LONGEST_DURATION:
        raise ValueError(
            "must be a duration above zero and up to a day, such as 30s, 5m or 1h30m (a number is seconds)"
        )
    return seconds


def _need(value: Any) -> tuple[ReleaseId, bool]:
    """The release and whether the need is optional."""
    optional = False
    if isinstance(value, dict) and value.keys() <= {"release", "optional"}:
        optional, value = value.get("optional", False), value.get("release")
    if not (isinstance(value, str) and re.fullmatch(NEED, value) and isinstance(optional, bool)):
        raise ValueError("must be 'namespace/name', or {release: namespace/name, optional: true}")
    namespace, _, name = value.partition("/")
    return ReleaseId(namespace, name), optional


def _switch(value: Any) -> bool | str:
    """True, False, or a dotted path into the environment's values."""
    if isinstance(value, bool) or (isinstance(value, str) and re.fullmatch(DOTTED, value)):
        return value
    raise ValueError("must be true, false, or a dotted path into the environment's values")


def _argument(value: Any) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError("must be text: quote it")


def _command(value: list[str]) -> list[str]:
    if not value[0]:
        raise ValueError("must begin with a program, not with an empty word")
    return value


def _label_key(value: str) -> str:
    if value in RESERVED_LABELS:
        raise ValueError(f"label '{value}' is reserved: Helm sets it itself")
    return value


def _custom(check: Callable[[Any], Any], schema: dict[str, Any]) -> Any:
    return PlainValidator(check), WithJsonSchema(schema)


STRICT = ConfigDict(strict=True, extra="forbid")

Duration = Annotated[float, *_custom(duration, {"anyOf": [
    {"type": "integer", "minimum": 1, "maximum": 86400}, {"type": "string", "pattern": DURATION}]})]  # fmt: skip
NeedEntry = Annotated[Any, *_custom(_need, {"anyOf": [
    {"type": "string", "pattern": NEED},
    {"type": "object", "additionalProperties": False, "required": ["release"],
     "properties": {
         "release": {"type": "string", "pattern": NEED, "description": "The release, as `namespace/name`."},
         "optional": {"type": "boolean", "description": "Drop it where the release is disabled."}}}]})]  # fmt: skip
Switch = Annotated[Any, *_custom(_switch, {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": DOTTED}]})]
Argument = Annotated[str, *_custom(_argument, {"type": "string"})]
Name = Annotated[str, Field(pattern=DNS_LABEL, max_length=63)]
ReleaseName = Annotated[str, Field(pattern=DNS_LABEL, max_length=53)]  # Helm's limit
Chart = Annotated[str, Field(pattern=CHART, max_length=2 * LONGEST_PART + 1)]
Text = Annotated[str, Field(min_length=1)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY), AfterValidator(_label_key)]
Labels = dict[LabelKey, Annotated[str, Field(pattern=LABEL_VALUE, max_length=63)]]
Stage = Annotated[
    str, Field(pattern=LABEL_VALUE, min_length=1, max_length=42)
]  # a Tilt label has 63: prefix, number, stage
History = Annotated[int, Field(ge=1, le=100)]


@with_config(STRICT)
class HttpEntry(TypedDict, total=False):
    """An HTTP request through a port-forward to a Service."""

    service: Required[Name]
    """The Service's name, in the contract's namespace."""
    port: Required[Annotated[int, Field(ge=1, le=65535)]]
    """The Service's port."""
    path: Annotated[str, Field(pattern=ROOTED)]
    """Path and query of the request; `/` when absent."""
    status: Annotated[int, Field(ge=100, le=599)]
    """The status that must come back; 200 when absent."""
    contains: str
    """Text that the body must contain."""


@with_config(STRICT)
class ContractEntry(TypedDict, total=False):
    """What must be true on the cluster after the release is synced."""

    apiVersion: Text
    """The object's apiVersion; looked up by kind when absent."""
    kind: Text
    """The object's kind."""
    name: Text
    """The object's name."""
    namespace: Name
    """The object's namespace; the release's when absent."""
    condition: Text
    """Type of a status condition that must be True, such as `Programmed`."""
    jsonpath: Annotated[str, Field(pattern=JSONPATH)]
    """A field in kubectl's form, such as `{.status.phase}`; `equals` says what it must be."""
    equals: str
    """The value that `jsonpath` must have, as text."""
    http: HttpEntry
    """An HTTP request that must be answered as said, instead of an object."""
    timeout: Duration
    """How long it may take to become true; the release's timeout when absent."""


@with_config(STRICT)
class HookEntry(TypedDict, total=False):
    """A command run before the release is synced."""

    run: Required[Annotated[list[Argument], Field(min_length=1), AfterValidator(_command)]]
    """The command and its arguments; no shell reads them. Relative paths start at the repository's root."""
    timeout: Duration
    """How long it may run; 60s when absent."""
    environments: list[Name]
    """The environments it runs in; all when absent."""


@with_config(STRICT)
class IgnoreEntry(TypedDict, total=False):
    """Fields of an object whose differences do not count."""

    kind: Required[Text]
    """The object's kind."""
    paths: Required[Annotated[list[Annotated[str, Field(pattern=POINTER)]], Field(min_length=1)]]
    """The fields, as JSON pointers such as `/spec/replicas`."""
    name: Text
    """The object's name; every object of the kind when absent."""
    group: str
    """The API group of the kind; any when absent."""


@with_config(STRICT)
class HelmKeys(TypedDict, total=False):
    """How Helm treats a release."""

    timeout: Duration
    """How long a sync may take, readiness included; 5m when absent."""
    wait: bool
    """Wait until the release's objects are ready; true when absent."""
    history: History
    """How many revisions Helm keeps; 5 when absent."""


@with_config(STRICT)
class ReleaseKeys(HelmKeys, total=False):
    """The keys a release may take from `layers/_defaults.yaml`."""

    namespace: Name
    """The namespace it is installed into."""
    labels: Labels
    """Labels of the Helm release record; `stage` and `layer` are set from the file."""
    values: dict[str, Any]
    """Values over the chart's defaults and under every overlay."""
    needs: list[NeedEntry]
    """Releases that must be ready first, as `namespace/name`: of this layer or an earlier one."""
    contract: list[ContractEntry]
    """What must be true on the cluster after it is synced."""
    before: list[HookEntry]
    """Commands run before it is synced."""
    installed: Switch
    """Whether it is installed: true, false, or a dotted path into the environment's values."""
    environments: list[Name]
    """The environments it belongs to; all when absent."""
    optional: bool
    """Smoke tests that may be skipped: the log says why."""
    smoke: bool
    """A release of smoke tests: it needs all other releases of its layer."""
    team: Name
    """The team that owns it in GitOps exports; that of `gitops` in devtools.yaml when absent."""
    ignore: list[IgnoreEntry]
    """Fields that others set: `invoke drift`, Argo CD and Flux ignore their differences."""
    gitops: bool
    """Whether it is part of GitOps exports; true when absent."""
    argocd: dict[str, Any]
    """Laid over the spec of its Argo CD Application."""
    flux: dict[str, Any]
    """Laid over the spec of its Flux HelmRelease."""


@with_config(STRICT)
class ReleaseEntry(ReleaseKeys, total=False):
    """One Helm release."""

    name: Required[ReleaseName]
    """The Helm release's name."""
    chart: Required[Chart]
    """`platform/<chart>` (a directory of ours) or `<publisher>/<chart>` (vendored, in the lock)."""


@with_config(STRICT)
class LayerFile(TypedDict, total=False):
    """A layer: `layers/NN-name.yaml`."""

    stage: Required[Stage]
    """The layer's stage: a label on its releases, and its group in Tilt."""
    alias: Name
    """Another name for the layer, shown in Tilt."""
    critical_path: bool
    """Whether later layers and apps wait for it; true when absent."""
    environments: list[Name]
    """The environments it belongs to; all when absent."""
    tier: Name
    """Its name in GitOps exports; the layer's name when absent."""
    project: Name
    """The project of its releases in GitOps exports; that of `gitops` in devtools.yaml when absent."""
    gitops: bool
    """Whether it is part of GitOps exports; true when absent."""
    releases: list[ReleaseEntry]
    """Its Helm releases."""


@with_config(STRICT)
class DefaultsFile(TypedDict, total=False):
    """Defaults of all layers: `layers/_defaults.yaml`."""

    helm: HelmKeys
    """Helm's defaults for every release."""
    release: ReleaseKeys
    """Any other key that every release takes when it does not say otherwise."""
