"""HelmReleases: one per component, which take over the Helm records that `invoke up` left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from devtools.base.machine_yaml import merged
from devtools.gitops.component import LABEL, Component, Object, ValueFile
from devtools.gitops.flux.health import Check, health_expressions
from devtools.gitops.flux.objects import HELM, INTERVAL, NAMESPACE, RETRY, duration, flux_object
from devtools.gitops.flux.sources import ChartSources
from devtools.gitops.secrets import external_secrets

_RETRIES = 3  # of an upgrade, before the final rollback


def helm_release(component: Component, needs: Sequence[str], sources: ChartSources, checks: Sequence[Check]) -> Object:
    """Return the HelmRelease of a component; `needs` are the names of the components that it needs."""
    release = component.release
    spec: Object = {
        "interval": INTERVAL,
        "timeout": duration(release.timeout),
        # All three: with another name or namespace, Flux would install a second release next to the existing one.
        "releaseName": release.name,
        "targetNamespace": release.namespace,
        "storageNamespace": release.namespace,
        **sources.chart_fields(component.chart.source),
        "maxHistory": release.history,
    }
    if needs:
        spec["dependsOn"] = [{"name": need} for need in needs]
    spec |= _actions(component)
    if release.smoke:
        spec["test"] = {"enable": True, **({"ignoreFailures": True} if release.optional else {})}
    spec["driftDetection"] = _drift(component)
    if expressions := health_expressions(checks):
        spec["healthCheckExprs"] = expressions
    if values := values_from(component):
        spec["valuesFrom"] = values
    ours = {"component": component.name, "team": component.team, "stage": component.stage}
    labels = {**release.labels, **{f"{LABEL}/{key}": value for key, value in ours.items() if value}}
    return flux_object(HELM, "HelmRelease", component.name, _without_null(merged(spec, release.flux)), labels)


def _actions(component: Component) -> Object:
    """Return how Flux installs, upgrades and rolls back.

    A failed install is retried and not uninstalled, because with an operator every custom resource would be deleted. An
    upgrade that keeps failing is rolled back, or uninstalled if the layer file says so.
    """
    wait = {} if component.release.wait else {"disableWait": True}
    namespace = {"createNamespace": True} if component.creates_namespace else {}
    retry = {"strategy": {"name": "RetryOnFailure", "retryInterval": RETRY}}
    crds = {"crds": "Skip" if component.skips_crds else "CreateReplace"}  # Skip: an earlier release installs them
    strategy = "uninstall" if component.release.on_failure == "uninstall" else "rollback"
    remediation = {"retries": _RETRIES, "remediateLastFailure": True, "strategy": strategy}
    return {
        "install": {**namespace, **crds, **wait, **retry},
        "upgrade": {**crds, "cleanupOnFail": True, **wait, "remediation": remediation},
        "rollback": {"cleanupOnFail": True, **wait},
    }


def _drift(component: Component) -> Object:
    rules = []
    for ignore in component.release.ignore:
        target = {key: value for key in ("group", "kind", "name") if (value := getattr(ignore, key))}
        rules.append({"paths": list(ignore.paths), "target": target})
    return {"mode": "enabled", **({"ignore": rules} if rules else {})}


def _without_null(value: Any) -> Any:
    """Return a map without the fields that an escape hatch set to null, which removes them."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_null(item) for key, item in value.items() if item is not None}


def values_from(component: Component) -> list[dict[str, str]]:
    """Return the value files as keys of generated objects, weakest first, as in Flux."""
    return [
        {
            "kind": "Secret" if file.encrypted else "ConfigMap",
            "name": values_name(component, file),
            "valuesKey": file.key,
        }
        for file in component.value_files
    ]


def values_name(component: Component, file: ValueFile) -> str:
    """Return the name, without its hash, of the ConfigMap or Secret that holds a file."""
    return f"{component.name}-{'secret-values' if file.encrypted else 'values'}"


def value_generators(component: Component, source: Callable[[ValueFile], str]) -> dict[str, list[Object]]:
    """Return the generators of a component's values, by kind; `source` returns a file's text in a generator."""
    found: dict[str, list[Object]] = {}
    for encrypted, kind in ((False, "configMapGenerator"), (True, "secretGenerator")):
        if files := [file for file in component.value_files if file.encrypted is encrypted]:
            generator = {
                "name": values_name(component, files[0]),
                "namespace": NAMESPACE,
                "files": list(map(source, files)),
            }
            found[kind] = [generator]
    return found


def secret_objects(component: Component, namespaces: set[str]) -> Iterable[Object]:
    """Yield a component's ExternalSecrets, and their namespace if no release declares it; both precede the release.

    `namespaces` are those that earlier components yielded; new ones are added.
    """
    namespace = component.release.namespace
    if component.creates_namespace and namespace not in namespaces:
        namespaces.add(namespace)
        yield namespace_object(namespace)
    yield from external_secrets(component).values()


def namespace_object(name: str) -> Object:
    """Return a namespace that Flux never deletes, because everything in it would be deleted, too."""
    annotations = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}
