"""What Tilt's functions for images and Kubernetes objects take, checked and made plain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devtools.tilt.harness import values
from devtools.tilt.harness.results import Step
from devtools.tilt.harness.values import Refused


def documents(text: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a YAML stream; those of a List one by one."""
    from devtools.base.machine_yaml import read_documents  # noqa: PLC0415 - not every Tiltfile has any

    try:
        found = list(read_documents(text))
    except ValueError as error:
        raise Refused(f"k8s_yaml: not YAML: {error}") from error
    for item in found:
        if item is None:
            continue
        if not isinstance(item, Mapping) or "kind" not in item:
            raise Refused("k8s_yaml: not a Kubernetes object: it has no kind")
        yield from item.get("items", ()) if item["kind"] == "List" else (item,)


def images_in(value: Any) -> Iterator[str]:
    """The images of all containers below an object."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "image" and isinstance(item, str):
                yield item
            else:
                yield from images_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from images_in(item)


def shared_of(more: Mapping[str, Any]) -> dict[str, Any]:
    """What both kinds of builds take."""
    steps = more.get("live_update") or []
    if not isinstance(steps, list | tuple) or not all(isinstance(step, Step) for step in steps):
        raise Refused("live_update must be a list of live update steps")
    kinds = [step.kind for step in steps]
    if "sync" in kinds[kinds.index("run") if "run" in kinds else len(kinds) :]:
        raise Refused("all sync steps must precede all run steps")
    if "fall_back_on" in kinds and any(kind != "fall_back_on" for kind in kinds[: _last(kinds, "fall_back_on")]):
        raise Refused("fall_back_on steps must appear at the start of the steps list")
    return {
        "live_update": tuple(steps),
        "only": values.texts_of(more.get("only"), "only", one=True),
        "ignore": values.texts_of(more.get("ignore"), "ignore", one=True),
    }


def _last(items: list[str], wanted: str) -> int:
    return len(items) - 1 - items[::-1].index(wanted)


def known_only(more: Mapping[str, Any], known: str) -> None:
    """Refuse a keyword argument that is none of these words."""
    for name in more:
        if name not in known.split():
            raise Refused(f"unexpected keyword argument {name}")


def bool_of(value: Any, what: str) -> bool:
    """True or False; nothing else stands for them."""
    if not isinstance(value, bool):
        raise Refused(f"{what}: got {values.kind_of(value)}, want bool")
    return value


def links_of(value: Any) -> tuple[str, ...]:
    """Addresses, of str and of link()."""
    links = []
    for item in value if isinstance(value, list | tuple) else [] if value is None else [value]:
        url = item.values["url"] if isinstance(item, Step) and item.kind == "link" else values.text_of(item, "links")
        links.append(url)
    return tuple(links)


def forwards_of(value: Any) -> tuple[str, ...]:
    """Port forwards as text: of int, of `local:container` and of port_forward()."""
    forwards = []
    for item in value if isinstance(value, list | tuple) else [] if value is None else [value]:
        if isinstance(item, Step) and item.kind == "port_forward":
            local, container = item.values["local_port"], item.values["container_port"]
            forwards.append(f"{local}:{container}" if container else str(local))
        elif isinstance(item, bool) or not isinstance(item, int | str):
            raise Refused(f"port_forwards: got {values.kind_of(item)}, want int, string or port_forward")
        else:
            forwards.append(str(item))
    return tuple(forwards)
