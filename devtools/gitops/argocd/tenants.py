"""Tenants in Argo CD: their own components of the stack's releases, in their own namespace and project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from devtools.config.tenants import Tenant
from devtools.gitops.component import LABEL, Component, Note, Place, ValueFile
from devtools.model import ReleaseId


def with_tenants(
    components: Mapping[str, Sequence[Component]], tenants: Sequence[Tenant], stack: str, place: Place
) -> dict[str, tuple[Component, ...]]:
    """Return components and, after those of the same wave, the tenants' own of each environment."""
    return {
        name: tuple(sorted((*items, *_of_tenants(name, items, tenants, stack, place)), key=lambda item: item.wave))
        for name, items in components.items()
    }


def tenant_notes(components: Mapping[str, Sequence[Component]], tenants: Sequence[Tenant]) -> Iterable[Note]:
    """Yield notes about the parts of tenants that an export for Argo CD leaves out."""
    for tenant in tenants:
        if tenant.quota or tenant.members:
            message = f"quota and members of tenant {tenant.name} are not exported: Argo CD has none, kro's Tenant does"
            yield Note(message=message)
        if len(tenant.namespaces) > 1:
            others = ", ".join(tenant.namespaces[1:])
            yield Note(
                message=f"namespaces {others} of tenant {tenant.name} are not created: no application is in them"
            )
        for environment, items in components.items():
            missing = set(tenant.applications) - {item.release.name for item in items}
            if _is_in(tenant, environment) and missing:
                message = f"tenant {tenant.name} gets no {', '.join(sorted(missing))}: not exported in {environment}"
                yield Note(message=message)


def _of_tenants(
    environment: str, items: Sequence[Component], tenants: Sequence[Tenant], stack: str, place: Place
) -> Iterable[Component]:
    for tenant in tenants:
        for item in items if _is_in(tenant, environment) else ():
            if item.release.name in tenant.applications:
                yield _own(item, tenant, stack, place)


def _is_in(tenant: Tenant, environment: str) -> bool:
    return not tenant.environments or environment in tenant.environments


def _own(component: Component, tenant: Tenant, stack: str, place: Place) -> Component:
    """Return a tenant's component: the stack's, in the tenant's namespace, with the tenant's values on top."""
    path = tenant.values.get(f"{component.layer}/{component.release.name}")
    values = (ValueFile(path=place.root / path.as_posix()),) if path else ()
    return replace(
        component,
        release=ReleaseId(tenant.namespaces[0], component.release.name),
        name=f"{tenant.name}-{component.name}",
        project=f"{stack}-{tenant.name}",
        value_files=(*component.value_files, *values),
        contract=(),
        creates_namespace=True,
        labels={**component.labels, f"{LABEL}/tenant": tenant.name},
    )
