"""Permissions that some infrastructure needs besides its chart: `infra_rbac.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.gitops.component import Component


@cache
def _rights() -> Mapping[str, list[Any]]:
    return read_map(read_file(Path(__file__).with_suffix(".yaml")))


def rbac_of(component: Component) -> list[Mapping[str, Any]]:
    """Return the objects that grant a component its permissions; empty if its chart contains them all."""
    words = {"NAMESPACE": component.namespace, "NAME": component.name}
    return [_filled(item, words) for item in _rights().get(component.chart_short, [])]


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """Return a value with placeholders in its texts replaced."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
        return value
    if isinstance(value, dict):
        return {key: _filled(item, words) for key, item in value.items()}
    return [_filled(item, words) for item in value]
