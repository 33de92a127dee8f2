"""Makes the layer-specs document that Tiltfiles read from a stack and its surroundings; pure.

The document is described in docs/layer-specs.md, its JSON Schema is docs/schema/layer-specs.schema.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from devtools.base.machine_json import json_text
from devtools.model import Layer, Stack
from devtools.planning.graph import reached

VERSION = 1
FILE = Path(".devtools/layer-specs.json")
TWIN = Path(".devtools/layer-specs.star")
LIBRARY = Path(".devtools/infra.star")
WATCH_FILE = Path(".devtools/run/contracts")  # the output file of `invoke contracts --watch`
PROTO = "ameide_core_proto"
PREFIX = "infra:"
INPUTS = "DEVTOOLS_TILT_INPUTS"  # in a layer's environment: the paths it consists of
GROUP = "infra.layer-tests."


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The environment that the commands must set, because Tilt fixes its own environment when it starts."""

    cluster: str  # its name
    provider: str
    context: str
    kubeconfig: Path
    invoke: tuple[str, ...]  # the command before the task's name
    env: Mapping[str, str] = field(default_factory=dict)  # set over Tilt's own environment, for every command
    layers: Path  # the directory of layer files
    environments: Path  # the directory of overlays
    helm: Path | None = None  # the pinned helm; None if it is not built yet
    exists: Callable[[Path], bool]  # Tilt watches real paths only


def layer_specs(stack: Stack, around: Surroundings) -> dict[str, Any]:
    """Return the document as JSON data: the same arguments give the same bytes.

    It does not contain layers that this environment leaves out.
    """
    active = [layer for layer in stack.layers if not layer.inactive]
    proto = _proto(stack, around)
    first = [PROTO] if proto else []
    needs = _needs(active, first)
    numbers: dict[str, int] = {}
    for layer in active:
        numbers.setdefault(layer.stage, layer.number)
    layers = [
        _layer(stack, layer, around, needs[resource_name(layer)], label(layer.stage, numbers[layer.stage]))
        for layer in active
    ]
    return {
        "version": VERSION,
        "kind": "layer-specs",
        "stack": stack.name,
        "root": str(stack.root),
        "environment": stack.environment.name,
        "environments": list(stack.environments),
        "cluster": {
            "name": around.cluster,
            "provider": around.provider,
            "context": around.context,
            "kubeconfig": str(around.kubeconfig),
        },
        "helm": str(around.helm or ""),
        "proto": proto,
        "refresh": _refresh(stack, around),
        "watch": _watch(stack, around),
        "critical_path": [*first, *(resource_name(layer) for layer in active if layer.critical)],
        "layers": layers,
    }


def resource_name(layer: Layer) -> str:
    """Return Tilt's name of a layer: `infra:` and its alias or name."""
    return PREFIX + (layer.alias or layer.name)


def label(stage: str, number: int) -> str:
    """Return Tilt's group for a stage's layers; `number` is that of the stage's first layer.

    Tilt sorts groups by name, so the number puts them in order. A label has at most 63 characters, a stage 42.
    """
    return f"{GROUP}{number:02d}-{stage}"


def to_json(document: Mapping[str, Any]) -> str:
    """Return the document as the text of its file."""
    return json_text(document) + "\n"


def to_starlark(document: Mapping[str, Any]) -> str:
    """Return the document as a Starlark file that sets INFRA_LAYER_SPECS, for Tiltfiles that load it."""
    head = '"""Written by `invoke specs --output starlark`; the same as layer-specs.json."""\n\n'
    return f"{head}INFRA_LAYER_SPECS = {_literal(document, 0)}\n"


def _literal(value: Any, depth: int) -> str:
    """Return JSON data as a Starlark expression; JSON strings are Starlark strings except for surrogate pairs."""
    pad, end = "    " * (depth + 1), "    " * depth
    if isinstance(value, Mapping) and value:
        rows = "".join(f"{pad}{_literal(key, 0)}: {_literal(item, depth + 1)},\n" for key, item in value.items())
        return f"{{\n{rows}{end}}}"
    if isinstance(value, list) and value:
        return "[\n" + "".join(f"{pad}{_literal(item, depth + 1)},\n" for item in value) + f"{end}]"
    if isinstance(value, str):
        return json_text(value, indent=None)
    return repr(value)


def _layer(stack: Stack, layer: Layer, around: Surroundings, needs: Sequence[str], group: str) -> dict[str, Any]:
    environment = ("--env", stack.environment.name)
    command = [*around.invoke, "layer", layer.name, *environment]
    command += ["--context", around.context, "--kubeconfig", str(around.kubeconfig)]
    resource = _resource(resource_name(layer), group, command, stack, around, _watched(stack, layer, around))
    # Tilt runs a resource again if its environment changed, but not if there are other paths to watch.
    inputs = sha256("\n".join(resource["deps"]).encode()).hexdigest()[:12]
    return {
        "layer": layer.name,
        "number": layer.number,
        "stage": layer.stage,
        **resource,
        "env": {**resource["env"], INPUTS: inputs},
        "releases": [str(release.id) for release in layer.releases if release.installed and not release.smoke],
        "resource_deps": list(needs),
        "allow_parallel": True,  # while a resource that does not allow it runs, Tilt starts nothing else
        "critical": layer.critical,
        "drift_cmd": [*around.invoke, "drift", "--name", layer.name, *environment],
    }


def _resource(
    name: str, group: str, command: list[str], stack: Stack, around: Surroundings, watched: Iterable[Path]
) -> dict[str, Any]:
    """Return the fields of every local resource of Tilt."""
    return {
        "resource": name,
        "labels": [group],
        "cmd": command,
        "dir": str(stack.root),
        "env": dict(sorted(around.env.items())),
        "deps": list(dict.fromkeys(str(path) for path in watched if around.exists(path))),
        "links": [],
    }


def _proto(stack: Stack, around: Surroundings) -> dict[str, Any] | None:
    """Return the resource that publishes the protobuf module before any layer, because charts and apps use it."""
    script = stack.root / "scripts" / "buf-build-push.sh"
    if not around.exists(script):
        return None
    watched = [stack.root / name for name in ("proto", "scripts/buf-build-push.sh", ".env")]
    return _resource(PROTO, "infra.00-proto", [str(script)], stack, around, watched)


def _refresh(stack: Stack, around: Surroundings) -> dict[str, Any]:
    """Return the resource that rewrites this document when its inputs change.

    Paths that do not exist yet are watched, too: the first overlay, the first environment. (For a missing path Tilt
    watches the nearest existing directory.)
    """
    command = [*around.invoke, "specs", "--env", stack.environment.name]
    resource = _resource(PREFIX + "specs", "infra.specs", command, stack, around, ())
    watched = (around.layers, around.environments, stack.root / "devtools.yaml")
    return {**resource, "deps": [str(path) for path in watched]}


def _watch(stack: Stack, around: Surroundings) -> dict[str, Any]:
    """Return the resource that checks every release and contract while Tilt runs; its command removes old results."""
    file = str(stack.root / WATCH_FILE)
    resource = _resource(PREFIX + "contracts", "infra.contracts", ["rm", "-f", file], stack, around, ())
    serve = [*around.invoke, "contracts", "--watch", "--env", stack.environment.name]
    return {**resource, "serve_cmd": serve, "file": file}


def _watched(stack: Stack, layer: Layer, around: Surroundings) -> list[Path]:
    """Return the files of a layer: its own, the defaults, the environment's switches, charts and overlays."""
    environment = around.environments / stack.environment.name / "environment.yaml"
    paths = [stack.root / layer.file, around.layers / "_defaults.yaml", environment]
    paths += sorted({stack.root / where.file for where in stack.environment.where.values()})
    paths += [stack.root / name for name in stack.environment.texts]
    for release in layer.releases:
        chart = release.chart  # without generated files: a stand-in, or the archive of a packaged chart
        paths += {"stand-in": (), "packaged": chart.sources}.get(chart.kind, (chart.path,))
        paths += [*release.values_files, *release.secret_files]
    return paths


def _needs(layers: Sequence[Layer], first: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the dependencies of each layer's resource: the nearest earlier critical layer, and declared needs."""
    home = {release.id: resource_name(layer) for layer in layers for release in layer.releases}
    needs: dict[str, tuple[str, ...]] = {}
    previous = tuple(first)
    for layer in layers:
        name = resource_name(layer)
        enabled = [release for release in layer.releases if release.installed]
        declared = {home[need.release] for release in enabled for need in release.needs if need.release in home}
        known = reached(previous, lambda name: needs.get(name, ())) | {name}
        needs[name] = (*previous, *(other for other in needs if other in declared - known))
        if layer.critical:
            previous = (name,)
    return needs
