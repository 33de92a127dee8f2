"""Chart archives made by hand, good and bad."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from devtools.base.open_file import sha256_of
from tests.kits.stack import repository

CHART = b"apiVersion: v2\nname: web\nversion: 1.0.0\n"


def archive(directory: Path, members: Mapping[str, bytes], *links: tarfile.TarInfo, name: str = "web") -> Path:
    """A gzipped tar of these files, and of links and other members without content."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as file:
        for member_name, content in members.items():
            member = tarfile.TarInfo(member_name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        for other in links:
            file.addfile(other)
    return path


def link(name: str, target: str, *, hard: bool = False) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    member.linkname = target
    return member


def lock_text(name: str, sha256: str) -> str:
    """One entry of five lines."""
    return (
        f"  - publisher: acme\n    name: {name}\n    version: 1.0.0\n    sha256: {sha256}\n"
        "    repository: https://charts.example.com\n"
    )


def vendored(root: Path, *names: str) -> Path:
    """A repository whose releases use vendored charts of these names."""
    lock = "charts:\n"
    layer = "stage: a\nreleases:\n"
    for name in names:
        members = {f"{name}/Chart.yaml": CHART.replace(b"web", name.encode())}
        lock += lock_text(name, sha256_of(archive(root / f"charts/third_party/acme/{name}", members, name=name)))
        layer += f"  - {{name: {name}, namespace: ns, chart: acme/{name}}}\n"
    return repository(root, {"charts/third_party/lock.yaml": lock, "layers/10-a.yaml": layer})
