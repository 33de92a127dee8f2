"""Evaluate a Tiltfile without Tilt, so that it can be unit-tested.

    loaded = assert_loads(Path("Tiltfile"), args=["--layers", "10"])
    assert loaded.resource("web").resource_deps == ("ameide_core_proto", "infra:10-bootstrap")

Nothing is run, no cluster is asked. What it does not model is said in docs/tilt.md; what it does not know it refuses.
Needs the package starlark-pyo3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.tilt.harness.dialect import check_starlark
from devtools.tilt.harness.evaluation import Evaluation
from devtools.tilt.harness.files import Local, Render
from devtools.tilt.harness.inputs import Given, Restart
from devtools.tilt.harness.results import Image, Loaded, Resource, Step, TiltfileError

__all__ = ["Image", "Loaded", "Resource", "Step", "TiltfileError", "assert_loads", "load_tiltfile"]

_DYNAMIC_AT_MOST = 50  # modules that one load of a Tiltfile may load by load_dynamic


def load_tiltfile(  # noqa: PLR0913 - what a machine has
    tiltfile: Path,
    *,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    context: str = "",
    namespace: str = "default",
    subcommand: str = "up",
    local: Local | None = None,
    render: Render | None = None,
    extensions: Mapping[str, Path] | None = None,
) -> Loaded:
    """Evaluate a Tiltfile as `tilt <subcommand> -- <args>` does with this environment and kube context ("": none).

    `local` gives the output of what `local()` runs (a tuple, or a str for a shell), `render` the YAML of a `helm` or
    `kustomize` Step; without them the first is refused and the second renders nothing. `extensions` are the files of
    `ext://name`. Raises TiltfileError where Tilt would refuse to load, EnvironmentFault without starlark-pyo3.
    """
    check_starlark()
    given = Given(
        args=tuple(args),
        env=env or {},
        context=context,
        namespace=namespace,
        subcommand=subcommand,
        local=local,
        render=render,
        extensions=extensions or {},
    )
    path = Path(tiltfile).absolute()
    dynamic: dict[str, list[str]] = {}
    for _ in range(_DYNAMIC_AT_MOST):
        try:
            return Evaluation(path, given, dynamic).load()
        except Restart:
            continue
    raise TiltfileError("load_dynamic loads more modules than the harness follows", hint=str(path))


def assert_loads(tiltfile: Path, **surroundings: Any) -> Loaded:
    """The loaded Tiltfile; AssertionError with what is wrong and where. Takes what `load_tiltfile` takes."""
    try:
        return load_tiltfile(tiltfile, **surroundings)
    except TiltfileError as error:
        raise AssertionError(f"{tiltfile} does not load: {error.message}\n{error.hint}") from error
