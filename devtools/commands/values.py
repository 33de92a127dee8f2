"""`invoke values RELEASE`: prints the values for Helm, and the source of each key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.app.stack_cache import decrypted_values
from devtools.base.machine_json import json_text
from devtools.config.references.secrecy import marking
from devtools.config.tenants import find_tenant, load_tenants
from devtools.config.values import Merged, masked, merge
from devtools.errors import ExitCode
from devtools.model import Release, Stack
from devtools.planning.selection import find_release
from devtools.redaction import HIDDEN
from devtools.redaction.origin import unmarked
from devtools.report.text import visible

VERSION = 1  # of the JSON document


def show(app: App, typed: str, options: Options, *, explain: bool, secrets: bool = False, tenant: str = "") -> ExitCode:
    """Print a release's merged values as YAML; with `explain`, each key with the file and line that set it.

    With `secrets`, secrets are shown, too; with `tenant`, that tenant's values override the overlays.
    """
    stack = app.stack()
    release = find_release(stack, typed)
    if tenant:
        release = _of_tenant(release, stack, tenant)
    encrypted = decrypted_values(app, [release]) if secrets else masked(release, HIDDEN)
    merged = merge(release, stack.environment, charts_default=explain, root=stack.root, secrets=encrypted)
    if secrets:
        merged = replace(merged, data=unmarked(merged.data))
    else:
        data = marking(stack.environment)(merged.data)
        app.redactor.learn(data)
        merged = replace(merged, data=app.redactor.hide(data))
    if options.output == "json":
        document = values_json(str(release.id), stack.environment.name, merged, explain=explain)
        app.out.write(json_text(document) + "\n")
    else:
        app.out.write(_explained(merged) if explain else _yaml(merged.data))
    return ExitCode.OK


def _of_tenant(release: Release, stack: Stack, name: str) -> Release:
    """Return the release with the values of a tenant on top."""
    own = find_tenant(load_tenants(stack.root), name).values_of(release)
    return replace(release, values_files=(*release.values_files, stack.root / own)) if own else release


def values_json(release: str, environment: str, merged: Merged, *, explain: bool) -> dict[str, Any]:
    """Return the documented `values` document."""
    document: dict[str, Any] = {
        "version": VERSION,
        "kind": "values",
        "release": release,
        "environment": environment,
        "values": merged.data,
    }
    if explain:
        document["origins"] = {".".join(map(str, key)): str(where) for key, where in merged.origins.items()}
        document["references"] = {
            ".".join(map(str, key)): [str(source) for source in where.sources]
            for key, where in merged.origins.items()
            if where.sources
        }
    return document


def _yaml(data: Mapping[str, Any]) -> str:
    import yaml

    if not data:
        return "{}\n"
    text = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True)
    if all(visible(line) == line for line in text.split("\n")):
        return text
    return yaml.safe_dump(dict(data), sort_keys=False)  # control characters as escapes


def _explained(merged: Merged) -> str:
    """Return one line for each key: `jobs.image: "x"   # environments/local/…:3:1`."""
    rows: list[tuple[str, str]] = []

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                walk(item, (*path, str(key)))
        else:
            where = merged.origins.get(path)
            shown = json_text(value, indent=None)
            places = " <- ".join(map(str, (where, *where.sources))) if where else ""
            rows.append((f"{'.'.join(path)}: {shown}", places))

    walk(merged.data, ())
    width = min(60, max((len(left) for left, _ in rows), default=0))
    return "".join(visible(f"{left:<{width}}  # {where}") + "\n" for left, where in rows)
