"""Reads value files of a helmfile like helm; helmfile renders only templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_source
from devtools.commands.imports.program import HelmfileProgram
from devtools.errors import Location, Problem, config_error
from devtools.imports.model import Secret
from devtools.imports.positions import Places
from devtools.imports.states import State, read_states

_TEMPLATE = ".gotmpl"


def states_with_values(program: HelmfileProgram, environment: str) -> tuple[State, ...]:
    """Return the state files with the names of value files replaced by their contents.

    helmfile resolves `ref+` references in embedded files, so a template with such a reference is a ConfigError.
    """
    states = read_states(program.build(environment))
    _refuse_references(states)
    rendered = read_states(program.build(environment, embed=True)) if any(_templates(states)) else states
    return tuple(
        replace(state, data={**state.data, "releases": [*_releases(state, other)]})
        for state, other in zip(states, rendered, strict=True)
    )


def _templates(states: tuple[State, ...]) -> Iterator[Path]:
    """Yield the value files that are templates."""
    for state in states:
        for release in state.data.get("releases") or ():
            for entry in release.get("values") or ():
                if isinstance(entry, str) and entry.endswith(_TEMPLATE):
                    yield _path(state, release, entry)


def _path(state: State, release: Mapping[str, Any], entry: str) -> Path:
    return state.source.parent / f"{release.get('valuesPathPrefix') or ''}{entry}"


def _refuse_references(states: tuple[State, ...]) -> None:
    problems = []
    templates = dict.fromkeys(_templates(states))
    for path in dict.fromkeys((*(state.source for state in states), *templates)):
        text = read_source(path).decode("utf-8", errors="replace") if path.is_file() else ""
        for where, function in Places({path: text}, path.parent).secret_functions():
            line, message = int(where.rpartition(":")[2]), f"{function} would write a secret into the overlays"
            hint = "write the reference itself (ref+…) into a value file that is not a template"
            problems.append(Problem(where=Location(file=path, line=line), message=message, hint=hint))
        lines = text.splitlines() if path in templates else []
        numbers = [number for number, line in enumerate(lines, 1) if "ref+" in line]
        message, hint = "helmfile resolves a reference in a template", "move it to a value file that is not a template"
        problems += [Problem(where=Location(file=path, line=n), message=message, hint=hint) for n in numbers[:1]]
    if problems:
        raise config_error(problems)


def _releases(state: State, rendered: State) -> Iterator[dict[str, Any]]:
    pairs = zip(state.data.get("releases") or (), rendered.data.get("releases") or (), strict=True)
    for release, other in pairs:
        embedded = iter(other.get("values") or ())
        values, unclear = [], []
        for entry in release.get("values") or ():
            if not isinstance(entry, str):
                values.append(entry)
                next(embedded, None)
                continue
            path = _path(state, release, entry)
            if entry.endswith(_TEMPLATE):
                if path.is_file():
                    values.append(tree := next(embedded, None) or {})
                    unclear += [*_yes_or_no(tree)]
            elif path.is_file():
                next(embedded, None)
                values.append(read_map(read_source(path)))
        secrets = [_secret(state, release, entry) for entry in release.get("secrets") or ()]
        yield {**release, "values": values, "secrets": secrets, "unclear": unclear}


def _secret(state: State, release: Mapping[str, Any], entry: Any) -> Secret:
    """Return an encrypted file unchanged."""
    if not isinstance(entry, str):
        return Secret(name="values in the helmfile", raw=b"")
    try:
        return Secret(name=entry, raw=read_source(_path(state, release, entry)))
    except OSError:
        return Secret(name=entry, raw=b"")


def _yes_or_no(tree: Any, above: str = "") -> Iterator[str]:
    """Yield the paths of words that helm reads as booleans if a template prints them without quotes."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _yes_or_no(value, f"{above}.{key}" if above else str(key))
    elif isinstance(tree, list):
        for value in tree:
            yield from _yes_or_no(value, above)
    elif isinstance(tree, str) and tree.lower() in {"yes", "no", "on", "off", "y", "n"}:
        yield above
