"""Finds the layer that a user's text names."""

from __future__ import annotations

from devtools.base.words import did_you_mean
from devtools.errors import ConfigError
from devtools.model import Layer, Stack


def find_layer(stack: Stack, typed: str) -> Layer:
    """Return the layer of this name, alias, number (`40`) or unique prefix (`40-d`, `data-plane`, `data`).

    Raises ConfigError with near matches if no layer or several match.
    """
    for layer in stack.layers:
        if typed and typed in (layer.name, layer.alias):
            return layer
    number = typed.lstrip("0") if typed.isascii() and typed.isdecimal() else ""
    found = [layer for layer in stack.layers if number and str(layer.number) == number]
    found = found or [layer for layer in stack.layers if _answers(layer, typed)]
    if len(found) == 1:
        return found[0]
    names = [layer.name for layer in stack.layers]
    if found:
        raise ConfigError(
            f"'{typed}' is ambiguous: it matches {', '.join(layer.name for layer in found)}",
            hint="type a longer prefix",
        )
    near = [known for known in stack.layers if did_you_mean(typed, _forms(known))]
    hint = did_you_mean(typed, names) or (f"did you mean '{near[0].name}'?" if near else "")
    raise ConfigError(f"unknown layer '{typed}'", hint=hint or f"layers: {', '.join(names)}")


def _forms(layer: Layer) -> tuple[str, ...]:
    """Return the names of a layer: in full and without its number, and the same for its alias."""
    names = (layer.name, layer.alias) if layer.alias else (layer.name,)
    return tuple(form for name in names for form in (name, name.partition("-")[2]) if form)


def _answers(layer: Layer, typed: str) -> bool:
    return bool(typed) and any(form.startswith(typed) for form in _forms(layer))
