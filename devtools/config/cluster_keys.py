"""Checks the keys of `cluster` in devtools.yaml, and those of `environments`, beyond their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from devtools.base.yaml_positions import Document, KeyPath
from devtools.config.validate import is_inside, suggestion
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
    overlays = root / data.get("paths", {}).get("environments", "environments")
    known = sorted({data.get("environment", "local"), *(path.name for path in overlays.glob("[!_]*"))})
    for name, keys in data.get("environments", {}).items():
        if name not in known:
            hint = suggestion(name, known, "environments")
            yield document.problem(("environments", name), f"unknown environment '{name}'", hint)
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
    yield from _provider_problems(document, path, keys, both)
    if both.get("provider") == "context" and ("provider" in keys or "context" in keys):
        yield from _context_problems(document, path, both, data)
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
    document: Document, path: KeyPath, keys: Mapping[str, Any], both: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield keys that the provider does not support; with `auto` each is for the provider that is selected later."""
    provider = both.get("provider", "auto")
    for key in keys:
        only = _ONLY.get(key, provider)
        if only != provider and (provider != "auto" or key == "context"):
            message = f"'{key}' is for provider '{only}' only"
            yield document.problem((*path, key), message, _INSTEAD.get(key, f"the provider here is {provider}"))


def _context_problems(
    document: Document, path: KeyPath, cluster: Mapping[str, Any], data: Mapping[str, Any]
) -> Iterator[Problem]:
    """Check that provider `context` names its context, and that the context may be written to."""
    context = cluster.get("context", "")
    if not context:
        message = "provider 'context' needs 'context': which kube context"
        yield document.problem((*path, "provider"), message)
    elif context not in data.get("allowed_contexts", ()):
        message = f"context '{context}' may not be written to"
        yield document.problem((*path, "context"), message, f"add it to allowed_contexts: [{context}]")
