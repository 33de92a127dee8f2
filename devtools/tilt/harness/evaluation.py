"""One evaluation of a Tiltfile: the files it executes, and everything they make."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.tilt.harness import values
from devtools.tilt.harness.config import Arguments
from devtools.tilt.harness.dialect import (
    SETTINGS,
    STEPS,
    UNMODELLED,
    check_formatted,
    dialect,
    exported,
    library_globals,
    step_function,
)
from devtools.tilt.harness.files import Surface
from devtools.tilt.harness.inputs import Exit, Given, Restart
from devtools.tilt.harness.resources import Recorder
from devtools.tilt.harness.results import Loaded, Resource, Step, TiltfileError
from devtools.tilt.harness.values import Blob, Refused

if TYPE_CHECKING:
    from starlark import FrozenModule, Module


class Evaluation:
    """One evaluation: the files it executes, and everything they make."""

    def __init__(self, main: Path, given: Given, dynamic: dict[str, list[str]]) -> None:
        self.main = main
        self.given = given
        self.dynamic = dynamic  # file → modules it loads dynamically; grows from one evaluation to the next
        self.stack: list[Path] = []
        self.modules: dict[str, FrozenModule] = {}
        self.said = ""  # the last refusal: Starlark hands on its text only
        self.left: type[Exception] | None = None
        self.warnings: list[str] = []
        self.output: list[str] = []
        self.reads: dict[str, None] = {}
        self.settings: dict[str, Mapping[str, Any]] = {}
        self.recorder = Recorder(directory=self.directory, watch=self.watch)
        self.arguments = Arguments(words=given.args, main=main, watch=self.watch)
        self.surface = Surface(
            directory=self.directory,
            watch=self.watch,
            env={"DEVTOOLS_TILT_HARNESS": "1", **given.env},  # infra.star then runs no helm of its own
            local=given.local,
            render=given.render,
            not_rendered=self._not_rendered,
            context=given.context,
            namespace=given.namespace,
        )

    def directory(self) -> Path:
        """The directory of the file that is being executed; functions of loaded files run in their caller's."""
        return (self.stack[-1] if self.stack else self.main).parent

    def watch(self, path: str) -> None:
        """Note what would make Tilt load the Tiltfile again."""
        self.reads[path] = None

    def load(self) -> Loaded:
        """Execute the Tiltfile and see what came of it."""
        with contextlib.suppress(Exit):
            self.execute(self.main)
        return self._finished()

    def execute(self, path: Path) -> Module:
        """Execute one file; raises TiltfileError, or what ended the evaluation."""
        import starlark  # noqa: PLC0415 - optional

        self.watch(str(path))
        if path in self.stack:
            raise TiltfileError(f"circular load: {' → '.join(map(str, [*self.stack, path]))}", hint=str(path))
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise TiltfileError(f"open {path}: {error.strerror}", hint="check the path in load(…)") from error
        self.stack.append(path)
        try:
            module = starlark.Module()
            loader = starlark.FileLoader(self._load)
            for name, part in (*self._prelude(module, path), (str(path), text)):
                starlark.eval(module, starlark.parse(name, part, dialect()), library_globals(), loader)
        except starlark.StarlarkError as error:
            raise self._ended(error) from error
        finally:
            self.stack.pop()
        return module

    def _prelude(self, module: Module, path: Path) -> list[tuple[str, str]]:
        """Give a module Tilt's names; what is left to be evaluated in it first."""
        for name, function in self._functions().items():
            module.add_callable(name, self._guarded(name, function))
        for name, value in self._constants(path).items():
            module[name] = value
        wanted = self.dynamic.get(str(path), [])
        loads, table = [], []
        for number, file in enumerate(wanted):
            names = exported(Path(file))
            pairs = "".join(f", __d{number}_{name} = {name!r}" for name in names)
            loads.append(f"load({file!r}{pairs})" if names else f"load({file!r}, __d{number} = '__file__')")
            table.append(f"{file!r}: {{{', '.join(f'{name!r}: __d{number}_{name}' for name in names)}}}")
        own = Path(__file__).with_name("prelude.star").read_text(encoding="utf-8")
        return [
            ("prelude", "__str = str\n__type = type"),
            ("prelude", "\n".join([*loads, f"__loaded = {{{', '.join(table)}}}"])),
            ("prelude", own),
        ]

    def _functions(self) -> dict[str, Callable[..., Any]]:
        """Every function by its name in a Tiltfile; those with `__` are for the prelude."""
        recorder, surface, arguments = self.recorder, self.surface, self.arguments
        same = (
            *(recorder.local_resource, recorder.k8s_yaml, recorder.k8s_resource, recorder.docker_build),
            *(recorder.custom_build, recorder.k8s_custom_deploy),
            *(surface.read_file, surface.read_json, surface.read_yaml, surface.read_yaml_stream),
            *(surface.decode_json, surface.decode_yaml, surface.decode_yaml_stream, surface.encode_json),
            *(surface.encode_yaml, surface.encode_yaml_stream, surface.watch_file, surface.listdir),
            *(surface.helm, surface.kustomize, surface.blob, surface.allow_k8s_contexts),
        )
        functions: dict[str, Callable[..., Any]] = {function.__name__: function for function in same}
        functions |= {f"__path_{name}": function for name, function in surface.path_functions().items()}
        functions |= {name: step_function(name) for name in STEPS}
        functions |= {name: self._setting(name) for name in SETTINGS}
        functions |= {name: self._unmodelled(name) for name in UNMODELLED}
        return functions | {
            "local": surface.run_local,
            "trigger_mode": self._trigger_mode,
            "k8s_context": lambda: self.given.context,
            "k8s_namespace": lambda: self.given.namespace,
            "__getcwd": lambda: str(self.directory()),
            "__getenv": surface.getenv,
            "__putenv": surface.putenv,
            "__unsetenv": surface.unsetenv,
            "__quote": surface.quote,
            "__define_string_list": arguments.define("string_list"),
            "__define_string": arguments.define("string"),
            "__define_bool": arguments.define("bool"),
            "__parse": arguments.parse,
            "__set_enabled_resources": arguments.set_enabled_resources,
            "__clear_enabled_resources": arguments.clear_enabled_resources,
            "__text": lambda value: value.text if isinstance(value, Blob) else f"<{values.kind_of(value)}>",
            "__kind": values.kind_of,
            "__print": self.output.append,
            "__warn": self.warnings.append,
            "__fail": self._fail,
            "__exit": self._exit,
            "__unmodelled": lambda name: self._unmodelled(name)(),
            "__dynamic": self._dynamic,
        }

    def _constants(self, path: Path) -> dict[str, Any]:
        import starlark  # noqa: PLC0415 - optional

        return {
            "__file__": str(path),
            "__name__": "__main__" if path == self.main else str(path),
            "__environ": dict(self.surface.env),
            "__subcommand": self.given.subcommand,
            "__main_path": str(self.main),
            "__main_dir": str(self.main.parent),
            "TRIGGER_MODE_AUTO": starlark.OpaquePythonObject(Step(kind="auto")),
            "TRIGGER_MODE_MANUAL": starlark.OpaquePythonObject(Step(kind="manual")),
        }

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its refusals kept and its values wrapped."""
        import starlark  # noqa: PLC0415 - optional

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                check_formatted((args, kwargs))
                result = function(*args, **kwargs)
            except Refused as error:
                self.said = str(error) if name.startswith("__") else f"{name}: {error}"
                raise
            except TypeError as error:
                self.said = str(error)
                raise
            return starlark.OpaquePythonObject(result) if isinstance(result, Blob | Step) else result

        return call

    def _load(self, typed: str) -> FrozenModule:
        """What `load` loads: each file once."""
        try:
            path = self._resolved(typed)
            if str(path) not in self.modules:
                self.modules[str(path)] = self.execute(path).freeze()
            return self.modules[str(path)]
        except TiltfileError as error:
            self.said = self.said or error.message
            raise

    def _resolved(self, typed: str) -> Path:
        if typed.startswith("ext://"):
            name = typed.removeprefix("ext://")
            if name not in self.given.extensions:
                raise TiltfileError(f"extension {name} is not at hand", hint=f"give extensions={{{name!r}: Path(…)}}")
            return self.given.extensions[name].absolute()
        path = Path(values.absolute(self.directory(), typed))
        return path / "Tiltfile" if path.is_dir() else path

    def _dynamic(self, path: Any) -> str:
        """The module's absolute path, once it has been loaded."""
        found = str(self._resolved(values.text_of(path, "path")))
        known = self.dynamic.setdefault(str(self.stack[-1]), [])
        if found not in known:
            known.append(found)
            self.left = Restart
            raise Restart
        return found

    def _ended(self, error: Exception) -> Exception:
        """What a Starlark error means: the end that was asked for, or a refusal with its place."""
        if self.left:
            return self.left()
        text = str(error)
        said = self.said or text.partition("error: ")[2].partition("\n")[0] or text
        where = [line.strip().removeprefix("--> ") for line in text.splitlines() if line.lstrip().startswith("--> ")]
        return TiltfileError(said, hint=f"at {where[-1]}" if where else text)

    def _fail(self, text: str) -> None:
        raise Refused(text)

    def _exit(self, text: str) -> None:
        self.output.append(text)
        self.left = Exit
        raise Exit

    def _unmodelled(self, name: str) -> Callable[..., None]:
        def refuse(*_: Any, **__: Any) -> None:
            raise Refused("the harness does not model it; see docs/tilt.md")

        del name
        return refuse

    def _setting(self, name: str) -> Callable[..., None]:
        def note(*args: Any, **kwargs: Any) -> None:
            self.settings[name] = {**{str(index): item for index, item in enumerate(args)}, **kwargs}

        return note

    def _trigger_mode(self, trigger_mode: Any) -> None:
        self.recorder.mode = self.recorder.mode_of(trigger_mode)

    def _not_rendered(self) -> None:
        self.recorder.opaque = True

    def _finished(self) -> Loaded:
        """What Tilt does after the last line."""
        try:
            self.recorder.finish()
            if any(resource.kind == "k8s" for resource in self.recorder.resources.values()):
                self.surface.check_context()
            resources = self._enabled()
        except Refused as error:
            raise TiltfileError(str(error), hint=f"in {self.main}") from error
        return Loaded(
            resources=resources,
            images=tuple(self.recorder.images.values()),
            warnings=(*self.warnings, *self.recorder.warnings),
            output=tuple(self.output),
            allowed_contexts=tuple(self.surface.allowed),
            reads=tuple(self.reads),
            locals=tuple(self.surface.locals),
            settings=self.settings,
        )

    def _enabled(self) -> tuple[Resource, ...]:
        """With what was chosen, everything that it waits for runs, too."""
        made = self.recorder.resources
        rest = list(self.arguments.chosen())
        if unknown := [name for name in rest if name not in made]:
            raise Refused(f"you specified some resources that could not be found: {', '.join(unknown)}")
        if not rest and not self.arguments.cleared:
            return tuple(made.values())
        chosen: set[str] = set()
        while rest:
            name = rest.pop()
            if name not in chosen:
                chosen.add(name)
                rest += made[name].resource_deps
        return tuple(replace(item, enabled=name in chosen) for name, item in made.items())
