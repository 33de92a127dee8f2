"""Tilt's functions that read and decode: files, `os.path`, JSON, YAML; bounded to one directory tree."""

from __future__ import annotations

import json
import math
import os.path
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.open_file import read_file
from devtools.tilt.harness import values
from devtools.tilt.harness.values import Blob, Refused, go_type, shown

Arguments = Mapping[str, Any]  # of one call, by parameter, converted


@dataclass(slots=True, kw_only=True)
class Files:
    """The files that one evaluation can read: regular files below some directories."""

    roots: tuple[Path, ...]  # resolved; the first is the repository
    directory: Callable[[], Path]  # of the executing file
    watch: Callable[[str], None]

    def absolute(self, path: str) -> str:
        """Return a path made absolute from the directory of the executing file."""
        return values.absolute(self.directory(), path)

    def inside(self, path: str) -> bool:
        """Return whether a path, with links resolved, is below one of the roots."""
        try:
            resolved = Path(path).resolve()
            return any(resolved.is_relative_to(root) for root in self.roots)
        except (OSError, RuntimeError, ValueError):
            return False

    def exists(self, path: str) -> bool:
        """Return whether a path exists; outside the roots nothing does."""
        return self.inside(path) and Path(path).exists()

    def read(self, path: str) -> str:
        """Return a file's text, and record that Tilt watches it; raise FileNotFoundError or Refused."""
        if not self.inside(path):
            text = f"outside {self.roots[0]} nothing is read (root= sets another directory)"
            raise FileNotFoundError(f"open {path}: no such file or directory: {text}")
        where = Path(path)
        if where.is_dir():
            raise Refused(f"read {path}: is a directory")
        self.watch(path)
        if not where.exists():
            raise FileNotFoundError(f"open {path}: no such file or directory")
        if not where.is_file():
            raise Refused(f"open {path}: not a regular file")
        try:
            return read_file(where).decode("utf-8", "replace")
        except OSError as error:
            raise Refused(f"open {path}: {(error.strerror or str(error)).lower()}") from error

    def must_read(self, path: str, what: str = "") -> str:
        """Return a file's text; Refused if there is none."""
        try:
            return self.read(path)
        except (FileNotFoundError, Refused) as error:
            raise Refused(f"{what}{error}") from error

    # --- functions, by Tilt's names

    def read_file(self, params: Arguments) -> Blob:
        """Return a file's contents."""
        path = params["paths"]
        if params.get("default") is None:
            return Blob(self.must_read(path), f"file: {path}")
        try:
            return Blob(self.read(path), f"file: {path}")
        except FileNotFoundError:
            return Blob(params["default"], f"file: {path}")

    def watch_file(self, params: Arguments) -> None:
        """Record a path to watch."""
        self.watch(params["paths"])

    def listdir(self, params: Arguments) -> list[str]:
        """Return the files of a directory, in the order of a walk; links are not followed."""
        where, recursive = params["dir"], params.get("recursive", False)
        if recursive:
            self.watch(where)
        return self._walk(where, recursive=recursive) if self.inside(where) and Path(where).is_dir() else []

    def _walk(self, where: str, *, recursive: bool) -> list[str]:
        found: list[str] = []
        for entry in sorted(os.scandir(where), key=lambda entry: entry.name):
            if not entry.is_dir(follow_symlinks=False):
                found.append(entry.path)
            elif recursive:
                found += self._walk(entry.path, recursive=True)
        return found

    def read_json(self, params: Arguments) -> Any:
        """Return a file's JSON."""
        return self._decoded(params["paths"], params, lambda text: decode_json(text, params["paths"]))

    def read_yaml(self, params: Arguments) -> Any:
        """Return a file's YAML document."""
        path = self.absolute(params["paths"])
        return self._decoded(path, params, lambda text: _single(decode_yaml(text, params["paths"])))

    def read_yaml_stream(self, params: Arguments) -> Any:
        """Return a file's YAML documents."""
        path = self.absolute(params["paths"])
        return self._decoded(path, params, lambda text: decode_yaml(text, params["paths"]))

    def _decoded(self, path: str, params: Arguments, decode: Callable[[str], Any]) -> Any:
        if "default" not in params:
            return decode(self.must_read(path))
        try:
            return decode(self.read(path))
        except FileNotFoundError:
            return params["default"]

    def path_functions(self) -> Mapping[str, Callable[..., Any]]:
        """Return `os.path`, with Go's rules; paths are relative to the executing file's directory."""
        return {
            "abspath": lambda params: self.absolute(params["path"]),
            "basename": lambda params: (
                posixpath.basename(params["path"].rstrip("/")) or ("/" if params["path"] else ".")
            ),
            "dirname": lambda params: _clean(posixpath.dirname(params["path"])),
            "exists": lambda params: self.exists(self.absolute(params["path"])),
            "realpath": self._realpath,
            "relpath": self._relpath,
        }

    def _realpath(self, params: Arguments) -> str:
        path = self.absolute(params["path"])
        if not self.exists(path):
            raise Refused(f"lstat {path}: no such file or directory")
        return str(Path(path).resolve())

    def _relpath(self, params: Arguments) -> str:
        base, target = params.get("basepath", str(self.directory())), params["targpath"]
        if posixpath.isabs(base) != posixpath.isabs(target):
            raise Refused(f"Rel: can't make {target} relative to {base}")
        return posixpath.relpath(target, base)


def join(*parts: Any) -> str:
    """`os.path.join` with Go's rules: an absolute part does not discard the earlier ones."""
    for index, part in enumerate(parts):
        if not isinstance(part, str):
            raise Refused(f"os.path.join() only accepts strings. Argument #{index}: {shown(part)}")
    filled = [part for part in parts if part]
    return _clean("/".join(filled)) if filled else ""


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path) if path else "."
    return "/" + cleaned.lstrip("/") if cleaned.startswith("//") else cleaned


# --- JSON and YAML


def decode_json(text: str, source: str = "") -> Any:
    """Return the value of a JSON text; errors are worded as in Go."""
    where = f"error parsing JSON{f' from {source}' if source else ''}: "
    try:
        decoder = json.JSONDecoder(parse_constant=_no_constant, parse_int=_int, parse_float=_float)
        value, end = decoder.raw_decode(text.lstrip(" \t\r\n"))
    except Refused as error:
        raise Refused(f"error converting JSON to Starlark{f' from {source}' if source else ''}: {error}") from error
    except json.JSONDecodeError as error:
        raise Refused(where + _go_json(error)) from error
    except (RecursionError, ValueError) as error:
        raise Refused(f"{where}{error}") from error
    if text.lstrip(" \t\r\n")[end:].strip(" \t\r\n"):
        raise Refused(f"{where}found multiple JSON values")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _int(text: str) -> int:
    if not -(2**63) <= (number := int(text)) < 2**63:
        raise Refused(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


def _float(text: str) -> float:
    if "." not in text:
        raise Refused(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return float(text)


def _go_json(error: json.JSONDecodeError) -> str:
    at = error.doc[error.pos :].lstrip(" \t\r\n")
    if not at:
        return "EOF" if not error.doc.strip() else "unexpected EOF"
    states = {
        "Expecting property name": "looking for beginning of object key string",
        "Illegal trailing comma": "looking for beginning of object key string",
        "Expecting value": "looking for beginning of value",
        "Expecting ':'": "after object key",
        "Expecting ','": "after array element" if error.doc.lstrip().startswith("[") else "after object key:value pair",
    }
    state = next((state for start, state in states.items() if error.msg.startswith(start)), error.msg)
    return f"invalid character '{at[0]}' {state}"


def decode_yaml(text: str, source: str = "") -> list[Any]:
    """Return the documents of a YAML stream as JSON values, without empty ones."""
    from devtools.base.machine_yaml import read_documents

    try:
        return [_json_value(item) for item in read_documents(text) if item is not None]
    except ValueError as error:
        raise Refused(f"error parsing YAML{f' from {source}' if source else ''}: {error}") from error


def decode_one_yaml(text: str) -> Any:
    """Return the value of a text of one document."""
    return _single(decode_yaml(text))


def _single(found: list[Any]) -> Any:
    if len(found) > 1:
        more = "use decode_yaml_stream instead to decode a yaml stream"
        raise Refused(f"expected a yaml document but found a yaml stream (documents separated by `---`). {more}")
    return found[0] if found else None


def _json_value(value: Any) -> Any:
    """Convert keys to strings and numbers without a fraction to int, because Tilt reads YAML by way of JSON."""
    if isinstance(value, Mapping):
        if None in value:
            raise ValueError("error converting YAML to JSON: unsupported map key of type: null")
        return {key if isinstance(key, str) else json.dumps(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            text = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
            raise ValueError(f"error converting YAML to JSON: json: unsupported value: {text}")
        return int(value) if value.is_integer() else value
    return value


def encode_json(params: Arguments) -> str:
    """Return JSON as Go's encoder writes it."""
    text = json.dumps(_plain(params["obj"]), indent=2, sort_keys=True, ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text + "\n"


def encode_yaml(params: Arguments) -> Blob:
    """Return one YAML document."""
    return Blob(dump_yaml(_plain(params["obj"])), "encode_yaml")


def encode_yaml_stream(params: Arguments) -> Blob:
    """Return YAML documents."""
    return Blob("---\n".join(dump_yaml(_plain(item)) for item in params["objs"]), "encode_yaml_stream")


def dump_yaml(value: Any) -> str:
    """Return one YAML document of plain data."""
    import yaml

    class Dumper(yaml.CSafeDumper):
        """Quotes strings as Go's library does."""

    def represent(dumper: Any, text: str) -> Any:
        plain = dumper.resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str"
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None if plain else '"')

    Dumper.add_representer(str, represent)
    text: str = yaml.dump(value, Dumper=Dumper, allow_unicode=True, sort_keys=True, width=2**30)
    return text.removesuffix("...\n")


_GO_NAMES = {int: "int64", float: "float64", bool: "bool", type(None): "<nil>"}


def _plain(value: Any) -> Any:
    """Check that data can be encoded: dicts with str keys, lists, str, numbers, bool and None."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                text = f"found key '{shown(key)}' of type {_GO_NAMES.get(type(key), 'object')}"
                only = "only string keys are supported in maps"
                raise Refused(f"error converting object from starlark: {only}. {text}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    text = f"unable to convert from starlark value, unsupported type {go_type(value)}"
    raise Refused(f"error converting object from starlark: {text}")
