"""The values and rules of Tilt's that its functions share: blobs, commands, labels, names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
# Contexts of clusters that Tilt takes for local ones, by how their makers name them.
_LOCAL = re.compile(
    r"(kind|k3d|colima)(-.*)?|minikube.*|docker-desktop|docker-for-desktop|microk8s.*|rancher-desktop"
    r"|orbstack|crc-.*|krucible-.*|.*/api-crc-testing.*"
)


class Refused(Exception):
    """What Tilt's function says where it refuses its arguments."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Contents, where a str would be a path: what local(), read_file(), helm() and blob() return."""

    text: str


def text_of(value: Any, what: str) -> str:
    """A str; a blob is none."""
    if isinstance(value, Blob):
        raise Refused(f"{what}: got blob, want string (a blob is no string: str(…) makes one of it)")
    if not isinstance(value, str):
        raise Refused(f"{what}: got {kind_of(value)}, want string")
    return value


def texts_of(value: Any, what: str, *, one: bool = False) -> tuple[str, ...]:
    """A list of str; with `one`, a single str or None, too."""
    if value is None:
        return ()
    if one and isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, list | tuple):
        raise Refused(f"{what}: got {kind_of(value)}, want {'string or ' if one else ''}list of strings")
    return tuple(text_of(item, what) for item in value)


def command_of(value: Any, what: str) -> tuple[str, ...] | str:
    """A list is run as it is, a str by a shell; None and "" are no command."""
    if value is None:
        return ()
    if isinstance(value, str):
        return value
    return texts_of(value, what)


def env_of(value: Any, what: str) -> Mapping[str, str]:
    """Names and values, both str: a number is refused."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Refused(f"{what}: got {kind_of(value)}, want dict")
    return {text_of(key, what): text_of(item, f"{what}[{key!r}]") for key, item in value.items()}


def labels_of(value: Any) -> tuple[str, ...]:
    """Legal labels, sorted."""
    labels = texts_of(value, "labels", one=True)
    for label in labels:
        if not _LABEL.fullmatch(label):
            rule = "1 to 63 of letters, digits, '-', '_' and '.', with a letter or digit at both ends"
            raise Refused(f"invalid label {label!r}: a label has {rule}")
    return tuple(sorted(set(labels)))


def check_name(name: str) -> str:
    """A resource's name is one segment of a path: ':' is fine."""
    if not name or name in {".", ".."} or "/" in name or "%" in name:
        raise Refused(f"invalid resource name {name!r}: it must not be empty, '.', '..', nor hold '/' or '%'")
    return name


def is_local_context(context: str) -> bool:
    """Whether Tilt acts on a context without being told so; no context at all is fine."""
    return not context or _LOCAL.fullmatch(context) is not None


def absolute(directory: Path, path: str) -> str:
    """A path as Tilt makes it absolute: from the directory of the file that is being executed, `..` resolved."""
    import os.path  # noqa: PLC0415 - normpath: a path that is watched need not exist, and links stay

    return (
        os.path.normpath(directory / Path(path).expanduser())
        if path.startswith("~")
        else os.path.normpath(directory / path)
    )


def kind_of(value: Any) -> str:
    """Starlark's name of a value's type."""
    if isinstance(value, Blob):
        return "blob"
    names = {bool: "bool", int: "int", float: "float", str: "string", list: "list", tuple: "tuple", dict: "dict"}
    return "NoneType" if value is None else names.get(type(value), type(value).__name__.lower())
