"""Checks the keys of `cluster` in devtools.yaml, and those of `environments`, beyond their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from devtools.base.yaml_positions import Document, KeyPath
from devtools.config.settings_file.checks import known_environments, unknown_environment
from devtools.config.validate import is_inside
from devtools.errors import Problem

K3D_ONLY = (
    *("api_port", "registry_port", "kubernetes", "image", "servers", "agents"),
    *("ports", "mirrors", "volumes", "traefik", "config"),
)
_ONLY = {"context": "context", "nodes": "kwok", **dict.fromkeys(K3D_ONLY, "k3d")}  # key → its provider
_INSTEAD = {
    "context": "add provider: context, or remove this key",
    "nodes": "it counts simulated nodes: k3d has servers and agents",
}


def unused(provider: str, declared: Iterable[str]) -> tuple[str, ...]:
    """Return the declared keys that are for another provider."""
    return tuple(key for key in declared if _ONLY.get(key, provider) != provider)


def cluster_problems(document: Document, data: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Return the problems of `cluster`, and of each environment's `cluster` merged over it."""
    cluster = data.get("cluster", {})
    yield from _problems(document, ("cluster",), cluster, {}, data, root)
    known = sorted({data.get("environment", "local"), *known_environments(data, root)})
    for name, keys in data.get("environments", {}).items():
        if name not in known:
            yield unknown_environment(document, ("environments", name), name, known)
        yield from _problems(document, ("environments", name, "cluster"), keys.get("cluster", {}), cluster, data, root)


def _problems(
    document: Document,
    path: KeyPath,
    keys: Mapping[str, Any],
    base: Mapping[str, Any],
    data: Mapping[str, Any],
    root: Path,
) -> Iterator[Problem]:
    """Check the `keys` at `path`, merged over `base`."""
    both = {**base, **keys}
    yield from _provider_problems(document, path, keys, both, data.get("allowed_contexts", ()))
    if "kubernetes" in keys and both.get("image"):
        message = "'kubernetes' and 'image' exclude each other: the image has a version of its own"
        yield document.problem((*path, "kubernetes"), message, "remove one of them")
    owners = {both.get("api_port", 6550): "api_port", both.get("registry_port", 5550): "registry_port"}
    for index, port in enumerate(keys.get("ports", ())):
        number = int(port.split(":")[0])
        if not 0 < number < 2**16:
            yield document.problem((*path, "ports", index), f"{number} is not a port", "1 to 65535")
        elif other := owners.setdefault(number, port) != port and owners[number]:
            yield document.problem((*path, "ports", index), f"port {number} is already used by '{other}'")
    file = keys.get("config", "")
    if file and not is_inside(file):
        yield document.problem((*path, "config"), "'config' must be a path inside the repository")
    elif file and not (root / file).is_file():
        yield document.problem((*path, "config"), f"file {file} does not exist")


def _provider_problems(
    document: Document, path: KeyPath, keys: Mapping[str, Any], both: Mapping[str, Any], allowed: Iterable[str]
) -> Iterator[Problem]:
    """Check that the provider has all these keys, and that provider `context` names one that may be written to."""
    provider = both.get("provider", "auto")
    for key in keys:
        only = _ONLY.get(key, provider)
        if only != provider and (provider != "auto" or key == "context"):  # `auto` is resolved later
            message = f"'{key}' is for provider '{only}' only"
            yield document.problem((*path, key), message, _INSTEAD.get(key, f"the provider here is {provider}"))
    if provider == "context" and ("provider" in keys or "context" in keys):
        context = both.get("context", "")
        if not context:
            yield document.problem((*path, "provider"), "provider 'context' needs 'context': which kube context")
        elif context not in allowed:
            message, hint = f"context '{context}' may not be written to", f"add it to allowed_contexts: [{context}]"
            yield document.problem((*path, "context"), message, hint)
