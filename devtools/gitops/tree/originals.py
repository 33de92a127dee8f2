"""Reads value files from disk: their content, for layouts that copy them, and whether SOPS encrypted them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from devtools.base.machine_yaml import yaml_text
from devtools.base.open_file import read_source
from devtools.base.yaml_positions import parse
from devtools.config.references.resolver import References
from devtools.config.tenants import TENANTS, Tenant
from devtools.errors import ConfigError, Problem, config_error
from devtools.gitops.component import Component, Components, Files, Place, ValueFile
from devtools.gitops.components import directory_of
from devtools.gitops.tree.secrets import secrets_in
from devtools.model import Environment
from devtools.sops.encrypted_file import is_encrypted


def with_originals(
    components: Components, place: Place, root: Path, environments: Mapping[str, Environment]
) -> dict[str, tuple[Component, ...]]:
    """Return components with the content of their value files below the stack's root; read each file once.

    A file with references is exported with the referenced values, because controllers cannot replace references.
    """
    read: Files = {}

    def filled(file: ValueFile) -> ValueFile:
        if file.content is not None:
            return file
        if file.path not in read:
            path = root / file.path.relative_to(place.root)
            try:
                read[file.path] = read_source(path)
            except OSError as error:
                raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="correct its mode") from error
        original = read[file.path]
        return replace(file, original=original, encrypted=is_encrypted(original))

    found: dict[str, tuple[Component, ...]] = {}
    for name, items in components.items():
        found[name] = tuple(replace(item, value_files=tuple(map(filled, item.value_files))) for item in items)
        if environments[name].references:
            found[name] = _resolved(found[name], place, References(environments[name], root))
    return found


def tenant_references(tenants: Iterable[Tenant], environment: Environment, root: Path) -> Iterator[Problem]:
    """Yield each tenant's values file with references: Flux's layouts refer to it in place."""
    if not environment.references:
        return
    references = References(environment, root)
    for path in (path for tenant in tenants for path in tenant.values.values()):
        document = parse(read_source(root / path), path)
        if references.resolve(document) is not document:
            message = "a tenant's values cannot have references in an export for Flux"
            yield document.problem((), message, "write the values themselves")


def _resolved(components: Sequence[Component], place: Place, references: References) -> tuple[Component, ...]:
    """Return components with references in their value files replaced; ConfigError if that exports a secret."""
    problems: list[Problem] = []

    def resolved(component: Component, file: ValueFile) -> ValueFile:
        if file.original is None or file.encrypted:
            return replace(file, resolved=file.content is not None)
        document = parse(file.original, Path(file.path.relative_to(place.root)))
        after = references.resolve(document)
        if after is document:
            return file
        problems.extend(after.problems or secrets_in(after))
        *_, above, level, _, _ = ("", "", *file.path.parts)
        name = f"values-{'tenant-' * (above == TENANTS.name)}{level.lstrip('_')}.yaml"
        path = directory_of(component.environment, component.tier, component.name) / name
        return replace(file, path=place.out / path, content=yaml_text(after.data).encode(), resolved=True)

    found = tuple(
        replace(item, value_files=tuple(resolved(item, file) for file in item.value_files)) for item in components
    )
    if problems:
        raise config_error(list(dict.fromkeys(problems)))
    return found
