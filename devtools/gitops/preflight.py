"""Checks what a cluster must have before a controller deploys to it; pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "missing", "unknown"]
ARGOCD = "argoproj.io/v1alpha1"
NAMESPACES = {"argocd": "argocd", "flux": "flux-system"}
_CONTROLLERS = {
    "argocd": ("argocd-application-controller", "argocd-applicationset-controller", "argocd-repo-server"),
    "flux": ("source-controller", "kustomize-controller", "helm-controller"),
}
_IMAGES = ("image-reflector-controller", "image-automation-controller")
_KINDS = {
    "argocd": ((ARGOCD, "Application"), (ARGOCD, "ApplicationSet"), (ARGOCD, "AppProject")),
    "flux": (
        ("source.toolkit.fluxcd.io/v1", "GitRepository"),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
    ),
}
_IMAGE_KINDS = tuple(
    ("image.toolkit.fluxcd.io/v1", kind) for kind in ("ImageRepository", "ImagePolicy", "ImageUpdateAutomation")
)
_SOURCES = (2, 6)  # Argo CD's first version with several sources in one Application
_CONFIRM = (3, 4)  # the first version with Prune=confirm
_INSTALL = {"argocd": "install Argo CD in namespace argocd", "flux": "flux install"}


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    state: State
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The requirements of an environment."""

    engine: Literal["argocd", "flux"]
    images: bool = False  # Flux updates images
    confirms: bool = False  # pruning waits for approval
    kinds: Collection[tuple[str, str]] = ()  # (API version, kind) of custom resources that no component's chart defines
    namespaces: Collection[str] = ()  # that must exist
    storage_classes: Collection[str] = ()  # named ones
    volumes: bool = False  # volumes without a named class
    config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of Argo CD's config maps
    secrets: Mapping[str, str] = field(default_factory=dict)  # of private repositories: URL → name
    cluster: str = ""  # its name in Argo CD


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The state of a cluster; None: the user may not read it."""

    served: Collection[tuple[str, str]] = ()
    controllers: Mapping[str, tuple[str, int]] | None = None  # name → version, ready replicas
    namespaces: Collection[str] | None = ()
    storage_classes: Mapping[str, bool] | None = None  # name → whether it is the default
    config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Collection[str] | None = None
    clusters: Collection[str] | None = None  # that Argo CD knows


def checks(needs: Needs, found: Found) -> tuple[Check, ...]:
    """Return the checks, in the order in which failures should be fixed."""
    return (
        *_kinds(needs, found),
        *_controllers(needs, found),
        *_config(needs, found),
        *_secrets(needs, found),
        *_prerequisites(needs, found),
        *_storage(needs, found),
    )


def _check(name: str, message: str, hint: str, *, good: bool) -> Check:
    return Check(name, "ok", message) if good else Check(name, "missing", message, hint)


def _exists(name: str, item: Any, among: Collection[Any] | None, right: str, good: str, bad: str, hint: str) -> Check:
    """Return whether a cluster has an item; unknown if the user has not the right to see them."""
    if among is None:
        return Check(name, "unknown", f"this user may not {right}")
    return _check(name, good if item in among else bad, hint, good=item in among)


def _kinds(needs: Needs, found: Found) -> Iterator[Check]:
    """Yield the checks of the controller's own kinds, in the versions of the export."""
    for version, kind in (*_KINDS[needs.engine], *(_IMAGE_KINDS if needs.images else ())):
        is_there = (version, kind) in found.served
        message = f"{version} is served" if is_there else f"{version} is not served"
        yield _check(f"kind {kind}", message, _INSTALL[needs.engine], good=is_there)


def _controllers(needs: Needs, found: Found) -> Iterator[Check]:
    namespace = NAMESPACES[needs.engine]
    for name in (*_CONTROLLERS[needs.engine], *(_IMAGES if needs.images else ())):
        if found.controllers is None:
            yield Check(name, "unknown", "this user may not list Deployments")
            continue
        version, ready = found.controllers.get(name, ("", 0))
        if name not in found.controllers:
            yield Check(name, "missing", f"is not in namespace {namespace}", _INSTALL[needs.engine])
        elif not ready:
            yield Check(name, "missing", "has no pod that is ready", f"kubectl -n {namespace} get pods")
        else:
            yield _version(needs, name, version)


def _version(needs: Needs, name: str, version: str) -> Check:
    """Return whether the running controller is new enough."""
    number = re.match(r"v?(\d+)\.(\d+)", version)
    least, why = (_CONFIRM, "Prune=confirm") if needs.confirms else (_SOURCES, "several sources")
    if needs.engine == "flux" or number is None:
        return Check(name, "ok", f"runs, version {version or 'unknown'}")
    hint = f"upgrade Argo CD: {why} needs {least[0]}.{least[1]}"
    return _check(name, f"runs, version {version}", hint, good=(int(number[1]), int(number[2])) >= least)


def _config(needs: Needs, found: Found) -> Iterator[Check]:
    """Yield the checks of Argo CD's settings that the export needs, such as progressive syncs."""
    for name, data in needs.config.items():
        there = found.config.get(name, {})
        wrong = [key for key, value in data.items() if there.get(key, "").strip() != value.strip()]
        message = f"{', '.join(wrong[:2])}{' and more' if len(wrong) > 2 else ''} not set" if wrong else "as exported"  # noqa: PLR2004
        hint = (
            f"kubectl apply --server-side -n argocd -f gitops/argocd/config/{name}.yaml, then restart its controllers"
        )
        yield _check(f"config map {name}", message, hint, good=not wrong)


def _secrets(needs: Needs, found: Found) -> Iterator[Check]:
    """Yield the checks of credentials for private repositories, and of the cluster that Argo CD deploys to."""
    for url, name in needs.secrets.items():
        good, hint = f"credentials of {url}", f"create it in namespace {NAMESPACES[needs.engine]}"
        yield _exists(f"secret {name}", name, found.secrets, "list Secrets", good, f"missing: {good}", hint)
    if needs.cluster and needs.engine == "argocd":
        known = None if found.clusters is None else {*found.clusters, "in-cluster"}
        bad, hint = "is not registered in Argo CD", f"argocd cluster add CONTEXT --name {needs.cluster}"
        yield _exists(f"cluster {needs.cluster}", needs.cluster, known, "read Secrets", "is registered", bad, hint)


def _prerequisites(needs: Needs, found: Found) -> Iterator[Check]:
    """Yield the checks of namespaces of releases with `create_namespace: false`, and of custom kinds."""
    for name in sorted(needs.namespaces):
        bad, hint = "is missing, and create_namespace is false", f"kubectl create namespace {name}"
        yield _exists(f"namespace {name}", name, found.namespaces, "list namespaces", "exists", bad, hint)
    for version, kind in sorted(needs.kinds):
        good, bad = f"{version} is served", f"{version} is not served, and no exported chart installs its CRD"
        hint = "install its CRD, or the operator that installs it"
        yield _exists(f"kind {kind}", (version, kind), found.served, "", good, bad, hint)


def _storage(needs: Needs, found: Found) -> Iterator[Check]:
    classes = found.storage_classes
    if classes is None:
        if needs.volumes or needs.storage_classes:
            yield Check("StorageClass", "unknown", "this user may not list StorageClasses")
        return
    for name in sorted(needs.storage_classes):
        message = "is there" if name in classes else "is missing: values name it"
        yield _check(f"StorageClass {name}", message, "create it, or change the values", good=name in classes)
    if needs.volumes:
        default = next((name for name, is_default in classes.items() if is_default), "")
        message = f"{default} is the default" if default else "no StorageClass is the default, and charts have volumes"
        yield _check("StorageClass", message, "mark one as the default, or name one in the values", good=bool(default))
