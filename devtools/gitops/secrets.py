"""Secrets of components: an ExternalSecret for each, from which the external-secrets operator makes the Secret."""

from __future__ import annotations

from collections.abc import Iterable

from devtools.errors import Problem
from devtools.gitops.component import Component, Note, Object
from devtools.model import Stack

API_VERSION = "external-secrets.io/v1"


def external_secrets(component: Component) -> dict[str, Object]:
    """Return the ExternalSecrets of a component, by the names of their Secrets."""
    return {
        name: external_secret(
            name,
            component.release.namespace,
            f"{component.environment}/{component.team}/{component.name}/{name}",
            component.secret_store,
        )
        for name in component.release.secrets
    }


def secret_problems(stack: Stack, store: str) -> Iterable[Problem]:
    """Yield a problem for each exported release with Secrets from a store that the settings do not name."""
    for release in stack.releases() if not store else ():
        if release.secrets and release.installed and release.gitops:
            hint = "set gitops.secret_store in devtools.yaml: the name of a ClusterSecretStore"
            message = f"release {release.id} has secrets, but no secret store is set"
            yield Problem(where=release.where, message=message, hint=hint)


def secret_notes(components: Iterable[Component]) -> Iterable[Note]:
    """Yield a note for each component whose Secrets the export does not make."""
    for component in components:
        if names := component.release.secrets:
            yield component.note(f"no ExternalSecret is exported for {', '.join(names)}: make them otherwise")


def external_secret(name: str, namespace: str, key: str, store: str) -> Object:
    """Return the ExternalSecret that makes a Secret from everything that the store has under a key."""
    spec = {
        "refreshInterval": "1h",
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": store},
        "target": {"name": name, "creationPolicy": "Owner"},
        "dataFrom": [{"extract": {"key": key}}],
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "ExternalSecret", "metadata": metadata, "spec": spec}
