"""YAML as Helm, kubectl and kwok read it: manifests, charts, kubeconfigs. `base.yaml_positions` reads layer files.

All of them use sigs.k8s.io/yaml: go-yaml v2 builds the value (scalars as `yaml_scalars` says, the last of duplicate
keys counts, `<<` merges where it stands), and JSON holds it (every key is text, a whole number is an integer).
Every fault raises ValueError; libyaml's composer alone would recurse until the process crashes.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from devtools.base.bounded_yaml import PLAIN, STANDARD, BoundedLoader
from devtools.base.yaml_scalars import plain, tagged

DEEPEST = 400
"""Nesting limit: above that of any CRD's schema, and low enough for recursive code in Python."""

BOM = b"\xef\xbb\xbf"
_MOST = 500_000  # limit of the values that aliases repeat
_RESOLVED = frozenset({"bool", "float", "int", "null", "str", "timestamp"})
_SEPARATOR = re.compile(r"^---(?P<rest>.*)\n?", re.MULTILINE)
_INT64 = 2**63
_EXACT = 2**53  # below it, floats represent every integer
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")  # allowed unescaped in a YAML text
_LIKE_TIME = re.compile(r"[0-9][-0-9:._+TtZz ]*")  # a date, or a sexagesimal number, to some readers
_WIDTH = 100_000  # columns: no line is folded
_LONGEST_KEY = 1000  # characters: go-yaml expects the colon of a key within 1024 unless `? ` marks it


class _Loader(BoundedLoader):
    deepest = DEEPEST


def read_yaml(text: str | bytes) -> Any:
    """Return the value of the first document, None if it is empty; raises ValueError."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    return None if node is None else _Builder().value(node)


def read_map(raw: bytes) -> dict[str, Any]:
    """Return the map in the first document, empty if there is nothing; raises ValueError if it is not a map."""
    value = read_yaml(raw.removeprefix(BOM))
    if not isinstance(value, dict | None):
        raise ValueError("it is not a map of keys")  # noqa: TRY004 - see read_yaml
    return value or {}


def read_documents(text: str | bytes) -> Iterator[Any]:
    """Yield the value of each document of a stream, split as Kubernetes' YAMLReader splits it; raises ValueError.

    Empty documents are left out.
    """
    text = (text if isinstance(text, str) else text.decode("utf-8-sig")).replace("\r\n", "\n")
    start = 0
    for separator in _SEPARATOR.finditer(text):
        rest = separator["rest"].strip()
        if rest and not rest.startswith("#"):
            raise ValueError(f"a document separator is followed by {rest[:80]!r}")
        if separator.start() > start:
            yield _part(text, start, separator.start())
        start = separator.end()
    if start < len(text):
        yield _part(text, start, len(text))


def read_stream(raw: bytes) -> Iterator[Any]:
    """Yield each value of a manifest file, JSON or YAML, as kubectl and Helm's `crds/` read it; raises ValueError.

    A file that begins like JSON is read as JSON, one value after the other; if that fails, as YAML.
    """
    text = raw.removeprefix(BOM).decode()
    values, rest = [], text.lstrip()
    while rest.startswith("{"):
        try:
            value, end = _json().raw_decode(rest)
        except (ValueError, RecursionError):
            break
        values.append(value)
        rest = rest[end:].lstrip()
    yield from read_documents(text) if rest or not values else values


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge maps and replace anything else, as Helm does with several files of values."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


@cache
def _json() -> json.JSONDecoder:
    """Return a decoder that accepts the same numbers as Go's."""

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError(f"{text} is not a number that JSON can hold")
        return value

    return json.JSONDecoder(parse_float=number, parse_int=lambda text: _number(int(text)), parse_constant=number)


def _part(text: str, start: int, end: int) -> Any:
    """Return the value of a document of a stream; errors name lines of the stream."""
    try:
        return read_yaml(text[start:end])
    except ValueError:
        return read_yaml("\n" * text.count("\n", 0, start) + text[start:end])


def json_for_yaml(value: Any) -> str:
    """Return JSON that go-yaml reads as the same value.

    JSON is not quite YAML: go-yaml refuses surrogate escapes, which JSON has for characters beyond the Basic
    Multilingual Plane, and keys whose colon is far away. Numbers that JSON cannot represent are written in YAML's form.
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key_for_yaml(key)}: {json_for_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(json_for_yaml, value)) + "]"
    if isinstance(value, str):
        return _UNSAFE.sub(_escaped, json.dumps(value, ensure_ascii=False))
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


def _key_for_yaml(key: Any) -> str:
    text = json_for_yaml(key if isinstance(key, str) else json.dumps(key))
    return f"? {text}" if len(text) > _LONGEST_KEY else text


def _escaped(match: re.Match[str]) -> str:
    """Return the escape of a character; a lone surrogate becomes a replacement character, as in Go."""
    code = ord(match[0])
    return "\\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"  # noqa: PLR2004 - the surrogates


_Writer: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Writer):  # type: ignore[misc] # the C dumper's type is Any
    """Quotes text that go-yaml would read as another type, and writes repeated values in full instead of aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    if "\n" in text and text == text.strip(" ") and text[0] != "\n" and text.isascii():
        return dumper.represent_scalar(f"{STANDARD}str", text, style="|")
    try:  # whether go-yaml, of either version, reads an unquoted scalar as something else than this text
        quoted = text == "" or plain(text) != text or text[0] in "=<" or _LIKE_TIME.fullmatch(text) is not None
    except ValueError:
        quoted = True
    return dumper.represent_scalar(f"{STANDARD}str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_sequence(f"{STANDARD}seq", value))
_Dumper.add_representer(dict, lambda dumper, value: dumper.represent_mapping(f"{STANDARD}map", value.items()))


def yaml_text(value: Any) -> str:
    """Return a value as YAML in block style, maps in their own order, which go-yaml and PyYAML read as this value."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


class _Builder:
    """Converts nodes into values that JSON can represent."""

    def __init__(self) -> None:
        self._built: set[int] = set()
        self._repeated = 0

    def value(self, node: Any, depth: int = 0) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _number(_scalar(node))
        if id(node) in self._built:
            self._repeated += len(node.value)
        self._built.add(id(node))
        if depth > DEEPEST or self._repeated > _MOST:
            raise ValueError("its aliases expand without limit")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth, {})
        return [self.value(item, depth + 1) for item in node.value]

    def _mapping(self, node: Any, depth: int, into: dict[str, Any]) -> dict[str, Any]:
        """Fill a map in the order written, so a later `<<` replaces the value of an earlier key."""
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.tag in {PLAIN, f"{STANDARD}merge"}:
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in reversed(sources):
                    if not isinstance(source, yaml.MappingNode):
                        raise ValueError("<< takes a map or a list of maps")  # noqa: TRY004 - see read_yaml
                    into.update(self.value(source, depth + 1))
            else:
                into[_key(key)] = self.value(value, depth + 1)
        return into


def _scalar(node: Any) -> str | int | float | bool | None:
    """Return the value of a scalar as go-yaml resolves it; an unknown tag leaves it text."""
    if node.tag == PLAIN:
        return plain(node.value)
    tag = node.tag.removeprefix(STANDARD)
    if tag == "binary":
        try:
            return base64.b64decode(re.sub(r"[\r\n]", "", node.value), validate=True).decode("utf-8", "replace")
        except binascii.Error as error:
            raise ValueError("a !!binary value is not base64") from error
    return tagged(tag, node.value) if tag in _RESOLVED else str(node.value)


def _number(value: Any) -> Any:
    """Return a number as Go's JSON represents it: an integer if it is whole and fits 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not -_INT64 <= value < _INT64:
        return float(value)
    if isinstance(value, int):
        return value
    if not value.is_integer():
        return value
    if abs(value) < _EXACT:
        return int(value)
    from decimal import Decimal

    return int(Decimal(repr(value)))  # Go writes the shortest digits that identify the float


def _key(node: Any) -> str:
    """Return a key as text, as sigs.k8s.io/yaml converts it."""
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("a key is a list or a map")  # noqa: TRY004 - see read_yaml
    key = _scalar(node)
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int) and key < _INT64:
        return str(key)
    if isinstance(key, float):
        return _float32(key)
    raise ValueError(f"{node.value or 'null'} cannot be a key")


def _float32(value: float) -> str:
    """Return Go's FormatFloat(value, 'g', -1, 32)."""
    try:
        single = struct.pack("f", value)
    except OverflowError:
        return "-.inf" if value < 0 else ".inf"
    texts = (f"{struct.unpack('f', single)[0]:.{count}e}" for count in range(9))
    digits = next(text for text in texts if struct.pack("f", float(text)) == single)
    mantissa, exponent = digits.split("e")
    if -5 < int(exponent) < 6:  # noqa: PLR2004 - as strconv decides
        return f"{float(digits):f}".rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent):+03d}"
