"""Tenants of a stack: `tenants/<tenant>/tenant.yaml`, and their values of releases next to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from devtools.base.key_types import Derived, Name, Text
from devtools.base.yaml_positions import Document, KeyPath, read
from devtools.config.validate import made, suggestion, validated
from devtools.errors import ConfigError, Location, Problem, config_error
from devtools.model import Release, Stack

TENANTS = Path("tenants")
FILE = "tenant.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A group of users and its role in a tenant's namespaces."""

    group: Text
    """The group, as the cluster's identity provider names it."""
    role: Literal["admin", "edit", "view"] = "view"
    """The cluster role they get: `admin`, `edit` or `view`. `view` when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant of a stack."""

    namespaces: tuple[Name, ...] = ()
    """Its namespaces; one of its own name when absent."""
    quota: Mapping[Text, Text] = field(default_factory=dict)
    """Hard limits of each of its namespaces, as in a ResourceQuota."""
    members: tuple[Member, ...] = ()
    """Groups and their roles in its namespaces."""
    applications: tuple[Text, ...] = ()
    """Releases of the stack that are also installed for it, by name, in its first namespace."""
    environments: tuple[Name, ...] = ()
    """The environments it belongs to; all when absent."""
    name: Derived[str]
    where: Derived[Location]
    values: Derived[Mapping[str, Path]]
    """Its values files, from the stack's root, by `<layer>/<release>`."""

    def values_of(self, release: Release) -> Path | None:
        """Return the tenant's own values of a release, which override all others."""
        return self.values.get(f"{release.layer}/{release.name}")


def load_tenants(root: Path) -> tuple[Tenant, ...]:
    """Return the tenants of the stack at `root`, by name; ConfigError with every problem of all files."""
    tenants: list[Tenant] = []
    problems: list[Problem] = []
    for file in sorted((root / TENANTS).glob(f"*/{FILE}")):
        document = read(file, file.relative_to(root))
        data, found = validated(Tenant, document)
        problems += found
        if not found:
            tenants.append(_tenant(data, document, root, file.parent))
    if problems:
        raise config_error(problems)
    return tuple(tenants)


def check_tenants(tenants: tuple[Tenant, ...], stack: Stack) -> None:
    """Raise ConfigError with each application and each values file without a release of the stack."""
    names = [release.name for release in stack.releases()]
    files = {f"{release.layer}/{release.name}" for release in stack.releases()}
    problems: list[Problem] = []
    for tenant in tenants:
        for name in tenant.applications:
            if names.count(name) != 1:
                which = "several releases are" if name in names else "no release is"
                hint = suggestion(name, names, "releases")
                problems.append(Problem(where=tenant.where, message=f"{which} named '{name}'", hint=hint))
        for key, path in tenant.values.items():
            if key not in files:
                message = f"belongs to no release: there is no release '{key.partition('/')[2]}' in that layer"
                problems.append(Problem(where=Location(file=path), message=message, hint="rename or delete the file"))
    if problems:
        raise config_error(problems)


def find_tenant(tenants: tuple[Tenant, ...], name: str) -> Tenant:
    """Return the tenant of this name; ConfigError if there is none."""
    for tenant in tenants:
        if tenant.name == name:
            return tenant
    hint = suggestion(name, [tenant.name for tenant in tenants], "tenants")
    raise ConfigError(f"no tenant '{name}' in {TENANTS}/", hint=hint)


def _tenant(data: Mapping[str, Any], document: Document, root: Path, directory: Path) -> Tenant:
    files = {f"{file.parent.name}/{file.stem}": file.relative_to(root) for file in sorted(directory.glob("*/*.yaml"))}
    path: KeyPath = ("applications",) if "applications" in data else ()
    tenant = {"namespaces": [directory.name], **data}
    return made(Tenant, tenant, name=directory.name, where=document.at(path), values=files)
