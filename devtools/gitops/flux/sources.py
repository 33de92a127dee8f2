"""The sources of Flux: the Git repository, chart repositories and OCI charts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from devtools.gitops.component import ChartSource, Component, Object
from devtools.gitops.flux.objects import INTERVAL, RETRY, SOURCE, flux_object

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"v?\d+\.\d+(\.\d+)?([-+].*)?")
_SCP = re.compile(r"(?P<user>[\w.-]+@)(?P<host>[\w.-]+):(?P<path>[^/].*)")
_CHART_LAYER = {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "operation": "copy"}


def git_repository(name: str, url: str, revision: str, *, suspended: bool, secret: str = "") -> Object:
    """Return the GitRepository that contains the export; over SSH it always needs a Secret with a key."""
    url = git_url(url)
    spec: Object = {"interval": RETRY, "url": url, "ref": git_reference(revision)}
    if secret or url.startswith("ssh://"):
        spec["secretRef"] = {"name": secret or name}
    if suspended:
        spec["suspend"] = True
    return flux_object(SOURCE, "GitRepository", name, spec)


def git_url(url: str) -> str:
    """Return a URL that Flux accepts: `git@host:path` is `ssh://git@host/path`."""
    scp = _SCP.fullmatch(url)
    return f"ssh://{scp['user']}{scp['host']}/{scp['path']}" if scp else url


def git_reference(revision: str) -> dict[str, str]:
    """Return Flux's `ref` for a commit, a full reference, a version tag or a branch."""
    if _COMMIT.fullmatch(revision):
        return {"commit": revision}
    if revision.startswith("refs/"):
        return {"name": revision}
    return {"tag": revision} if _TAG.fullmatch(revision) else {"branch": revision}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSources:
    """The names of the chart repositories and OCI charts that components use."""

    git: str  # the GitRepository with this repository's charts
    repositories: Mapping[str, str] = field(default_factory=dict)  # URL → name
    charts: Mapping[ChartSource, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # URL → name of the Secret with its credentials

    def chart_fields(self, source: ChartSource) -> Object:
        """Return `chart` or `chartRef` of a HelmRelease: Flux takes OCI charts by reference only."""
        if source.kind == "oci":
            return {"chartRef": {"kind": "OCIRepository", "name": self.charts[source]}}
        if source.kind == "git":
            kind, name, chart = "GitRepository", self.git, {"chart": f"./{source.path}"}
        else:
            kind, name = "HelmRepository", self.repositories[source.repository]
            chart = {"chart": source.chart, "version": source.version}
        return {"chart": {"spec": {**chart, "interval": INTERVAL, "sourceRef": {"kind": kind, "name": name}}}}

    def objects(self) -> Iterable[Object]:
        """Yield their objects, by name."""
        for url, name in sorted(self.repositories.items(), key=lambda item: item[1]):
            spec = {"interval": INTERVAL, "url": url, **self._secret(url)}
            yield flux_object(SOURCE, "HelmRepository", name, spec)
        for source, name in sorted(self.charts.items(), key=lambda item: item[1]):
            spec = {
                "interval": INTERVAL,
                "url": f"{source.repository}/{source.chart}",
                "layerSelector": _CHART_LAYER,
                "ref": {"tag": source.version.replace("+", "_")},  # as Helm pushes it: a tag cannot have a plus
                **self._secret(source.repository),
            }
            yield flux_object(SOURCE, "OCIRepository", name, spec)

    def _secret(self, url: str) -> Object:
        return {"secretRef": {"name": self.secrets[url]}} if url in self.secrets else {}


def chart_sources(git: str, components: Iterable[Component], secrets: Mapping[str, str]) -> ChartSources:
    """Return the sources of components; a repository has the name of its publisher, a chart its own."""
    repositories: dict[str, str] = {}
    charts: dict[ChartSource, str] = {}
    for component in sorted(components, key=lambda item: (item.chart.name, item.chart.source.version)):
        source = component.chart.source
        if source.kind == "helm" and source.repository not in repositories:
            publisher = component.chart.name.partition("/")[0] or source.chart
            repositories[source.repository] = _unused(publisher, repositories.values())
        elif source.kind == "oci" and source not in charts:
            charts[source] = _unused(source.chart, charts.values())
    return ChartSources(git=git, repositories=repositories, charts=charts, secrets=secrets)


def _unused(name: str, used: Iterable[str]) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "charts"
    others = set(used)
    number = 1
    while (free := name if number == 1 else f"{name}-{number}") in others:
        number += 1
    return free
