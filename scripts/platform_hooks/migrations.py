"""The Secret that local database migrations read, in the words of Flyway's environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from devtools.errors import DevtoolsError

URL = "jdbc:postgresql://postgres-rw.ameide.svc.cluster.local:5432/graph"
NAMESPACE = "ameide"
BUNDLED = "db-migrations-bundled"
WRITTEN = "db-migrations-local"
# Name of the variable: other names of it in the bundled Secret.
_ALIASES = {"FLYWAY_URL": (), "FLYWAY_USER": ("DB_USERNAME",), "FLYWAY_PASSWORD": ("DB_PASSWORD",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The values, and for each where it comes from."""

    values: Mapping[str, str]
    sources: Mapping[str, str]


def flyway(environ: Mapping[str, str], bundled: Mapping[str, str] | None) -> Found:
    """FLYWAY_URL, FLYWAY_USER, FLYWAY_PASSWORD: of the environment, else of the bundled Secret, else the URL's default.

    In the bundled Secret, DB_USERNAME and DB_PASSWORD stand in for user and password. Raises DevtoolsError, naming
    everything that is missing.
    """
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name, aliases in _ALIASES.items():
        if environ.get(name):
            values[name], sources[name] = environ[name], "the environment"
            continue
        for key in (name, *aliases):
            if bundled and bundled.get(key):
                values[name], sources[name] = bundled[key], f"{key} of Secret {BUNDLED}"
                break
    if "FLYWAY_URL" not in values:
        values["FLYWAY_URL"], sources["FLYWAY_URL"] = URL, "its default"
    missing = [name for name in _ALIASES if name not in values]
    if missing:
        where = f"Secret {NAMESPACE}/{BUNDLED} " + ("lacks them" if bundled is not None else "is not there")
        raise DevtoolsError(
            f"no value for {' and '.join(missing)}: {where}",
            hint="invoke layer 15-secrets-certs makes it; or set the variables",
        )
    return Found(values=values, sources=sources)
