"""How each key of the stack is expressed in Argo CD and Flux: the table of docs/gitops.md and of `gitops.explain`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A key, and the fields that it becomes: of an Application's spec, and of a HelmRelease's.

    Fields are dotted paths below `spec`, or a whole place in words; empty if there is none.
    """

    key: str
    owner: Literal["release", "layer", "environment", "chart"]
    argocd: tuple[str, ...] = ()
    flux: tuple[str, ...] = ()
    argocd_note: str = ""
    flux_note: str = ""


MAPPINGS = (
    Mapping(key="name", owner="release", argocd=("source.helm.releaseName",), flux=("releaseName",)),
    Mapping(
        key="namespace",
        owner="release",
        argocd=("destination.namespace",),
        flux=("targetNamespace", "storageNamespace"),
    ),
    Mapping(
        key="chart",
        owner="release",
        argocd=("source.repoURL", "source.path", "source.chart", "source.targetRevision"),
        flux=("chart.spec", "chartRef"),
    ),
    Mapping(
        key="values",
        owner="release",
        argocd=("source.helm.valueFiles",),
        flux=("valuesFrom",),
        argocd_note="a file listed first: inline values are the weakest level, and valuesObject would be the strongest",
        flux_note="the first entry: `values` would be the strongest",
    ),
    Mapping(
        key="needs",
        owner="release",
        flux=("dependsOn",),
        argocd_note="a wave: a step of RollingSync, or a sync wave of an app-of-apps",
    ),
    Mapping(
        key="contract",
        owner="release",
        flux=("healthCheckExprs",),
        argocd_note="health of the kind in Lua (`argocd-cm`) unless Argo CD knows it; no HTTP requests, only "
        "objects of the chart",
        flux_note="and `healthChecks` of the layer's Kustomization; no HTTP requests",
    ),
    Mapping(
        key="before",
        owner="release",
        argocd_note="an error: no controller runs commands; `environments: [local]` limits it to laptops",
        flux_note="an error",
    ),
    Mapping(key="after", owner="release", argocd_note="an error, as for `before`", flux_note="an error"),
    Mapping(
        key="installed",
        owner="release",
        argocd_note="no component, and a note",
        flux_note="no component, and a note",
    ),
    Mapping(
        key="environments",
        owner="release",
        argocd_note="no component, and a note",
        flux_note="no component, and a note",
    ),
    Mapping(
        key="smoke",
        owner="release",
        flux=("test.enable",),
        argocd_note="PostSync hooks, by the value `hooks` of the smoke chart",
    ),
    Mapping(
        key="optional", owner="release", flux=("test.ignoreFailures",), argocd_note="the scripts of the tests decide"
    ),
    Mapping(key="timeout", owner="release", flux=("timeout",), argocd_note="none, and a note"),
    Mapping(
        key="wait",
        owner="release",
        flux=("install.disableWait", "upgrade.disableWait"),
        argocd_note="Argo CD always waits for health between waves",
    ),
    Mapping(key="history", owner="release", argocd=("revisionHistoryLimit",), flux=("maxHistory",)),
    Mapping(
        key="labels", owner="release", argocd_note="labels of the Application", flux_note="labels of the HelmRelease"
    ),
    Mapping(key="team", owner="release", argocd_note="a label", flux_note="a label"),
    Mapping(key="ignore", owner="release", argocd=("ignoreDifferences",), flux=("driftDetection.ignore",)),
    Mapping(
        key="secrets",
        owner="release",
        argocd_note="an ExternalSecret each, in a directory of the Application's second source",
        flux_note="an ExternalSecret each, beside the HelmRelease",
    ),
    Mapping(key="argocd", owner="release", argocd_note="laid over the spec", flux_note="none"),
    Mapping(key="flux", owner="release", argocd_note="none", flux_note="laid over the spec"),
    Mapping(key="gitops", owner="release", argocd_note="false: no component", flux_note="false: no component"),
    Mapping(key="stage", owner="layer", argocd_note="a label", flux_note="a label"),
    Mapping(key="alias", owner="layer", argocd_note="none", flux_note="none"),
    Mapping(
        key="critical_path",
        owner="layer",
        argocd_note="edges between layers, and so waves",
        flux_note="edges between layers, and so `dependsOn`",
    ),
    Mapping(key="tier", owner="layer", argocd_note="a directory and a label", flux_note="none: layers are directories"),
    Mapping(key="project", owner="layer", argocd=("project",), flux_note="none"),
    Mapping(
        key="cluster",
        owner="environment",
        argocd=("destination.name", "destination.server"),
        argocd_note="with labels: a matrix of clusters and components",
        flux_note="none: Flux runs in the cluster it deploys to",
    ),
    Mapping(
        key="controller",
        owner="environment",
        argocd_note="none: local writes are refused",
        flux_note="none: local writes are refused",
    ),
    Mapping(
        key="sync",
        owner="environment",
        argocd=("syncPolicy.automated",),
        argocd_note="`manual` with `rolling`: `maxUpdate: 0` in every step, as RollingSync syncs by itself otherwise",
        flux_note="`manual`: the GitRepository is suspended",
    ),
    Mapping(
        key="prune",
        owner="environment",
        argocd=("syncPolicy.automated.prune", "syncPolicy.syncOptions"),
        argocd_note="`confirm`: `Prune=confirm`, since Argo CD 3.4, and `applicationsSync: create-update`",
        flux_note="`prune` of the Kustomizations; there is no approval",
    ),
    Mapping(
        key="order",
        owner="environment",
        argocd_note="`rolling`: RollingSync of one ApplicationSet; `waves`: sync waves of plain Applications",
        flux_note="none: `dependsOn` always",
    ),
    Mapping(
        key="from",
        owner="environment",
        argocd_note="none: what promotions check",
        flux_note="none: what promotions check",
    ),
    Mapping(
        key="controller",
        owner="environment",
        argocd_note="none: local commands refuse to write",
        flux_note="none: local commands refuse to write",
    ),
    Mapping(
        key="CRDs it brings",
        owner="chart",
        argocd=("syncPolicy.syncOptions", "source.helm.skipCrds"),
        flux=("install.crds", "upgrade.crds"),
        argocd_note="`ServerSideApply=true`; `skipCrds` if an earlier component brings the same",
        flux_note="`CreateReplace`: Flux's default never upgrades them",
    ),
    Mapping(
        key="custom resources of another chart's CRDs",
        owner="chart",
        argocd=("syncPolicy.syncOptions",),
        argocd_note="`SkipDryRunOnMissingResource=true`",
        flux_note="`dependsOn`",
    ),
    Mapping(
        key="its namespace, if no release declares it",
        owner="chart",
        argocd=("syncPolicy.syncOptions",),
        flux=("install.createNamespace",),
        argocd_note="`CreateNamespace=true`",
    ),
)


def table() -> str:
    """Return the table as Markdown."""
    owners = {"release": "a release", "layer": "a layer", "environment": "an environment", "chart": "a chart"}
    rows = [
        f"| {_key(item)} | {owners[item.owner]} | {_cell(item.argocd, item.argocd_note)} | "
        f"{_cell(item.flux, item.flux_note)} |"
        for item in MAPPINGS
    ]
    return "\n".join(["| key | of | in Argo CD | in Flux |", "|---|---|---|---|", *rows]) + "\n"


def of_releases() -> Iterable[Mapping]:
    """Yield what a release's own keys become."""
    return (item for item in MAPPINGS if item.owner == "release")


def _key(item: Mapping) -> str:
    return item.key if item.owner == "chart" else f"`{item.key}`"


def _cell(fields: tuple[str, ...], note: str) -> str:
    return "; ".join(part for part in (", ".join(f"`{field}`" for field in fields), note) if part)
