"""Discovers the kinds that an API server serves, with two requests for any number of groups.

Aggregated discovery: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from devtools.errors import EnvironmentFault

_KIND = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
ACCEPT = ",".join((_KIND.format("v2"), _KIND.format("v2beta1"), "application/json"))
AGAIN = 0.5  # seconds until an unknown kind is looked up again, because a CRD may have been created


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind that the API server serves: its path's plural, and whether it lives in namespaces."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the URL path of the collection, or of one object."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


class Discovery:
    """A thread-safe cache of the served kinds; an unknown kind makes it read them again."""

    def __init__(self, read: Callable[[str], Mapping[str, Any]]) -> None:
        """`read` returns a path of the API server as JSON, requested with `ACCEPT`."""
        self._read = read
        self._lock = Lock()
        self._kinds: tuple[Resource, ...] | None = None
        self._looked = 0.0

    def forget(self) -> None:
        """Forget what was read until now, and the result of a read that is under way."""
        with self._lock:
            self._kinds = None

    def served(self) -> tuple[Resource, ...]:
        """Return every served kind, in each version that serves it, preferred versions first."""
        return self._known(0.0)

    def find(self, kind: str, api_version: str = "") -> Resource | None:
        """Return the served kind; if `api_version` is empty, core groups have precedence."""
        asked = time.monotonic()
        return _pick(self._known(0.0), kind, api_version) or _pick(self._known(asked - AGAIN), kind, api_version)

    def _known(self, since: float) -> tuple[Resource, ...]:
        """Return the kinds read after `since`; one thread reads them, the others wait for it."""
        with self._lock:
            if self._kinds is None or self._looked < since:
                self._looked = time.monotonic()
                self._kinds = self._look()
            return self._kinds

    def _look(self) -> tuple[Resource, ...]:
        found: list[Resource] = []
        for root in ("/api", "/apis"):
            groups = self._read(root).get("items")
            if not isinstance(groups, list):
                message = "the API server does not support aggregated discovery"
                raise EnvironmentFault(message, hint="Kubernetes 1.27 or newer is needed")
            try:
                found += [kind for group in groups for kind in _served(group)]
            except (AttributeError, KeyError, TypeError) as error:
                raise EnvironmentFault(f"{root} did not answer with a Kubernetes discovery document") from error
        return tuple(found)


def _pick(kinds: tuple[Resource, ...], kind: str, api_version: str) -> Resource | None:
    found = [item for item in kinds if item.kind == kind and (not api_version or item.api_version == api_version)]
    return min(found, key=lambda item: "." in item.api_version) if found else None


def _served(group: Mapping[str, Any]) -> list[Resource]:
    """Return the kinds of one group in each of its versions."""
    name = (group.get("metadata") or {}).get("name") or ""
    found: list[Resource] = []
    for version in group.get("versions") or ():
        label = f"{name}/{version['version']}" if name else str(version["version"])
        for item in version.get("resources") or ():
            kind = str((item.get("responseKind") or {}).get("kind") or "")
            plural, namespaced = str(item["resource"]), item.get("scope") == "Namespaced"
            found.append(Resource(api_version=label, kind=kind, plural=plural, namespaced=namespaced))
    return found
