"""One evaluation of a Tiltfile: the files it executes, and everything they make."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.tilt.harness import arguments, commands, values
from devtools.tilt.harness.arguments import signatures
from devtools.tilt.harness.compose import Compose
from devtools.tilt.harness.dialect import Source, evaluate, place_of, place_of_call, wrapped
from devtools.tilt.harness.files import (
    Files,
    decode_json,
    decode_one_yaml,
    decode_yaml,
    encode_json,
    encode_yaml,
    encode_yaml_stream,
    join,
)
from devtools.tilt.harness.images import Images
from devtools.tilt.harness.kubernetes import Entity, Objects
from devtools.tilt.harness.resources import Recorder
from devtools.tilt.harness.settings import NAMES, Config, Settings
from devtools.tilt.harness.values import LIVE_UPDATE_STEPS, Blob, Loaded, Refused, Step, TiltfileError

if TYPE_CHECKING:
    from starlark import FrozenModule, Module

_UNDEFINED = re.compile(r"Variable `(\w+)` not found")
_PRELUDE = "prelude"
_EXPORTS = "exports__"
_POSITIONED = ("k8s_resource", "trigger_mode", *LIVE_UPDATE_STEPS)


_WRAPPED = (*_POSITIONED, "local_git_repo", "exit", "filter_yaml")  # set by functions of the prelude


class Exit(Exception):
    """Ends the Tiltfile here, successfully."""


class Evaluation:
    """One evaluation: the files it executes, and everything they make."""

    def __init__(self, main: Path, inputs: commands.Inputs) -> None:
        self.main = main
        self.inputs = inputs
        self.stack: list[Path] = []
        self.sources: dict[str, Source] = {}
        self.modules: dict[str, FrozenModule] = {}
        self.values: dict[str, dict[str, Any]] = {}  # the data that a module exports, by file
        self.dynamic: list[FrozenModule] = []  # the module that load_dynamic has just loaded, at each level
        self.refusal = ""  # the last one, because Starlark passes on only its text
        self.exited = False
        self.warnings: list[str] = []
        self.output: list[str] = []
        self.reads: dict[str, None] = {}
        self.env = {"DEVTOOLS_TILT_HARNESS": "1", **inputs.env}  # infra.star then does not run helm itself
        extensions = [path.absolute().parent.resolve() for path in inputs.extensions.values()]
        self.files = Files(roots=(inputs.root, *extensions), directory=self.directory, watch=self.watch)
        self.settings = Settings(self.warnings.append)
        self.config = Config(words=inputs.args, files=self.files)
        images = Images(self.files, self.warnings.append)
        self.recorder = Recorder(
            files=self.files,
            warn=self.warnings.append,
            objects=Objects(files=self.files, images=images),
            images=images,
            compose=Compose(files=self.files, env=self.env),
        )
        self.commands = commands.Commands(
            files=self.files, local=inputs.local, render=inputs.render, context=inputs.context
        )

    def directory(self) -> Path:
        """Return the directory of the executing file; functions of loaded files run in their caller's."""
        return (self.stack[-1] if self.stack else self.main).parent

    def watch(self, path: str) -> None:
        """Record paths whose change makes Tilt load the Tiltfile again."""
        self.reads[path] = None

    def load(self) -> Loaded:
        """Execute the Tiltfile and return the result."""
        with contextlib.suppress(Exit):
            self.execute(self.main)
        return self._finished()

    def execute(self, path: Path) -> None:
        """Execute one file; raises TiltfileError, or Exit."""
        import starlark

        if path in self.stack:
            raise TiltfileError(f"Circular load: {path}", hint=" → ".join(map(str, [*self.stack, path])))
        try:
            source = Source(self.files.must_read(str(path), f"error reading file {path}: "))
        except Refused as error:
            raise TiltfileError(str(error), hint="check the path in load(…)") from error
        self.sources[str(path)] = source
        self.stack.append(path)
        module = starlark.Module()
        try:
            self._prepare(module, path)
            evaluate(module, str(path), source.text, starlark.FileLoader(self._load))
            self._export(module, str(path), source.names)
        except starlark.StarlarkError as error:
            raise self._ended(error) from error
        finally:
            self.modules[str(path)] = module.freeze()
            self.stack.pop()

    def _prepare(self, module: Module, path: Path) -> None:
        for name, function in self._functions().items():
            module.add_callable(name, function)
        for name, value in self._constants(path).items():
            module[name] = value
        kinds = [name.removeprefix("v1alpha1.") for name in _api_names()]
        api = f"v1alpha1 = struct({', '.join(f'{kind}=__v1alpha1_{kind}' for kind in kinds)})"
        evaluate(module, _PRELUDE, f"__str = str\n__repr = repr\n__type = type\n{api}")
        evaluate(module, _PRELUDE, Path(__file__).with_name("prelude.star").read_text(encoding="utf-8"))

    def _export(self, module: Module, path: str, names: tuple[str, ...]) -> None:
        """Put the global names that were set into one dict, which `load` can bind."""
        import starlark

        data: dict[str, Any] = {}
        there = []
        for name in names:
            with contextlib.suppress(starlark.StarlarkError):  # a name that no branch set
                evaluate(module, _PRELUDE, f"__set = {name}")
                there.append(name)
                data[name] = module[name]
        self.values[path] = data
        rows = "".join(f"{name!r}: {name}, " for name in sorted(there))
        evaluate(module, _PRELUDE, f"{_EXPORTS}.update({{{rows}}})")

    # --- functions

    def _functions(self) -> dict[str, Callable[..., Any]]:
        """Return every function by its name in a Tiltfile; names with `__` are for the prelude."""
        made = {}
        for name, function in self._by_name().items():
            called = f"__{name.replace('.', '_')}" if "." in name or name in _WRAPPED else name
            made[called] = self._guarded(name, function)
        made |= {
            "__os_path_join": self._refusing("os.path.join", join),
            "__text": values.shown,
            "__kind": values.kind_of,
            "__truth": values.true,
            "__named": values.formatted,
            "__print": self._refusing("print", self._print),
            "__refuse": self._refuse,
            "__dynamic": self._refusing("load_dynamic", self._dynamic),
            "__dynamic_here": self._refusing("load_dynamic", self._dynamic_here),
            "__call": self._call,
            "__names_here": self._names_here,
            "__repository_path": lambda root, path: values.absolute(Path(root), path),
        }
        return made

    def _by_name(self) -> dict[str, Callable[..., Any]]:
        """Return the functions that take converted arguments, by Tilt's names."""
        recorder, files, objects = self.recorder, self.files, self.recorder.objects
        same = (
            *(recorder.local_resource, recorder.k8s_resource, recorder.k8s_custom_deploy, recorder.test),
            *(recorder.trigger_mode, recorder.docker_compose, recorder.dc_resource),
            *(objects.k8s_yaml, objects.filter_yaml, objects.k8s_kind, objects.k8s_image_json_path),
            *(recorder.images.docker_build, recorder.images.custom_build),
            *(files.read_file, files.read_json, files.read_yaml, files.read_yaml_stream, files.watch_file),
            *(files.listdir, encode_json, encode_yaml, encode_yaml_stream),
            *(self.commands.run_local, self.commands.helm, self.commands.kustomize),
            *(self.commands.allow_k8s_contexts, self.commands.local_git_repo),
        )
        functions: dict[str, Callable[..., Any]] = {function.__name__: function for function in same}
        functions["local"] = functions.pop("run_local")
        functions |= {f"os.path.{name}": function for name, function in files.path_functions().items()}
        functions |= {name: self.settings.function(name) for name in (*NAMES, *_api_names())}
        functions |= {name: commands.step(name) for name in commands.STEPS}
        functions |= {name: self._live_update_step(name) for name in LIVE_UPDATE_STEPS}
        functions |= {
            f"config.define_{kind}": self.config.define(kind) for kind in ("string_list", "string", "bool", "object")
        }
        for name in ("parse", "set_enabled_resources", "clear_enabled_resources"):
            functions[f"config.{name}"] = getattr(self.config, name)
        return functions | {
            "decode_json": lambda params: decode_json(params["json"]),
            "decode_yaml": lambda params: decode_one_yaml(params["yaml"]),
            "decode_yaml_stream": lambda params: decode_yaml(params["yaml"]),
            "blob": lambda params: Blob(params["input"]),
            "include": self._include,
            "k8s_context": lambda _: self.inputs.context,
            "k8s_namespace": lambda _: self.inputs.namespace,
            "os.getcwd": lambda _: str(self.directory()),
            "os.getenv": lambda params: self.env.get(params["key"], params.get("default")),
            "os.putenv": lambda params: self.env.update({params["key"]: params["value"]}),
            "os.unsetenv": lambda params: self.env.pop(params["key"], None) and None,
            "shlex.quote": lambda params: shlex.quote(params["name"]),
            "warn": lambda params: self.warnings.append(params["msg"]),
            "fail": lambda params: self._refuse("fail", params["msg"]),
            "exit": self._exit,
        }

    def _constants(self, path: Path) -> dict[str, Any]:
        import starlark

        return {
            "__file__": str(path),
            "__name__": "__main__" if path == self.main else path.name,
            "__environ": dict(self.env),
            "__subcommand": self.inputs.subcommand,
            "__main_path": str(self.main),
            "__main_dir": str(self.main.parent),
            "__argv": [
                "tilt",
                *self.inputs.subcommand.split(),
                *(["--", *self.inputs.args] if self.inputs.args else []),
            ],
            "TRIGGER_MODE_AUTO": starlark.OpaquePythonObject(commands.AUTO),
            "TRIGGER_MODE_MANUAL": starlark.OpaquePythonObject(commands.MANUAL),
        }

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that converts its arguments as Tilt does."""
        signature = signatures()["local_resource" if name == "test" else name]
        most = 1 if name == "k8s_kind" else len(signature)  # of positional arguments

        def call(*args: Any, **kwargs: Any) -> Any:
            place = [self._place_of_call(args[0], name)] if name in _POSITIONED else []
            if len(args) - len(place) > most:
                raise Refused(f"{name}: got {len(args) - len(place)} arguments, want at most {most}")
            values.check_formatted((args[len(place) :], kwargs))
            params = arguments.unpack(name, signature, args[len(place) :], kwargs, self.directory())
            return function(*place, params)

        return self._refusing(name, call)

    def _refusing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose refusals are recorded, and whose values are wrapped."""

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return wrapped(function(*args, **kwargs))
            except Refused as error:
                self.refusal = f"Error in {name}: {error}"
                raise
            except TiltfileError as error:
                self.refusal = self.refusal or f"Error in {name}: {error.message}"
                raise

        return call

    def _live_update_step(self, name: str) -> Callable[..., Step]:
        def make(place: str, params: Mapping[str, Any]) -> Step:
            made = commands.live_update_step(name, params, self.files)
            self.recorder.images.note_step(place, made)
            return made

        return make

    def _place_of_call(self, stack: str, name: str) -> str:
        place, several = place_of_call(stack, name, self.sources)
        return f"{place}#{len(self.recorder.images.steps)}" if several else place  # each call makes a separate one

    # --- loading

    def _load(self, typed: str) -> FrozenModule:
        """Return the module that `load` binds: each file is loaded once, a dynamically loaded one just before."""
        if typed == "@dynamic":
            return self.dynamic.pop()
        try:
            return self._module(self._resolved(typed))
        except (TiltfileError, Refused) as error:
            text = error.message if isinstance(error, TiltfileError) else str(error)
            self.refusal = self.refusal or f"Error: cannot load {typed}: {text}"
            raise

    def _module(self, path: Path) -> FrozenModule:
        if str(path) not in self.modules:
            self.execute(path)
        return self.modules[str(path)]

    def _include(self, params: Mapping[str, Any]) -> None:
        self._module(self._resolved(params["path"]))

    def _resolved(self, typed: str) -> Path:
        if not typed.startswith("ext://"):
            return Path(self.files.absolute(typed))
        name = typed.removeprefix("ext://")
        if name in self.inputs.extensions:
            return self.inputs.extensions[name].absolute()
        repository = self.settings.objects.get(("extension_repo", "default"), {}).get("url", "")
        if repository.startswith("file://"):
            folder = repository.removeprefix("file://")
            if not self.files.exists(folder):
                text = f"loading extension repo default: loading: stat {folder}: no such file or directory"
                raise TiltfileError(text, hint="the harness reads below its root only")
            return Path(folder) / name / "Tiltfile"
        raise TiltfileError(f"extension {name} is not available", hint=f"pass extensions={{{name!r}: Path(…)}}")

    def _dynamic_here(self, path: Any) -> None:
        """Execute a module that the next `load` binds."""
        self.dynamic.append(self._module(self._resolved(self._path_argument(path))))

    def _dynamic(self, path: Any) -> dict[str, Any]:
        """Execute a module; return its data, and the names of its functions."""
        file = self._resolved(self._path_argument(path))
        self._module(file)
        data = self.values[str(file)]
        names = [name for name in self.sources[str(file)].names if name not in data]
        return {"path": str(file), "values": {name: wrapped(item) for name, item in data.items()}, "functions": names}

    def _path_argument(self, path: Any) -> str:
        signature = signatures()["load_dynamic"]
        text: str = arguments.unpack("load_dynamic", signature, (path,), {}, self.directory())["path"]
        return text

    def _call(self, path: str, name: str, args: Any, kwargs: Any) -> Any:
        """Call a function of a dynamically loaded module, with data as arguments and result."""
        result = self.modules[path].call("call_export__", name, wrapped(list(args)), wrapped(dict(kwargs)))
        return wrapped(result)

    def _names_here(self) -> None:
        """Record that the executing file has a function from a workload to a resource's name."""
        path = str(self.stack[-1])

        def name_of(entity: Entity) -> Any:
            identity = (entity.name, entity.kind, entity.namespace, entity.group)
            return self.modules[path].call("name_of_workload__", *identity)

        self.recorder.name_of = name_of

    # --- the end

    def _print(self, text: str) -> None:
        values.check_formatted(text)
        self.output.append(text)

    def _refuse(self, name: str, text: str) -> None:
        self.refusal = f"Error in {name}: {text}"
        raise Refused(text)

    def _exit(self, params: Mapping[str, Any]) -> None:
        if params.get("code") is not None:
            self.output.append(params["code"])
        self.exited = True
        raise Exit

    def _ended(self, error: Exception) -> Exception:
        """Return the meaning of a Starlark error: a requested exit, or a refusal with its place."""
        if self.exited:
            return Exit()
        text = str(error)
        hint = place_of(text, self.sources)
        message = text.partition("error: ")[2].partition("\n")[0] or text
        if match := _UNDEFINED.match(message):
            message = f"{hint.removeprefix('at ')}: undefined: {match[1]}"
        self.refusal = self.refusal or message
        return TiltfileError(self.refusal, hint=hint)

    def _finished(self) -> Loaded:
        """Do the work that Tilt does after the last line."""
        try:
            resources = self.recorder.finish(self.commands.check_context, self.settings.unused_images_allowed())
            chosen = tuple(values.enabled(resources, self.config.chosen(), cleared=self.config.cleared))
        except Refused as error:
            raise TiltfileError(str(error), hint=f"in {self.main}") from error
        return Loaded(
            resources=chosen,
            images=tuple(build.image for build in self.recorder.images.builds),
            warnings=tuple(self.warnings),
            output=tuple(self.output),
            allowed_contexts=tuple(self.commands.allowed),
            reads=tuple(self.reads),
            locals=tuple(self.commands.ran),
            settings=self.settings.by_function,
        )


def _api_names() -> list[str]:
    """Return the functions that register objects of Tilt's own API, or make parts of them."""
    return [name for name in signatures() if name.startswith("v1alpha1.")]
