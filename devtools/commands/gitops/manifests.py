"""`invoke gitops.preview --manifests`: renders each Application with helm, with the values in Argo CD's order."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.gitops.preview.manifests import Rendered, render

if TYPE_CHECKING:
    from devtools.commands.gitops.preview import Generated, Sources
    from devtools.gitops.preview.value_files import HelmSource
    from devtools.gitops.tree.applications import Application


def add_manifests(app: App, document: dict[str, Any], found: Generated, sources: Sources) -> None:
    """Add `manifests` (objects, secrets hidden) or `problem` to each Application of the document."""
    app.toolchain.ensure(["helm"], app.say)
    helm = app.toolchain.path("helm")
    by_name = {(group.name, item.name): item for group in found.groups for item in group.applications}
    with tempfile.TemporaryDirectory(prefix="devtools-gitops-") as scratch:

        def rendered(application: Application, source: HelmSource) -> Rendered:
            chart = _chart(app, found.tree.root, source.source)
            return render(application, source, chart, found.tree.root, helm, app.runner, Path(scratch))

        for group in document["groups"]:
            for row in group["applications"]:
                application = by_name[group["name"], row["name"]]
                _add(app, row, [rendered(application, one) for one in sources[group["name"], row["name"]]])


def _add(app: App, row: dict[str, Any], parts: Sequence[Rendered]) -> None:
    from devtools.base.machine_yaml import read_documents

    objects = [item for part in parts for item in read_documents(part.text) if item]
    app.redactor.learn(*objects)
    row["manifests"] = [app.redactor.hide(item) for item in objects]
    if problems := [part.problem for part in parts if part.problem]:
        row["problem"] = app.redactor.text("; ".join(problems))


def _chart(app: App, root: Path, source: Mapping[str, Any]) -> Path | None:
    """Return a source's chart on this disk: a directory of the repository, or the archive that the lock pins."""
    if path := source.get("path"):
        chart = (root / str(path)).resolve()
        return chart if chart.is_relative_to(root) and (chart / "Chart.yaml").is_file() else None
    name, version = str(source.get("chart")), str(source.get("targetRevision"))
    for entry in app.charts.lock.entries.values():
        if entry.name == name.rsplit("/", 1)[-1] and entry.version == version:
            archive = app.charts.archive(entry)
            return archive if archive.is_file() else None
    return None
