"""Files that SOPS encrypted: recognises them, finds plain text in them, and lists their recipients; pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devtools.base.yaml_positions import Document, KeyPath
from devtools.errors import Problem

SUFFIX = ".secrets.yaml"
_METADATA = "sops"
_SOPS = re.compile(rb"^sops:\s*$.*^\s+mac: [\"']?ENC\[", re.MULTILINE | re.DOTALL)
_ENCRYPTED = re.compile(r"ENC\[AES256_GCM,data:[A-Za-z0-9+/=]*,iv:[^,\]]+,tag:[^,\]]+,type:(\w+)\]")
_STAND_INS: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False}
# For each kind of key in the metadata: its usual name, and the fields that name the recipient.
_KEYS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "age": ("age", ("recipient",)),
    "pgp": ("PGP", ("fp",)),
    "kms": ("AWS KMS", ("arn",)),
    "gcp_kms": ("GCP KMS", ("resource_id",)),
    "azure_kv": ("Azure Key Vault", ("vault_url", "name", "version")),
    "hc_vault": ("Vault", ("vault_address", "engine_path", "key_name")),
    "hckms": ("HuaweiCloud KMS", ("key_id",)),
}


def is_encrypted(content: bytes) -> bool:
    """Return whether SOPS encrypted a YAML file: it then ends with SOPS metadata."""
    return bool(_SOPS.search(content))


def recipients(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the recipients of a file, such as `age age1…` and `PGP FBC7…`, in the order of its metadata."""
    found: dict[str, None] = {}
    metadata = data.get(_METADATA)
    metadata = metadata if isinstance(metadata, Mapping) else {}
    for keys in (metadata, *_maps(metadata, "key_groups")):  # one group's keys are in the metadata itself
        for kind, (name, fields) in _KEYS.items():
            for entry in _maps(keys, kind):
                parts = (str(entry[field]).strip("/") for field in fields if entry.get(field))
                found[f"{name} {'/'.join(parts)}"] = None
    return tuple(found)


def encryption_problems(document: Document) -> Iterator[Problem]:
    """Yield the problems of a file of encrypted values: each value in plain text, at its place."""
    if document.problems:
        yield from document.problems
        return
    if not isinstance(document.data.get(_METADATA), Mapping) or "mac" not in document.data[_METADATA]:
        hint = f"encrypt it: sops encrypt --in-place {document.file}; change its values if they were committed"
        yield document.problem((), "is not encrypted by SOPS", hint)
        return
    for path, value in _scalars(_values(document.data)):
        if value is not None and value != "" and not (isinstance(value, str) and _ENCRYPTED.fullmatch(value)):
            hint = f"edit the file with: sops edit {document.file}; values that are not secret belong in the overlay"
            yield document.problem(path, f"{'.'.join(map(str, path))} is in plain text", hint)


def ciphertext_digest(files: Iterable[Mapping[str, Any]]) -> str:
    """Return a digest of the encrypted text in files, without the metadata: a new recipient changes no release.

    It is empty if there are no files.
    """
    text = json.dumps([_values(data) for data in files], sort_keys=True, default=str)
    return "" if text == "[]" else hashlib.sha256(text.encode()).hexdigest()[:40]


def stand_ins(data: Mapping[str, Any], text: str, *, typed: bool = False) -> dict[str, Any]:
    """Return values of the same shape with `text` for each encrypted one; if `typed`, numbers stay numbers."""

    def replaced(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        match = _ENCRYPTED.fullmatch(value) if isinstance(value, str) else None
        return _STAND_INS.get(match[1], text) if match and typed else text if match else value

    return {key: replaced(value) for key, value in _values(data).items()}


def _values(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != _METADATA}


def _maps(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the maps in the list at a key."""
    value = data.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _scalars(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, item in items:
        yield from _scalars(item, (*path, key))
