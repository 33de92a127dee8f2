"""Creates the namespaces that no release declares, and waits for those that are being deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devtools.kube.api_errors import CONFLICT, FORBIDDEN, Tolerated
from devtools.kube.client import ApiError, Kube
from devtools.readiness.wait import Failure, LateFailure, Wait


class NamespaceMissing(Failure):
    """A namespace that must exist does not."""


def make_namespace(kube: Kube, name: str, labels: Mapping[str, str], wait: Wait, *, create: bool = True) -> None:
    """Create the namespace with these labels if it is missing; without `create` raise NamespaceMissing instead.

    If it is being deleted, wait first, because it accepts no new objects. `helm --create-namespace` is not used: Helm 4
    applies the Namespace as field manager `helm` even if it exists, and removes the labels that a release of the stack
    set. Raises LateFailure, with the reason, if the deletion does not end in time.
    """
    path, polling = f"/api/v1/namespaces/{name}", wait.polling()
    while (found := _found(kube, path)) and (found.get("status") or {}).get("phase") == "Terminating":
        hint = f"kubectl describe namespace {name}"
        conditions = (found.get("status") or {}).get("conditions") or ()  # what the namespace controller waits for
        keeps = [str(item.get("message")) for item in conditions if item.get("status") == "True"]
        late = LateFailure(f"namespace {name} is still being deleted", hint=hint, details=keeps)
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
            if error.status != CONFLICT:  # another step created it first
                raise


def _found(kube: Kube, path: str) -> dict[str, Any] | None:
    """Return the namespace; for a user who may not read namespaces it is assumed to exist."""
    with Tolerated(FORBIDDEN):
        return kube.get(path)
    return {}
