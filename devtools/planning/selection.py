"""Finds the releases that a user's selectors match."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from devtools.base.words import did_you_mean
from devtools.errors import ConfigError
from devtools.model import Release, ReleaseId, Stack
from devtools.planning.graph import reached
from devtools.planning.layer_names import find_layer
from devtools.planning.plan import Selection

_WORD = r"[^\s=!,()]+"
_TERM = re.compile(
    rf"\s*(?P<absent>!\s*)?(?P<key>{_WORD})\s*"
    rf"(?:(?P<operator>!=|==?)\s*(?P<value>{_WORD})\s*|(?P<word>(?<=\s)(?:not)?in)\s*\((?P<values>[^()]*)\)\s*)?(?:,(?=.)|$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Selectors as typed; a release is selected if it matches every kind of selector in use."""

    stages: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()  # `name` or `namespace/name`
    labels: tuple[str, ...] = ()  # alternatives: `a=b,c!=d`
    with_needs: bool = False  # also all that the selected ones need


def narrowed(stack: Stack, layer: str, selector: Selector) -> Selector:
    """Return the selector limited to a layer, named as users type it ("": any)."""
    name = find_layer(stack, layer).name if layer else ""
    if not name:
        return selector
    return replace(selector, labels=tuple(f"{label},layer={name}" for label in selector.labels) or (f"layer={name}",))


def choose(stack: Stack, layer: str, selector: Selector) -> Selection:
    """Return the selection of a layer, named as users type it ("": any), and a selector; ConfigError as for both."""
    if layer and selector == Selector():
        return Selection(layers=(find_layer(stack, layer).name,))
    return choose_releases(stack, narrowed(stack, layer, selector))


def choose_releases(stack: Stack, selector: Selector) -> Selection:
    """Return the selection of a selector; without one the whole stack.

    Raises ConfigError, with near matches, for a stage, release or label that matches nothing.
    """
    every = tuple(layer.name for layer in stack.layers)
    if not (selector.stages or selector.releases or selector.labels):
        return Selection(layers=every)
    chosen = {release.id for release in stack.releases()}
    if selector.stages:
        chosen &= _of_stages(stack, selector.stages)
    if selector.releases:
        chosen &= {find_release(stack, typed).id for typed in selector.releases}
    if selector.labels:
        chosen &= set().union(*(_labelled(stack, label) for label in selector.labels))
    if not chosen:
        raise ConfigError("no release matches all of these selectors", hint="invoke layers")
    if selector.with_needs:
        chosen = _with_needs(stack, chosen)
    layers = {release.layer for release in stack.releases() if release.id in chosen}
    return Selection(layers=tuple(name for name in every if name in layers), releases=frozenset(chosen))


def find_release(stack: Stack, typed: str) -> Release:
    """Return the release of this name or `namespace/name`; ConfigError, with near matches, for none or several."""
    found = [release for release in stack.releases() if typed in (release.name, str(release.id))]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"'{typed}' is ambiguous: it matches {', '.join(str(release.id) for release in found)}")
    known = [form for release in stack.releases() for form in (release.name, str(release.id))]
    raise ConfigError(f"unknown release '{typed}'", hint=did_you_mean(typed, known) or "invoke layers")


def _of_stages(stack: Stack, stages: Iterable[str]) -> set[ReleaseId]:
    known = {layer.stage for layer in stack.layers}
    for stage in stages:
        if stage not in known:
            hint = did_you_mean(stage, known) or f"stages: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown stage '{stage}'", hint=hint)
    return {release.id for layer in stack.layers if layer.stage in stages for release in layer.releases}


def _labelled(stack: Stack, label: str) -> set[ReleaseId]:
    """Return the releases that match all terms of a selector, such as `tier=web,team!=core` or `tier in (web,api)`.

    As in kubectl, `!=` and `notin` also match a release without the label. A release has its declared labels, and its
    name, namespace and chart (without the publisher) as labels.
    """
    labels: dict[ReleaseId, dict[str, str]] = {}
    for item in stack.releases():
        implied = {"namespace": item.namespace, "chart": item.chart.name.rpartition("/")[2]}
        labels[item.id] = {**implied, **item.labels, "name": item.name}
    found, known = set(labels), {key for own in labels.values() for key in own}
    for key, values, is_negated in _terms(label):
        if key not in known and (values is None or is_negated):
            raise ConfigError(f"no release has a label '{key}'", hint=did_you_mean(key, known))
        matching = set()
        for value in (None,) if values is None else values:
            equal = {name for name, own in labels.items() if key in own and value in (None, own[key])}
            if not (equal or is_negated):
                near = did_you_mean(f"{key}={value}", {f"{k}={v}" for own in labels.values() for k, v in own.items()})
                raise ConfigError(f"no release has the label '{key}={value}'", hint=near)
            matching |= equal
        found = found - matching if is_negated else found & matching
    return found


def _terms(label: str) -> Iterator[tuple[str, tuple[str, ...] | None, bool]]:
    """Yield each term as its key, its values (None: any) and whether it is negated; raises ConfigError."""
    at = 0
    while at < len(label) or not at:
        term = _TERM.match(label, at)
        values = tuple(value.strip() for value in (term["values"] or term["value"] or "").split(",")) if term else ()
        has_values = bool(term and (term["operator"] or term["word"]))
        if term is None or (term["absent"] and has_values) or (has_values and not all(values)):
            hint = "key=value, key!=value, key in (a,b), key notin (a,b), key or !key, several joined by commas"
            raise ConfigError(f"'{label}' is not a label selector", hint=hint)
        is_negated = bool(term["absent"]) or term["operator"] == "!=" or term["word"] == "notin"
        yield term["key"], values if has_values else None, is_negated
        at = term.end()


def _with_needs(stack: Stack, chosen: set[ReleaseId]) -> set[ReleaseId]:
    """Return the selected releases and all enabled ones that they need, directly or not."""
    needs = {release.id: [need.release for need in release.needs] for release in stack.releases()}
    enabled = {release.id for release in stack.releases() if release.installed}
    return reached(chosen, lambda name: enabled.intersection(needs[name]))


def names(stack: Stack) -> frozenset[str]:
    """Return the names in the stack, which must stay readable in any output."""
    found = {stack.name, stack.environment.name}
    for layer in stack.layers:
        found |= {layer.name, layer.alias, layer.stage}
        for release in layer.releases:
            found |= {release.id.name, release.id.namespace, *release.chart.name.split("/")}
    return frozenset(found - {""})
