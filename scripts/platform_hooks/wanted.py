"""Which secrets the platform reads, from the values of the release that makes ExternalSecrets of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import read_yaml
from devtools.errors import ConfigError

RELEASE = "15-secrets-certificates/vault-secrets.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One secret of the store and the properties that it must have."""

    path: str
    properties: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """What the values say: the secrets, the engine they lie in, and the token of a Vault in development mode."""

    secrets: tuple[Wanted, ...]
    mount: str = "secret"
    development_token: str = ""


def read_seeds(environments: Path, environment: str) -> Seeds:
    """The seeds of one environment, by its overlays of `vault-secrets`; ConfigError where they cannot be read."""
    files = [environments / level / RELEASE for level in ("_shared", environment)]
    merged: dict[str, Any] = {}
    for file in files:
        if file.exists():
            _lay_over(merged, _load(file))
    if not merged.get("secrets"):
        raise ConfigError("no secrets are declared", hint=f"look at {files[0]}")
    try:
        store = merged.get("store") or {}
        token = ((store.get("auth") or {}).get("token") or {}).get("development", "")
        found, mount = wanted(merged["secrets"].values()), str(store.get("path", "secret"))
    except (AttributeError, KeyError, TypeError) as error:
        hint = f"compare them with values.yaml of the chart; they are in {files[0]}"
        raise ConfigError("the values of vault-secrets do not match the schema of its chart", hint=hint) from error
    return Seeds(secrets=found, mount=mount, development_token=str(token))


def wanted(declared: Iterable[Mapping[str, Any]]) -> tuple[Wanted, ...]:
    """Each path once, sorted, with all properties that any of the Secrets takes from it."""
    found: dict[str, set[str]] = {}
    for secret in declared:
        found.setdefault(str(secret["path"]), set()).update(map(str, secret["keys"].values()))
    return tuple(Wanted(path=path, properties=tuple(sorted(names))) for path, names in sorted(found.items()))


def random_value(name: str) -> str:
    """A random value: 32 URL-safe characters, or 64 hexadecimal digits where the name ends in `-hex`."""
    return secrets.token_hex(32) if name.endswith("-hex") else secrets.token_urlsafe(24)


def _load(file: Path) -> dict[str, Any]:
    try:
        data = read_yaml(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {file}: {type(error).__name__}", hint="invoke layers checks it") from error
    return data if isinstance(data, dict) else {}


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value
