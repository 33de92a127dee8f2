"""Computes a release's values as Helm will see them, the place of each key, and the digest of all its inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.base.open_file import relative
from devtools.config.merging import Origins, lay_over
from devtools.errors import Location, config_error
from devtools.model import Environment, Release, ReleaseId

if TYPE_CHECKING:
    from devtools.base.yaml_positions import Document, KeyPath

PLAN_VERSION = 1
"""Part of every digest: raise it when the same inputs would be deployed differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Values after merging; `origins` has the source place of each key's value."""

    data: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[KeyPath, Location] = field(default_factory=dict)


def merge(
    release: Release,
    environment: Environment,
    *,
    charts_default: bool = False,
    root: Path | None = None,
    secrets: Mapping[Path, Mapping[str, Any]] | None = None,
) -> Merged:
    """Merge the release's inline values and overlays: maps merge, lists replace, a null deletes a chart's default.

    Without `charts_default` nulls are kept, because Helm needs to see them; with it, the chart's own values.yaml is the
    base and the result is what templates see. Files below `root` are shown relative to it. Reads the overlay files and
    replaces their references; raises ConfigError if one of them changed and is now broken. Encrypted files are left
    out, unless `secrets` has their values.
    """
    from devtools.base.yaml_positions import read

    origins: Origins = {}
    data: Mapping[str, Any] = lay_over({}, release.values, origins, _inline(release))
    for path in release.values_files:
        document = read_overlay(path, environment, root)
        if document.problems:
            raise config_error(document.problems)
        data = lay_over(data, document.data, origins, document.at)
    secrets = secrets or {}
    for path in (path for path in release.secret_files if path in secrets):
        data = lay_over(data, secrets[path], origins, read(path, relative(path, root)).at)
    if not charts_default:
        return Merged(data=data, origins=origins)
    defaults = chart_values(release.chart.path, root)
    below: Origins = {}
    base = lay_over({}, defaults.data, below, defaults.at)
    merged = lay_over(base, data, below, lambda path: origins.get(path, release.where))
    remaining = _without_deleted(merged, data, base)
    return Merged(data=remaining, origins={path: where for path, where in below.items() if _has(remaining, path)})


def read_overlay(path: Path, environment: Environment, root: Path | None = None) -> Document:
    """Read an overlay; its references are replaced if they are enabled."""
    from devtools.base.yaml_positions import read

    document = read(path, relative(path, root))
    if not environment.references:
        return document
    from devtools.config.references.resolver import References

    return References(environment, root or Path.cwd()).resolve(document)


def overlaid(values: Mapping[str, Any], overlay: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with the cluster's overrides (`Cluster.smoke_values`)."""
    nowhere = Location(file=Path())
    merged: Mapping[str, Any] = lay_over(values, overlay, {}, lambda _path: nowhere)
    return merged


def masked(release: Release, text: str, *, typed: bool = False) -> dict[Path, Mapping[str, Any]]:
    """Return values for `merge` with `text` for each encrypted value; if `typed`, numbers and booleans stay."""
    from devtools.base.yaml_positions import read
    from devtools.sops.encrypted_file import stand_ins

    return {path: stand_ins(read(path).data, text, typed=typed) for path in release.secret_files}


def secret_shapes(release: Release, values: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the keys of secret values, encrypted or marked in `values`, as shapes for `marked_at`."""
    from devtools.redaction.origin import marked_keys

    return (*masked(release, "").values(), marked_keys(values) or {})


def with_stand_ins(
    releases: Iterable[Release], values: Mapping[ReleaseId, Mapping[str, Any]]
) -> dict[ReleaseId, Mapping[str, Any]]:
    """Return values of releases with placeholders for encrypted ones, to render without a key."""
    found = dict(values)
    for release in releases:
        for data in masked(release, "encrypted", typed=True).values() if release.id in found else ():
            found[release.id] = overlaid(found[release.id], data)
    return found


def inputs_digest(
    release: Release, values: Mapping[str, Any], chart_digest: str, overlay: Mapping[str, Any] | None = None
) -> str:
    """Return 40 hexadecimal digits that change with anything that would be deployed.

    `values` are the merged ones (`Merged.data`), `overlay` the cluster's overrides, `chart_digest` that of the chart's
    bytes. For encrypted values, the encrypted text counts. Timeouts count: a longer one is a reason to retry a release
    that never became ready.
    """
    inputs = {
        "plan": PLAN_VERSION,
        "chart": chart_digest,
        "values": overlaid(values, overlay or {}),
        "helm": [release.timeout, release.wait, release.history, dict(release.labels)],
        "before": [[*hook.argv] for hook in release.before],
    }
    if release.after:
        inputs["after"] = [[*hook.argv] for hook in release.after]
    if release.secrets_digest:
        inputs["secrets"] = release.secrets_digest
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def chart_values(chart: Path, root: Path | None = None) -> Document:
    """Return the chart's own values.yaml, of a directory or an archive; empty if it has none.

    Problems in it are not the user's to fix: its readable part is used.
    """
    import tarfile

    from devtools.base.archives import UNREADABLE, content_of, members
    from devtools.base.open_file import open_source
    from devtools.base.yaml_positions import Document, parse, read

    if chart.is_dir():
        path = chart / "values.yaml"
        return read(path, relative(path, root)) if path.is_file() else Document(file=path)
    shown = relative(chart, root) / "values.yaml"
    if not chart.is_file():
        return Document(file=shown)  # or it is a pipe
    try:
        with open_source(chart) as file, tarfile.open(fileobj=file) as archive:
            for member in members(archive):
                if member.isfile() and member.name.count("/") == 1 and member.name.endswith("/values.yaml"):
                    return parse(content_of(archive, member), shown)
    except UNREADABLE:
        return Document(file=shown)  # verifying the archive reports its problem
    return Document(file=shown)


def _inline(release: Release) -> Any:
    return lambda path: release.values_where.get(path, release.where)


def _has(data: Any, path: KeyPath) -> bool:
    for key in path:
        if not isinstance(data, Mapping) or key not in data:
            return False
        data = data[key]
    return True


def _without_deleted(merged: Mapping[str, Any], over: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the keys that `over` sets to null and `base` has: Helm's coalescing drops only those."""
    remaining: dict[str, Any] = {}
    for key, value in merged.items():
        if key in over and over[key] is None and key in base:
            continue
        above, below = over.get(key), base.get(key)
        if isinstance(value, Mapping) and isinstance(above, Mapping) and isinstance(below, Mapping):
            value = _without_deleted(value, above, below)  # noqa: PLW2901 - the same value, less what is deleted
        remaining[key] = value
    return remaining
