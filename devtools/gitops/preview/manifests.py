"""Renders an Application as Argo CD's repo-server does, by `helm template` with the values in its order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.gitops.preview.value_files import HelmSource
from devtools.gitops.tree.applications import Application
from devtools.gitops.tree.read import mapping
from devtools.helm.commands import BRIEF, listed
from devtools.process.runner import Command, Runner

_SLOW = 120.0  # seconds
FindChart = Callable[[Mapping[str, Any]], Path | None]  # by the source of an Application


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Helm's output, or the reason why there is none."""

    text: str = ""
    problem: str = ""


def render(
    application: Application,
    source: HelmSource,
    chart: Path | None,
    root: Path,
    helm: Path,
    runner: Runner,
    scratch: Path,
) -> Rendered:
    """Render one source; `root` is the repository's root, `scratch` a private directory for inline values."""
    if chart is None:
        name = f"{source.source.get('chart') or source.source.get('path')} of {source.source.get('repoURL')}"
        return Rendered(problem=f"the chart {name} is not on this disk")
    files: list[Path] = []
    for item in source.value_files:
        if item.state in {"missing", "elsewhere"}:
            return Rendered(problem=f"value file {item.written}: {item.why}")
        if item.state == "used":
            files.append(root / item.path)
    if source.helm.get("parameters") or source.helm.get("fileParameters"):
        return Rendered(problem="it has Helm parameters, which a preview does not render: move them to a value file")
    inline = _inline(source.helm, scratch / "inline-values.yaml")
    result = runner.run(_command(helm, application, source, chart, [*files, *inline]))
    if not result.ok:
        return Rendered(problem=result.stderr.strip() or f"helm ended with {result.returncode}")
    return Rendered(text=result.stdout)


def _command(helm: Path, application: Application, source: HelmSource, chart: Path, values: list[Path]) -> Command:
    options = source.helm
    namespace = str(options.get("namespace") or mapping(application.spec, "destination").get("namespace") or "")
    argv = [str(helm), "template", str(chart), "--name-template", str(options.get("releaseName") or application.name)]
    argv += ["--namespace", namespace] if namespace else []
    argv += ["--kube-version", str(options["kubeVersion"])] if options.get("kubeVersion") else []
    for path in values:
        argv += ["--values", listed(path)]
    for version in options.get("apiVersions") or ():
        argv += ["--api-versions", str(version)]
    argv += [] if options.get("skipCrds") is True else ["--include-crds"]
    argv += ["--skip-schema-validation"] if options.get("skipSchemaValidation") is True else []
    argv += ["--skip-tests"] if options.get("skipTests") is True else []
    return Command(argv=tuple(argv), env=BRIEF, timeout=_SLOW)


def _inline(helm: Mapping[str, Any], path: Path) -> list[Path]:
    """Write `valuesObject`, else `values`, which override the value files."""
    if helm.get("valuesObject"):
        path.write_text(json.dumps(helm["valuesObject"]), "utf-8")
    elif helm.get("values"):
        path.write_text(str(helm["values"]), "utf-8")
    else:
        return []
    return [path]
