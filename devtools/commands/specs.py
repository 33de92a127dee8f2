"""`invoke specs`: writes the files that Tiltfiles read, if their content changed."""

from __future__ import annotations

import sys
from pathlib import Path

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.app.providers import own_kubeconfig
from devtools.base.atomic_write import OWN, own_directory, write_whole
from devtools.base.open_file import read_source
from devtools.errors import EnvironmentFault, ExitCode
from devtools.tilt.specs import FILE, LIBRARY, TWIN, Surroundings, layer_specs, to_json, to_starlark

OUTPUTS = ("text", "json", "starlark")
# They determine which cluster a command uses; Tilt may be started without them.
_CARRIED = ("DEVTOOLS_STATE", "DEVTOOLS_CACHE")


def specs(app: App, options: Options) -> ExitCode:
    """Write .devtools/layer-specs.json and .devtools/infra.star; needs no cluster.

    Output `json` also prints the document; `starlark` writes the same as .devtools/layer-specs.star, and prints that.
    Raises ConfigError for another output or an invalid stack, EnvironmentFault if a file cannot be written.
    """
    stack = app.stack()
    document = layer_specs(stack, surroundings(app))
    files = {FILE: to_json(document), LIBRARY: library()}
    if options.output == "starlark":
        files[TWIN] = to_starlark(document)
    try:
        own_directory(stack.root)
    except OSError as error:
        raise _unwritable(stack.root / OWN, error) from error
    for name, text in files.items():
        state = "written" if write_changed(stack.root / name, text) else "unchanged"
        app.say(f"{name} {state}")
    printed = {"json": FILE, "starlark": TWIN}.get(options.output)
    if printed:
        app.out.write(files[printed])
    return ExitCode.OK


def surroundings(app: App) -> Surroundings:
    """Return the directory and the cluster for commands that Tilt runs: those of this app."""
    carried = {key: app.environ[key] for key in _CARRIED if app.environ.get(key)}
    is_context = app.provider_name == "context"
    return Surroundings(
        cluster=app.cluster_name,
        provider=app.provider_name,
        context=app.cluster_settings.context if is_context else f"{app.provider_name}-{app.cluster_name}",
        kubeconfig=own_kubeconfig(app),
        invoke=(sys.executable, "-m", "invoke", "--search-root", str(app.settings.root)),
        env={**carried, "DEVTOOLS_CLUSTER": app.cluster_name, "DEVTOOLS_PROVIDER": app.provider_name},
        helm=_pinned_helm(app),
        layers=app.settings.layers,
        environments=app.settings.environments,
        exists=Path.exists,
    )


def _pinned_helm(app: App) -> Path | None:
    """Return the pinned helm, which renders the charts of apps; None if it is not built yet."""
    try:
        return app.toolchain.path("helm")
    except EnvironmentFault:
        return None


def library() -> str:
    """Return the text of infra.star, which is copied into repositories because `load` requires literal paths."""
    return (Path(__file__).parent.parent / "tilt" / "infra.star").read_text(encoding="utf-8")


def write_changed(path: Path, text: str) -> bool:
    """Replace the file atomically if its content differs; return whether it did.

    Tilt watches it: writing the same content would make Tilt reload its Tiltfile. Raises EnvironmentFault.
    """
    data = text.encode()
    try:
        if path.is_file() and read_source(path) == data:
            return False
        write_whole(path, data)
    except OSError as error:
        raise _unwritable(path, error) from error
    return True


def _unwritable(path: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(f"cannot write {path}: {error.strerror}", hint="check its owner and mode")
