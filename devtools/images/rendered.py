"""Finds the images in rendered manifests: those of pods, at any depth, and those of custom resources.

A pod's containers are found by their shape, so those in a custom resource's pod template are found, too. Images that
an operator starts for a custom resource that names none are in the manifests only if the operator gets them by
arguments, environment variables or a ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file

_LISTS = ("containers", "initContainers", "ephemeralContainers")
# Variables with images that an operator starts: conventions of the Operator Lifecycle Manager, Strimzi, CloudNativePG.
_OPERANDS = re.compile(r"RELATED_IMAGE_\w+|STRIMZI_DEFAULT_\w+_IMAGE|POSTGRES_IMAGE_NAME")
# A full name, registry included, in any text: `4.2.0=quay.io/strimzi/kafka:1.2.0`, `--solver-image=quay.io/…:v1`.
_IMAGE = (
    r"(?<![\w/.:@%-])[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?/[a-z0-9._/-]+"
    r"(?::\w[\w.-]*(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})"
)
_IN_TEXT = re.compile(_IMAGE)
_IN_CONFIG = re.compile(rf"\bimage[\"']?\s*[:=]\s*[\"']?({_IMAGE})")


@cache
def _fields() -> Mapping[str, list[str]]:
    return read_map(read_file(Path(__file__).with_name("image_fields.yaml")))


def images_of(documents: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the images that these objects name, as written, sorted; schemas of CRDs are ignored."""
    found: set[str] = set()
    for document in documents:
        if document.get("kind") == "CustomResourceDefinition":
            continue
        found |= set(_of_pods(document))
        if document.get("kind") == "ConfigMap":
            texts = document.get("data")
            for text in texts.values() if isinstance(texts, Mapping) else ():
                found |= set(_IN_CONFIG.findall(str(text)))
        for field in _fields().get(str(document.get("kind")), ()):
            found |= set(_at(document, field.split(".")))
    return tuple(sorted(image for image in found if image))


def _of_pods(value: Any) -> Iterator[str]:
    """Yield the images of every list of containers, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in _LISTS and isinstance(item, list):
                yield from _of_containers(item)
            yield from _of_pods(item)
    elif isinstance(value, list):
        for item in value:
            yield from _of_pods(item)


def _of_containers(containers: Iterable[Any]) -> Iterator[str]:
    for container in containers:
        if not isinstance(container, Mapping):
            continue
        if isinstance(image := container.get("image"), str):
            yield image.strip()
        for words in (container.get("command"), container.get("args")):
            for word in words if isinstance(words, list) else ():
                yield from _IN_TEXT.findall(str(word))
        variables = container.get("env")
        for variable in variables if isinstance(variables, list) else ():
            if isinstance(variable, Mapping):
                value = str(variable.get("value") or "")
                yield from _IN_TEXT.findall(value)
                if _OPERANDS.fullmatch(str(variable.get("name"))):
                    yield value.strip()


def _at(value: Any, path: list[str]) -> Iterator[str]:
    """Yield the texts at a path."""
    if not path:
        if isinstance(value, str):
            yield value.strip()
        return
    key, many = path[0].removesuffix("[]"), path[0].endswith("[]")
    found = value.get(key) if isinstance(value, Mapping) else None
    if many:
        for item in found if isinstance(found, list) else ():
            yield from _at(item, path[1:])
    elif found is not None:
        yield from _at(found, path[1:])
