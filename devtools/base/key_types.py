"""Types of the keys in hand-written files, with their limits.

A class of the model declares each key once: one of these types, and a docstring. `config.validate` validates files
against them with pydantic, `config.schema` describes them to editors. Pydantic is not imported here, because a run that
finds nothing to do loads the model and does not need pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from devtools.base.image_names import DIGEST, LONGEST, REPOSITORY, TAG

T = TypeVar("T")

RESERVED_LABELS = frozenset({"createdAt", "modifiedAt", "name", "owner", "status", "version"})
"""The labels that Helm itself puts on a release's record."""
MESSAGES: dict[str, str] = {}
"""The error text for a mismatch of each pattern."""
_LONGEST_PART = 100  # of a publisher, a chart's name and its version: parts of a file name, limited to 255 bytes
_LONGEST_DURATION = 24 * 3600.0
DURATION = r"^(?=.)([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
CHARTS = r"^(upstream|extracted|oci://[^@\s]+)$"  # where GitOps controllers get charts from
_DOTTED = r"^[^.\s]+(\.[^.\s]+)*$"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NEED = f"^{_LABEL}/{_LABEL}$"
_PART = "[a-z0-9]([-a-z0-9_.]*[a-z0-9])?"
EXACT = r"v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
_ENDS = "with a letter or digit at both ends"


class Limits:
    """Limits of a value, by pydantic's names: the arguments of its `Field`."""

    def __init__(self, **limits: Any) -> None:
        self.limits = limits


class Nullable:
    """Text that may be null in a file, which is read as empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A value that a function converts from the file's; it raises ValueError. `schema` describes the file's value."""

    parse: Callable[[Any], Any]
    schema: Mapping[str, Any]


class Written(NamedTuple):
    """How a field appears in a file if not as itself: as another type (None: not at all), or under another key."""

    kind: Any = ...
    key: str = ""


Derived = Annotated[T, Written(None)]
"""A field without a key in any file."""


def duration(value: Any) -> float:
    """Return the seconds of `300`, `30s`, `5m`, `1h30m`; raises ValueError for anything else."""
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


def _need(value: Any) -> tuple[str, bool]:
    """Return `namespace/name` of the release, and whether the need is optional."""
    optional = False
    if isinstance(value, dict) and value.keys() <= {"release", "optional"}:
        optional, value = value.get("optional", False), value.get("release")
    if isinstance(value, str) and re.fullmatch(NEED, value) and isinstance(optional, bool):
        return value, optional
    raise ValueError("must be 'namespace/name', or {release: namespace/name, optional: true}")


def _switch(value: Any) -> bool | str:
    """Return True, False, or a dotted path into the environment's values."""
    if isinstance(value, bool) or (isinstance(value, str) and re.fullmatch(_DOTTED, value)):
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


def _pattern(pattern: str, message: str, **limits: int) -> Limits:
    MESSAGES[pattern] = message
    return Limits(pattern=pattern, **limits)


_NAME = _pattern(f"^{_LABEL}$", f"must be a Kubernetes name: lower-case letters, digits and '-', {_ENDS}")
_CHART_PART = _pattern(f"^{_PART}$", f"must be lower-case letters, digits, '-', '_' and '.', {_ENDS}")
_CHART = _pattern(
    f"^{_PART}/{_PART}(@{EXACT})?$",
    "must be platform/<chart>, manifests/<dir>, kustomize/<dir> or <publisher>/<chart>[@<version>]",
)
_VERSION = _pattern(f"^{EXACT}$", "must be a version such as 1.2.3 or v1.2.3-rc.1")
_SHA256 = _pattern("^[0-9a-f]{64}$", "must be 64 lower-case hexadecimal digits")
_OBJECT_NAME = _pattern(
    r"^(\{release\}|\{fullname\})?[-a-z0-9.]*$",
    "must be a Kubernetes name, which may begin with {release} or {fullname}",
)
_SWITCH = _pattern(_DOTTED, "must be a dotted path into values, such as crds.enabled")
_LABEL_VALUE = _pattern(
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    f"must be a Kubernetes label value: letters, digits, '-', '_' and '.', {_ENDS}",
)
_LABEL_KEY = _pattern(
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    "must be a Kubernetes label key: a name, or prefix/name",
)
_JSONPATH = _pattern(r"^\{.+\}$", "must be a field in kubectl's form, such as {.status.phase}")
_POINTER = _pattern(
    r"^(/([^~/]|~[01])+)+$", "must be a JSON pointer, such as /spec/replicas (a '/' in a key is ~1, a '~' is ~0)"
)
_VISIBLE = r"[^\s\x00-\x1f\x7f]"  # no program takes a NUL in an argument
_GIT = _pattern(
    rf"^(https?|ssh|file)://{_VISIBLE}+$|^[\w.-]+@[\w.-]+:{_VISIBLE}+$",
    "must be the URL of a Git repository, such as https://git.example.com/team/stack.git",
)
_GIT_SOURCE = _pattern(
    rf"^(https://|ssh://|file:///)[^\s\x00-\x1f\x7f-]{_VISIBLE}*$",
    "must be a Git repository's URL: https://, ssh:// or file:///",
)
_GIT_REF = _pattern(
    r"^[A-Za-z0-9_][^\s\x00-\x1f\x7f~^:?*\[\\]*$", "must be the name of a branch or a tag, or a whole commit"
)
_GIT_COMMIT = _pattern("^[0-9a-f]{40}$", "must be 40 lower-case hexadecimal digits")
_CHARTS = _pattern(CHARTS, "must be upstream, extracted or the oci:// URL of a registry")
_MIRROR = _pattern(
    rf"^(https?|oci)://[^@\s\x00-\x1f\x7f/]+(/{_VISIBLE}*)?$",
    "must be a URL (https, http or oci) without credentials, which DEVTOOLS_CHART_MIRROR may hold",
)
_KUBERNETES = _pattern(
    r"^v?[0-9]+\.[0-9]+\.[0-9]+([-+]k3s[0-9]+)?$", "must be a whole version, such as 1.34.4 or v1.34.4+k3s1"
)
_PORTS = _pattern(
    "^[0-9]{1,5}:[0-9]{1,5}(/(tcp|udp))?$", "must be HOST:CONTAINER ports, such as 8080:80 or 8053:53/udp"
)
_VOLUME = _pattern(
    "^[^:$]+:/[^:$]*(:r[ow])?$", "must be SOURCE:TARGET, such as ./data:/data or ./data:/data:ro, without '$'"
)
_IMAGE = _pattern(REPOSITORY, "must be an image's name without tag and digest, such as docker.io/alpine/k8s")
_TAG = _pattern(TAG, "must be an image's tag: letters, digits, '_', '.' and '-', at most 128")
_DIGEST = _pattern(DIGEST, "must be 'sha256:' and 64 lower-case hexadecimal digits, or null")
_NEED_KEYS = {
    "release": {"type": "string", "pattern": NEED, "description": "The release, as `namespace/name`."},
    "optional": {"type": "boolean", "description": "Drop it where the release is disabled."},
}
_NEED_MAP = {"type": "object", "additionalProperties": False, "required": ["release"], "properties": _NEED_KEYS}
_SECONDS = {"type": "integer", "minimum": 1, "maximum": int(_LONGEST_DURATION)}

Text = Annotated[str, Limits(min_length=1)]
Name = Annotated[str, _NAME, Limits(max_length=63)]
ReleaseName = Annotated[str, _NAME, Limits(max_length=53)]  # Helm's limit
ClusterName = Annotated[str, _NAME, Limits(max_length=32)]  # k3d's limit
Chart = Annotated[str, _CHART, Limits(max_length=255)]
ChartPart = Annotated[str, _CHART_PART, Limits(max_length=_LONGEST_PART)]
ChartVersion = Annotated[str, _VERSION, Limits(max_length=_LONGEST_PART)]
Sha256 = Annotated[str, _SHA256, Nullable()]
ObjectName = Annotated[str, _OBJECT_NAME, Limits(min_length=1, max_length=63)]
"""A name with the optional placeholders {release} and {fullname}, which depend on the release's name."""
Dotted = Annotated[str, _SWITCH]
LabelKey = Annotated[str, _LABEL_KEY, _label_key]
Labels = Mapping[LabelKey, Annotated[str, _LABEL_VALUE, Limits(max_length=63)]]
Stage = Annotated[str, _LABEL_VALUE, Limits(min_length=1, max_length=42)]  # Tilt's label has 63: prefix, number, stage
Port = Annotated[int, Limits(ge=1, le=65535)]
Rooted = Annotated[str, _pattern("^/", "must begin with '/'")]
JsonPath = Annotated[str, _JSONPATH]
JsonPointer = Annotated[str, _POINTER]
Url = Annotated[str, _pattern(rf"^https?://{_VISIBLE}*$", "must begin with https:// or http://, and hold no spaces")]
Oci = Annotated[str, _pattern(rf"^oci://{_VISIBLE}*$", "must begin with oci://, and hold no spaces")]
Git = Annotated[str, _GIT]
GitSource = Annotated[str, _GIT_SOURCE]
GitRef = Annotated[str, _GIT_REF]
GitCommit = Annotated[str, _GIT_COMMIT, Nullable()]
ChartSource = Annotated[str, _CHARTS]
Mirror = Annotated[str, _MIRROR]
Host = Annotated[
    str, _pattern(r"^[a-z0-9.-]+(:[0-9]{1,5})?$", "must be a host, with a port if it has one, in lower case")
]
Kubernetes = Annotated[str, _KUBERNETES]
PublishedPort = Annotated[str, _PORTS]
Volume = Annotated[str, _VOLUME]
ImageName = Annotated[str, _IMAGE, Limits(max_length=LONGEST)]
ImageTag = Annotated[str, _TAG]
ImageDigest = Annotated[str, _DIGEST, Nullable()]
Duration = Annotated[float, Parsed(duration, {"anyOf": [_SECONDS, {"type": "string", "pattern": DURATION}]})]
Need = Annotated[Any, Parsed(_need, {"anyOf": [{"type": "string", "pattern": NEED}, _NEED_MAP]})]
Switch = Annotated[Any, Parsed(_switch, {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": _DOTTED}]})]
Argument = Annotated[str, Parsed(_argument, {"type": "string"})]
Arguments = Annotated[tuple[Argument, ...], Limits(min_length=1), _command]
