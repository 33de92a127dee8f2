"""The names that every Tiltfile finds and that need no more than themselves; and Starlark as Tilt speaks it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.errors import EnvironmentFault
from devtools.tilt.harness.results import Step, TiltfileError
from devtools.tilt.harness.values import Refused

if TYPE_CHECKING:
    from starlark import Dialect, Globals

SETTINGS = (
    *("update_settings", "ci_settings", "watch_settings", "version_settings", "secret_settings", "set_team"),
    *("docker_prune_settings", "analytics_settings", "disable_snapshots", "enable_feature", "default_registry"),
    "k8s_kind",
)
STEPS: Mapping[str, tuple[str, ...]] = {  # each with its parameters, in Tilt's order
    "sync": ("local_path", "remote_path"),
    "run": ("cmd", "trigger", "echo_off"),
    "fall_back_on": ("files",),
    "initial_sync": (),
    "restart_container": (),
    "link": ("url", "name"),
    "port_forward": ("local_port", "container_port", "name", "link_path", "host"),
    "probe": (
        *("initial_delay_secs", "timeout_secs", "period_secs", "success_threshold", "failure_threshold"),
        *("exec", "http_get", "tcp_socket"),
    ),
    "exec_action": ("command",),
    "http_get_action": ("port", "host", "scheme", "path"),
    "tcp_socket_action": ("port", "host"),
}
UNMODELLED = ("docker_compose", "dc_resource", "filter_yaml", "k8s_image_json_path", "include")


def step_function(name: str) -> Callable[..., Step]:
    """A function that makes a value of its arguments."""
    parameters = STEPS[name]

    def make(*args: Any, **kwargs: Any) -> Step:
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        if len(args) > len(parameters) or not given.keys() <= set(parameters):
            raise Refused(f"takes {', '.join(parameters) or 'nothing'}")
        return Step(kind=name, values={key: given.get(key) for key in parameters})

    return make


def check_formatted(value: Any) -> None:
    """In Tilt `'%s' % blob` holds the blob's text; here it cannot, and must not pass for it."""
    if isinstance(value, str) and "<opaque python object>" in value:
        raise Refused("a blob or other value of Tilt's was formatted with %; the harness needs str(…) around it")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            check_formatted(item)


def exported(path: Path) -> list[str]:
    """The global names that a file sets, without private ones; Starlark's grammar is a part of Python's."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError) as error:
        raise TiltfileError(f"load_dynamic: {path}: {error}", hint="check the path and the file") from error
    names: dict[str, None] = {}
    rest: list[ast.AST] = list(reversed(tree.body))
    while rest:
        node = rest.pop()
        if isinstance(node, ast.FunctionDef):
            names[node.name] = None
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        rest += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.Name | ast.Tuple)]
    return [name for name in names if not name.startswith("_")]


def dialect() -> Dialect:
    """Starlark as Tilt's: loops and conditions at the top level, no type annotations, no f-strings."""
    import starlark  # noqa: PLC0415 - optional

    made = starlark.Dialect.extended()
    made.enable_types = starlark.DialectTypes.DISABLE
    made.enable_positional_only_arguments = False
    made.enable_f_strings = False
    return made


def library_globals() -> Globals:
    """The functions of the language itself, and `struct`."""
    import starlark  # noqa: PLC0415 - optional

    return starlark.Globals.extended_by([starlark.LibraryExtension.StructType])


def check_starlark() -> None:
    """Raise EnvironmentFault where starlark-pyo3 is missing."""
    if importlib.util.find_spec("starlark") is None:
        hint = "type: pip install starlark-pyo3"
        raise EnvironmentFault("testing a Tiltfile needs the package starlark-pyo3", hint=hint)
