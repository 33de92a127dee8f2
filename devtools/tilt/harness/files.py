"""Tilt's functions that read, write and run something: files, encodings, `os`, `local`, charts."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.tilt.harness import values
from devtools.tilt.harness.results import Step
from devtools.tilt.harness.values import Blob, Refused

Local = Callable[[tuple[str, ...] | str], str]
Render = Callable[[Step], str]


@dataclass(slots=True, kw_only=True)
class Surface:
    """What one evaluation sees of the machine; nothing is run but by `local` and `render`, which the caller gives."""

    directory: Callable[[], Path]  # of the file that is being executed
    watch: Callable[[str], None]
    env: dict[str, str]
    local: Local | None
    render: Render | None
    not_rendered: Callable[[], None]
    locals: list[tuple[str, ...] | str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    context: str = ""
    namespace: str = ""

    def run_local(
        self,
        command: Any,
        quiet: bool = False,  # noqa: FBT001, FBT002
        command_bat: Any = "",
        echo_off: bool = False,  # noqa: FBT001, FBT002
        env: Any = None,
        dir: Any = "",  # noqa: A002
        stdin: Any = None,
    ) -> Blob:
        """`local`: refused on a context that Tilt does not know to be a developer's; gives a blob."""
        del quiet, command_bat, echo_off, dir, stdin
        values.env_of(env, "env")
        self.check_context()
        argv = values.command_of(command, "command")
        self.locals.append(argv)
        if self.local is None:
            raise Refused("the harness runs nothing: give it local=, a function from a command to its output")
        return Blob(self.local(argv))

    def check_context(self) -> None:
        """Refuse to act on what might be production."""
        if values.is_local_context(self.context) or self.context in self.allowed:
            return
        text = f"Stop! {self.context} might be production."
        raise Refused(f"{text} If you're sure you want to deploy there, add: allow_k8s_contexts('{self.context}')")

    def allow_k8s_contexts(self, contexts: Any) -> None:
        """Allow more contexts than Tilt does by itself."""
        self.allowed += values.texts_of(contexts, "contexts", one=True)

    def read_file(self, file_path: Any, default: Any = None) -> Blob:
        """A file's contents as a blob."""
        text = self._read(file_path, default)
        return Blob(text)

    def read_json(self, path: Any, default: Any = None) -> Any:
        """A file's JSON; the default, as it is, where there is none."""
        return self._decoded(path, default, self.decode_json)

    def read_yaml(self, path: Any, default: Any = None) -> Any:
        """A file's YAML document."""
        return self._decoded(path, default, self.decode_yaml)

    def read_yaml_stream(self, path: Any, default: Any = None) -> Any:
        """A file's YAML documents."""
        return self._decoded(path, default, self.decode_yaml_stream)

    def decode_json(self, json: Any) -> Any:  # noqa: D102 - Tilt's name
        return _json_of(_contents(json, "decode_json"))

    def decode_yaml(self, yaml: Any) -> Any:  # noqa: D102
        found = self.decode_yaml_stream(yaml)
        if len(found) > 1:
            raise Refused(f"decode_yaml: expected one document, got {len(found)}: decode_yaml_stream takes more")
        return found[0] if found else None

    def decode_yaml_stream(self, yaml: Any) -> list[Any]:  # noqa: D102
        import yaml as parser  # noqa: PLC0415 - not every Tiltfile has any

        try:
            text = _contents(yaml, "decode_yaml_stream")
            return [item for item in parser.load_all(text, Loader=parser.CSafeLoader) if item is not None]
        except parser.YAMLError as error:
            raise Refused(f"not YAML: {error}") from error

    def encode_json(self, obj: Any) -> Blob:
        """JSON as a blob."""
        return Blob(json.dumps(_plain(obj), indent=2) + "\n")

    def encode_yaml(self, obj: Any) -> Blob:
        """One YAML document as a blob."""
        import yaml  # noqa: PLC0415 - not every Tiltfile needs it

        return Blob(yaml.safe_dump(_plain(obj), sort_keys=False))

    def encode_yaml_stream(self, objs: Sequence[Any]) -> Blob:
        """YAML documents as a blob."""
        return Blob("---\n".join(self.encode_yaml(item).text for item in objs))

    def watch_file(self, file_path: Any) -> None:
        """Load the Tiltfile again when it changes."""
        self.watch(self._absolute(file_path))

    def listdir(self, directory: Any, recursive: bool = False) -> list[str]:  # noqa: FBT001, FBT002
        """Absolute paths of the files of a directory, sorted."""
        where = Path(self._absolute(directory))
        if recursive:
            self.watch(str(where))
        found = where.rglob("*") if recursive else where.glob("*")
        return sorted(str(path) for path in found if path.is_file())

    def helm(
        self,
        pathToChartDir: Any,  # noqa: N803
        name: Any = "",
        namespace: Any = "",
        values: Any = None,
        set: Any = None,  # noqa: A002
        kube_version: Any = "",
        skip_crds: bool = False,  # noqa: FBT001, FBT002
    ) -> Blob:
        """`helm template` of a chart directory, as a blob; its directory and values files are watched."""
        chart = self._absolute(pathToChartDir)
        if not Path(chart).is_dir():
            raise Refused(f"helm: could not read chart directory {chart}")
        files = [self._absolute(item) for item in _texts(values, "values")]
        for path in (chart, *files):
            self.watch(path)
        call = {
            "chart": chart,
            "name": name or Path(chart).name,
            "namespace": namespace,
            "values": tuple(files),
            "set": _texts(set, "set"),
            "kube_version": kube_version,
            "skip_crds": skip_crds,
        }
        return self._rendered(Step(kind="helm", values=call))

    def kustomize(self, pathToDir: Any, kustomize_bin: Any = None, flags: Any = None) -> Blob:  # noqa: N803
        """`kustomize build` of a directory, as a blob."""
        path = self._absolute(pathToDir)
        self.watch(path)
        call = {"path": path, "kustomize_bin": kustomize_bin, "flags": _texts(flags, "flags")}
        return self._rendered(Step(kind="kustomize", values=call))

    def blob(self, contents: Any) -> Blob:
        """Contents of a str."""
        return contents if isinstance(contents, Blob) else Blob(values.text_of(contents, "blob"))

    def getenv(self, key: Any, default: Any = None) -> Any:
        """`os.getenv`."""
        return self.env.get(values.text_of(key, "key"), default)

    def putenv(self, key: Any, value: Any) -> None:
        """`os.putenv`: for the rest of the load, and for every command."""
        self.env[values.text_of(key, "key")] = values.text_of(value, "value")

    def unsetenv(self, key: Any) -> None:
        """`os.unsetenv`."""
        self.env.pop(values.text_of(key, "key"), None)

    def path_functions(self) -> Mapping[str, Callable[..., Any]]:
        """`os.path`; relative paths are meant from the directory of the file that is being executed."""
        return {
            "abspath": self._absolute,
            "basename": posixpath.basename,
            "dirname": posixpath.dirname,
            "exists": lambda path: Path(self._absolute(path)).exists(),
            "join": posixpath.join,
            "realpath": lambda path: str(Path(self._absolute(path)).resolve()),
            "relpath": lambda targpath, basepath=".": posixpath.relpath(
                self._absolute(targpath), self._absolute(basepath)
            ),
        }

    def quote(self, s: Any) -> str:
        """`shlex.quote`."""
        return shlex.quote(values.text_of(s, "s"))

    def _rendered(self, call: Step) -> Blob:
        if self.render is None:
            self.not_rendered()
            return Blob("")
        return Blob(self.render(call))

    def _absolute(self, path: Any) -> str:
        return values.absolute(self.directory(), values.text_of(path, "path"))

    def _read(self, path: Any, default: Any) -> str:
        """The text; a default that is a blob or str stands in for a missing file."""
        where = Path(self._absolute(path))
        self.watch(str(where))
        if where.is_file():
            return where.read_text(encoding="utf-8")
        if default is None:
            raise Refused(f"open {where}: no such file or directory")
        return _contents(default, "default")

    def _decoded(self, path: Any, default: Any, decode: Callable[[Any], Any]) -> Any:
        where = Path(self._absolute(path))
        self.watch(str(where))
        if not where.is_file():
            if default is None:
                raise Refused(f"open {where}: no such file or directory")
            return default
        try:
            return decode(where.read_text(encoding="utf-8"))
        except Refused as error:
            raise Refused(f"error parsing {where}: {error}") from error


def _contents(value: Any, what: str) -> str:
    """Of a str or a blob."""
    return value.text if isinstance(value, Blob) else values.text_of(value, what)


def _texts(value: Any, what: str) -> tuple[str, ...]:
    return values.texts_of(value, what, one=True)


def _json_of(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise Refused(f"not JSON: {error}") from error


def _plain(value: Any) -> Any:
    """Data that can be encoded: Tilt refuses anything but dicts with str keys, lists, str, int, bool and None."""
    if isinstance(value, Blob | Step):
        raise Refused(f"cannot encode a {values.kind_of(value)}")
    if isinstance(value, Mapping):
        return {values.text_of(key, "a key"): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
