"""Reads Argo CD's Applications: their fields, the steps of a rolling sync, and their value files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devtools.base.yaml_positions import KeyPath
from devtools.gitops.tree.read import Manifest, mapping, maps, sequence

ARGO = "argoproj.io"
SYNC_WAVE = "argocd.argoproj.io/sync-wave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application(Manifest):
    """An Application, without its status."""

    @property
    def options(self) -> frozenset[str]:
        """Its sync options."""
        return frozenset(map(str, sequence(self.spec, "syncPolicy", "syncOptions")))

    @property
    def sync_wave(self) -> int:
        """Its sync wave within an app-of-apps; 0 if none is written."""
        return wave_of(self.annotations)

    @property
    def sources(self) -> tuple[tuple[KeyPath, Mapping[str, Any]], ...]:
        """Each source, with the path of keys to it."""
        if several := sequence(self.spec, "sources"):
            return tuple((("spec", "sources", index), mapping(one)) for index, one in enumerate(several))
        return ((("spec", "source"), mapping(self.spec["source"])),) if self.spec.get("source") else ()

    @property
    def refs(self) -> dict[str, Mapping[str, Any]]:
        """The sources that value files can be in, by the names that refer to them."""
        return {str(source["ref"]): source for _, source in self.sources if source.get("ref")}

    @property
    def destination(self) -> str:
        """The cluster and namespace it is synced to."""
        there = mapping(self.spec, "destination")
        return f"{there.get('name') or there.get('server') or '?'}/{there.get('namespace') or ''}"


def wave_of(annotations: Mapping[str, Any]) -> int:
    """Return the sync wave that annotations set; 0 if they set none."""
    try:
        return int(annotations.get(SYNC_WAVE, 0))
    except (TypeError, ValueError):
        return 0


def steps_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Return the RollingSync steps of an ApplicationSet; None if it has another strategy."""
    is_rolling = mapping(spec, "strategy").get("type") == "RollingSync"
    return maps(spec, "strategy", "rollingSync", "steps") if is_rolling else None


def selects(step: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Return whether a step selects an Application with these labels.

    The rules are those of Argo CD's `buildAppDependencyList`: every expression must match, without the label `In` fails
    and `NotIn` matches, another operator matches no labelled Application, and an empty list matches all.
    """
    return all(_matches(one, labels) for one in maps(step, "matchExpressions"))


def _matches(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    operator, key = expression.get("operator"), str(expression.get("key"))
    if key not in labels:
        return operator != "In"
    return operator in {"In", "NotIn"} and (labels[key] in sequence(expression, "values")) == (operator == "In")


def is_cluster(item: Manifest) -> bool:
    """Return whether an object is a Secret that tells Argo CD of a cluster."""
    return item.kind == "Secret" and item.labels.get("argocd.argoproj.io/secret-type") == "cluster"


def plain_url(url: str) -> str:
    """Return a repository URL in a normal form, equal for all spellings of one repository."""
    text = re.sub(r"^(?:\w+://)?(?:[^@/]+@)?", "", url.strip()).replace(":", "/", 1)
    return text.removesuffix("/").removesuffix(".git").lower()


def value_files_of(source: Mapping[str, Any]) -> list[str]:
    """Return the value files of a source as they are written, the weakest first."""
    return list(map(str, sequence(source, "helm", "valueFiles")))


def place_of(written: str, source: Mapping[str, Any], refs: Mapping[str, Mapping[str, Any]]) -> tuple[str, str] | None:
    """Return the repository of a value file and its path there; None if it is in the chart's archive or nowhere.

    `$ref/…` is from the root of the source with that ref, `/…` from the root of the chart's, else from the chart.
    """
    if written.startswith("$"):
        name, _, rest = written[1:].partition("/")
        known = name in refs and not refs[name].get("chart")
        return (str(refs[name].get("repoURL") or ""), rest) if known else None
    if source.get("chart") or not source.get("path"):
        return None
    path = written.lstrip("/") if written.startswith("/") else posixpath.join(str(source["path"]), written)
    return str(source.get("repoURL") or ""), path
