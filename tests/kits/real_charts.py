"""The pinned third-party charts as their publishers made them, where they are vendored.

They are no part of the repository. Besides `charts/third_party`, archives are looked for in the directory that
DEVTOOLS_TEST_CHARTS names, as `<name>-<version>.tgz`.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.base.machine_yaml import read_documents
from devtools.charts.lock import LockEntry, load_lock
from devtools.charts.standin import crd_object
from tests.platform.support import releases, render, run

ROOT = Path(__file__).resolve().parents[2]
PINNED = {entry.chart: entry for entry in load_lock(ROOT / "charts", ROOT).entries.values()}
WHERE = "DEVTOOLS_TEST_CHARTS"


def archive_of(entry: LockEntry) -> Path | None:
    """The chart's archive, if it is on this machine."""
    vendored = ROOT / "charts" / "third_party" / entry.archive
    if vendored.exists():
        return vendored
    place = os.environ.get(WHERE)
    other = Path(place) / entry.archive.name if place else None
    return other if other and other.exists() else None


VENDORED = {name: path for name, entry in PINNED.items() if (path := archive_of(entry))}


def vendored(*names: str) -> pytest.MarkDecorator:
    """Skip, and count, a test for which one of these charts is missing (all pinned ones, if none is named)."""
    missing = sorted({*(names or PINNED)} - {*VENDORED})
    reason = f"not vendored: {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}; see docs/real-programs.md"
    return pytest.mark.skipif(bool(missing), reason=reason)


def each_vendored(names: Iterable[str] = PINNED) -> list[Any]:
    """Parameters: every one of these charts that is vendored, or one that is skipped."""
    found = [name for name in names if name in VENDORED]
    return found or [pytest.param("", marks=vendored(*names))]


def rendered(
    helm: Path,
    chart: Path,
    name: str,
    *files: Path,
    namespace: str = "default",
    values: Mapping[str, Any] | None = None,
    switches: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Everything that a chart renders to, CRDs included; `switches` are for `--set`."""
    return _rendered(helm, chart, name, namespace, files, yaml.safe_dump(dict(values or {})), switches)


@cache
def _rendered(
    helm: Path, chart: Path, name: str, namespace: str, files: tuple[Path, ...], values: str, switches: tuple[str, ...]
) -> list[dict[str, Any]]:
    words = [word for file in (*files, "-") for word in ("-f", file)]
    words += [word for switch in switches for word in ("--set", switch)]
    result = run([helm, "template", name, chart, "-n", namespace, "--include-crds", *words], values)
    assert result.ok, result.stderr
    return [item for item in read_documents(result.stdout) if item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """CRDs, and the names of those that are the operators' own."""

    crds: tuple[dict[str, Any], ...]
    real: frozenset[str]


def kinds_of(helm: Path, used: Container[str]) -> Kinds:
    """The CRDs of the used kinds: the operators' own where they are here, else those of stand-ins.

    They come from vendored charts, and from files in the directory that DEVTOOLS_CRDS names.
    """
    found: dict[str, dict[str, Any]] = {}
    real: dict[str, dict[str, Any]] = {}
    for name, entry in PINNED.items():
        if name in VENDORED and entry.contract.crds:
            real |= _crds(rendered(helm, VENDORED[name], entry.name, switches=switches_of(entry)))
        else:
            found |= {crd.name: crd_object(crd, keep=False) for crd in entry.contract.crds}
    keycloak = next(release for release in releases("local") if release.name == "keycloak-operator")
    found |= _crds(render(helm, keycloak))
    for file in sorted(Path(os.environ.get("DEVTOOLS_CRDS") or "/nonexistent").glob("*.yaml")):
        real |= _crds(item for item in read_documents(file.read_bytes()) if item)
    crds = tuple(crd for crd in (found | real).values() if crd["spec"]["names"]["kind"] in used)
    return Kinds(crds=crds, real=frozenset(real))


def switches_of(entry: LockEntry) -> tuple[str, ...]:
    """What makes the chart bring its CRDs, for `--set`."""
    return (f"{entry.contract.crds_switch}=true",) if entry.contract.crds_switch else ()


def _crds(items: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in items if item["kind"] == "CustomResourceDefinition"}
