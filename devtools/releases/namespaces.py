"""The namespaces of releases: created if no release declares them; one that is being deleted is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devtools.kube.api_errors import CONFLICT, FORBIDDEN
from devtools.kube.client import ApiError, Kube
from devtools.readiness.wait import Failure, LateFailure, Wait


class NamespaceMissing(Failure):
    """A namespace that must exist does not."""


def make_namespace(kube: Kube, name: str, labels: Mapping[str, str], wait: Wait, *, create: bool = True) -> None:
    """Make the namespace, with these labels, where it is missing; raises NamespaceMissing instead without `create`.

    One that is being deleted is waited for first: it takes nothing new.
    Not by `helm --create-namespace`: Helm 4 applies the Namespace as field manager `helm` even when it exists, and
    so takes away the labels that a release of ours gave it. Raises LateFailure, with what keeps it, when it does not
    go in time.
    """
    path, polling = f"/api/v1/namespaces/{name}", wait.polling()
    while (found := _found(kube, path)) and (found.get("status") or {}).get("phase") == "Terminating":
        hint = f"kubectl describe namespace {name}"
        late = LateFailure(f"namespace {name} is still being deleted", hint=hint, details=_what_keeps(found))
        polling.pause([f"namespace {name} to be gone: it is being deleted"], late)
    if found is None and not create:
        message = f"namespace {name} does not exist, and create_namespace is false"
        raise NamespaceMissing(message, hint=f"kubectl create namespace {name}")
    if found is None:
        try:
            kube.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": {**labels}}})
        except ApiError as error:
            if error.status == FORBIDDEN:
                hint = f"namespace {name} is missing, and this user may not create it"
                raise error.changed(hint=hint) from error
            if error.status != CONFLICT:  # another step was first
                raise


def _found(kube: Kube, path: str) -> dict[str, Any] | None:
    """The namespace; who may not read namespaces was given one that exists."""
    try:
        return kube.get(path)
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        return {}


def _what_keeps(namespace: dict[str, Any]) -> list[str]:
    """What the namespace controller says of what is left."""
    conditions = (namespace.get("status") or {}).get("conditions") or ()
    return [str(item.get("message")) for item in conditions if item.get("status") == "True"]
