"""Checks what a cluster must have before a controller deploys to it; pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

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


@dataclass(frozen=True, slots=True, kw_only=True)
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
        *_namespaces(needs, found),
        *_custom_kinds(needs, found),
        *_storage(needs, found),
    )


def _kinds(needs: Needs, found: Found) -> Iterator[Check]:
    """Yield the checks of the controller's own kinds, in the versions of the export."""
    for version, kind in (*_KINDS[needs.engine], *(_IMAGE_KINDS if needs.images else ())):
        is_there = (version, kind) in found.served
        message = f"{version} is served" if is_there else f"{version} is not served"
        yield _check(f"kind {kind}", message, _INSTALL[needs.engine], good=is_there)


def _controllers(needs: Needs, found: Found) -> Iterator[Check]:
    for name in (*_CONTROLLERS[needs.engine], *(_IMAGES if needs.images else ())):
        if found.controllers is None:
            yield Check(name=name, state="unknown", message="this user may not list Deployments")
            continue
        version, ready = found.controllers.get(name, ("", 0))
        if name not in found.controllers:
            yield _check(name, f"is not in namespace {NAMESPACES[needs.engine]}", _INSTALL[needs.engine], good=False)
        elif not ready:
            yield _check(
                name, "has no pod that is ready", f"kubectl -n {NAMESPACES[needs.engine]} get pods", good=False
            )
        else:
            yield _version(needs, name, version)


def _version(needs: Needs, name: str, version: str) -> Check:
    """Return whether the running controller is new enough."""
    number = re.match(r"v?(\d+)\.(\d+)", version)
    least = _CONFIRM if needs.confirms else _SOURCES
    if needs.engine == "flux" or number is None:
        return Check(name=name, state="ok", message=f"runs, version {version or 'unknown'}")
    is_new = (int(number[1]), int(number[2])) >= least
    why = "Prune=confirm" if needs.confirms else "several sources"
    hint = f"upgrade Argo CD: {why} needs {least[0]}.{least[1]}"
    return _check(name, f"runs, version {version}", "" if is_new else hint, good=is_new)


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
        if found.secrets is None:
            yield Check(name=f"secret {name}", state="unknown", message="this user may not list Secrets")
            continue
        good = name in found.secrets
        message = f"credentials of {url}" if good else f"missing: credentials of {url}"
        yield _check(f"secret {name}", message, f"create it in namespace {NAMESPACES[needs.engine]}", good=good)
    if needs.cluster and needs.engine == "argocd":
        if found.clusters is None:
            yield Check(name=f"cluster {needs.cluster}", state="unknown", message="this user may not read Secrets")
            return
        good = needs.cluster in {*found.clusters, "in-cluster"}
        message = "is registered" if good else "is not registered in Argo CD"
        hint = f"argocd cluster add CONTEXT --name {needs.cluster}"
        yield _check(f"cluster {needs.cluster}", message, hint, good=good)


def _namespaces(needs: Needs, found: Found) -> Iterator[Check]:
    """Yield the checks of namespaces of releases with `create_namespace: false`."""
    for name in sorted(needs.namespaces):
        if found.namespaces is None:
            yield Check(name=f"namespace {name}", state="unknown", message="this user may not list namespaces")
            continue
        good = name in found.namespaces
        message = "exists" if good else "is missing, and create_namespace is false"
        yield _check(f"namespace {name}", message, f"kubectl create namespace {name}", good=good)


def _custom_kinds(needs: Needs, found: Found) -> Iterator[Check]:
    for version, kind in sorted(needs.kinds):
        good = (version, kind) in found.served
        message = f"{version} is served" if good else f"{version} is not served, and no exported chart installs its CRD"
        yield _check(f"kind {kind}", message, "install its CRD, or the operator that installs it", good=good)


def _storage(needs: Needs, found: Found) -> Iterator[Check]:
    classes = found.storage_classes
    if classes is None:
        if needs.volumes or needs.storage_classes:
            yield Check(name="StorageClass", state="unknown", message="this user may not list StorageClasses")
        return
    for name in sorted(needs.storage_classes):
        message = "is there" if name in classes else "is missing: values name it"
        yield _check(f"StorageClass {name}", message, "create it, or change the values", good=name in classes)
    if needs.volumes:
        default = next((name for name, is_default in classes.items() if is_default), "")
        message = f"{default} is the default" if default else "no StorageClass is the default, and charts have volumes"
        yield _check("StorageClass", message, "mark one as the default, or name one in the values", good=bool(default))


def _check(name: str, message: str, hint: str, *, good: bool) -> Check:
    return Check(name=name, state="ok" if good else "missing", message=message, hint="" if good else hint)
