"""Evaluates a Tiltfile without Tilt, so that it can be unit-tested.

    loaded = assert_loads(Path("Tiltfile"), args=["--layers", "10"])
    assert loaded.resource("web").resource_deps == ("ameide_core_proto", "infra:10-bootstrap")

Starlark evaluates it, with Tilt's functions as recorders. It runs nothing, contacts no cluster, and reads no file
outside the repository. docs/tilt.md lists how it differs from Tilt. Needs the package starlark-pyo3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.tilt.harness.commands import Inputs, Local, Render
from devtools.tilt.harness.dialect import check_starlark
from devtools.tilt.harness.evaluation import Evaluation
from devtools.tilt.harness.values import Image, Loaded, Resource, Step, TiltfileError

__all__ = ["Image", "Loaded", "Resource", "Step", "TiltfileError", "assert_loads", "load_tiltfile"]


def load_tiltfile(  # noqa: PLR0913 - what a machine has
    tiltfile: Path,
    *,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    context: str = "",
    namespace: str = "default",
    subcommand: str = "up",
    root: Path | None = None,
    local: Local | None = None,
    render: Render | None = None,
    extensions: Mapping[str, Path] | None = None,
) -> Loaded:
    """Evaluate a Tiltfile as `tilt <subcommand> -- <args>` does with this environment and kube context ("": none).

    It reads files below `root`, by default the Git work tree that holds the Tiltfile, or else the Tiltfile's directory.
    `local` returns the output of a command of `local()` (a tuple, or a str for a shell), `render` the YAML of a `helm`
    or `kustomize` Step; without them `local()` is refused and `helm` and `kustomize` render nothing. `extensions` are
    the files of `ext://name`. Raises TiltfileError if Tilt would refuse to load, EnvironmentFault without
    starlark-pyo3.
    """
    check_starlark()
    path = Path(tiltfile).absolute()
    inputs = Inputs(
        args=tuple(args),
        env=env or {},
        context=context,
        namespace=namespace,
        subcommand=subcommand,
        root=(root or _work_tree(path.parent)).resolve(),
        local=local,
        render=render,
        extensions=extensions or {},
    )
    return Evaluation(path, inputs).load()


def assert_loads(tiltfile: Path, **surroundings: Any) -> Loaded:
    """Return the loaded Tiltfile; raise AssertionError with the problem and its place. Arguments as `load_tiltfile`."""
    try:
        return load_tiltfile(tiltfile, **surroundings)
    except TiltfileError as error:
        raise AssertionError(f"{tiltfile} does not load: {error.message}\n{error.hint}") from error


def _work_tree(directory: Path) -> Path:
    """Return the nearest directory upwards that holds `.git`, or else the directory itself."""
    return next((parent for parent in (directory, *directory.parents) if (parent / ".git").exists()), directory)
