"""What a Tiltfile made when the harness evaluated it, as values."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from devtools.errors import ConfigError


class TiltfileError(ConfigError):
    """The Tiltfile does not load; the message is what Tilt would say, the hint where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that Tilt would build."""

    ref: str
    context: str = ""  # absolute; of docker_build
    dockerfile: str = ""  # absolute
    command: tuple[str, ...] | str = ()  # of custom_build
    deps: tuple[str, ...] = ()  # absolute
    live_update: tuple[Step, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A value that Tilt's own functions make and take: a live-update step, a link, a port forward, a probe."""

    kind: str  # the function: sync, run, link, port_forward, probe, …
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of Tilt's."""

    name: str
    kind: Literal["local", "k8s"]
    cmd: tuple[str, ...] | str = ()  # a tuple is run as it is, a str by a shell
    serve_cmd: tuple[str, ...] | str = ()
    deps: tuple[str, ...] = ()  # watched paths, absolute
    resource_deps: tuple[str, ...] = ()  # those that exist: Tilt drops others with a warning
    labels: tuple[str, ...] = ()  # sorted
    env: Mapping[str, str] = field(default_factory=dict)
    dir: str = ""  # absolute
    trigger_mode: Literal["auto", "manual"] = "auto"
    auto_init: bool = True  # runs on `tilt up`
    allow_parallel: bool = False
    enabled: bool = True  # chosen by the arguments, or by config.set_enabled_resources
    links: tuple[str, ...] = ()
    port_forwards: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()  # `kind/name` of Kubernetes objects
    images: tuple[str, ...] = ()  # those of its containers that Tilt builds


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A Tiltfile that loads."""

    resources: tuple[Resource, ...]  # in the order they were made
    images: tuple[Image, ...] = ()
    warnings: tuple[str, ...] = ()  # what Tilt would warn of; `print` and `exit` are in `output`
    output: tuple[str, ...] = ()
    allowed_contexts: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()  # files and directories whose change makes Tilt load it again, absolute
    locals: tuple[tuple[str, ...] | str, ...] = ()  # commands that local() ran while loading
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # update_settings and its like

    def resource(self, name: str) -> Resource:
        """The resource of this name; KeyError, with near names, where there is none."""
        for resource in self.resources:
            if resource.name == name:
                return resource
        near = difflib.get_close_matches(name, [resource.name for resource in self.resources], n=3)
        raise KeyError(f"no resource {name!r}; near: {', '.join(near) or 'none'}")

    def order(self) -> tuple[str, ...]:
        """The names of what `tilt up` runs, dependencies first; otherwise as they were made."""
        run = {item.name: item.resource_deps for item in self.resources if item.enabled and item.auto_init}
        return in_order({name: tuple(dep for dep in deps if dep in run) for name, deps in run.items()})

    def waits_for(self, name: str) -> frozenset[str]:
        """Everything that must have been ready once before this resource is built, directly or not."""
        seen: set[str] = set()
        rest = list(self.resource(name).resource_deps)
        while rest:
            other = rest.pop()
            if other not in seen:
                seen.add(other)
                rest += self.resource(other).resource_deps
        return frozenset(seen)


def in_order(deps: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Every dependency before its dependents, otherwise as given; those of a cycle are missing from the result."""
    rank = {name: index for index, name in enumerate(deps)}
    waiting = {name: len(set(others)) for name, others in deps.items()}
    names = list(deps)
    ready = [rank[name] for name in names if not waiting[name]]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for other in names:
            if name in deps[other]:
                waiting[other] -= 1
                if not waiting[other]:
                    heapq.heappush(ready, rank[other])
    return tuple(order)
