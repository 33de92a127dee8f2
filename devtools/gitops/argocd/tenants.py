"""Tenants in Argo CD: their own components of the stack's releases, in their own namespace and project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from devtools.config.tenants import Tenant
from devtools.gitops.component import LABEL, Component, Components, Note, Place, ValueFile


def with_tenants(
    components: Components, tenants: Sequence[Tenant], stack: str, place: Place
) -> dict[str, tuple[Component, ...]]:
    """Return components and, after those of the same wave, the tenants' own of each environment."""
    found = {}
    for name, items in components.items():
        own = [
            _own(item, tenant, stack, place)
            for tenant in tenants
            for item in items
            if _is_in(tenant, name) and item.release.name in tenant.applications
        ]
        found[name] = tuple(sorted((*items, *own), key=lambda item: item.wave))
    return found


def tenant_notes(components: Components, tenants: Sequence[Tenant]) -> Iterable[Note]:
    """Yield notes about the parts of tenants that an export for Argo CD leaves out."""
    for tenant in tenants:
        if tenant.quota or tenant.members:
            yield Note(
                f"quota and members of tenant {tenant.name} are not exported: Argo CD has none, kro's Tenant does"
            )
        if others := ", ".join(tenant.namespaces[1:]):
            yield Note(f"namespaces {others} of tenant {tenant.name} are not created: no application is in them")
        for environment, items in components.items():
            missing = set(tenant.applications) - {item.release.name for item in items}
            if _is_in(tenant, environment) and missing:
                names = ", ".join(sorted(missing))
                yield Note(f"tenant {tenant.name} gets no {names}: not exported in {environment}")


def _is_in(tenant: Tenant, environment: str) -> bool:
    return not tenant.environments or environment in tenant.environments


def _own(component: Component, tenant: Tenant, stack: str, place: Place) -> Component:
    """Return a tenant's component: the stack's, in the tenant's namespace, with the tenant's values on top."""
    path = tenant.values_of(component.release)
    values = (ValueFile(path=place.root / path.as_posix()),) if path else ()
    labels = {**component.release.labels, f"{LABEL}/tenant": tenant.name}
    return replace(
        component,
        release=replace(component.release, namespace=tenant.namespaces[0], labels=labels, contract=()),
        name=f"{tenant.name}-{component.name}",
        project=f"{stack}-{tenant.name}",
        value_files=(*component.value_files, *values),
        creates_namespace=component.release.create_namespace,
    )
