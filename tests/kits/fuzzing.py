"""Texts for fuzz tests: anything at all, documents of our words, and what is nearly right.

What is nearly right reaches deepest: a good document in which a value, a key or a whole branch was replaced, taken
out, doubled or moved, and a good text in which lines were. It is drawn, not rolled, so that Hypothesis can shrink it.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from hypothesis import settings
from hypothesis import strategies as st

WORDS = (
    *("name", "version", "metadata", "labels", "annotations", "namespace", "kind", "items", "status", "manifest"),
    *("hooks", "apiVersion", "charts", "publisher", "repository", "sha256", "contract", "cluster", "provider"),
    *("clusters", "users", "contexts", "user", "context", "server", "token", "resources", "versions", "scope"),
    *("releases", "values", "helm", "timeout", "serversRunning", "nodes", "role", "State", "path", "start_line"),
    *("spec", "conditions", "replicas", "containerStatuses", "state", "waiting", "reason", "message", "type"),
)
SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=14,
)
BYTES = st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!<>|\n\t '\"#?%=~1.", max_size=80).map(str.encode)


def cases(by_day: int) -> settings:
    """So many cases, where the usual number is too few or takes too long; at night as many as of others."""
    return settings(max_examples=by_day if settings().max_examples == USUAL else settings().max_examples)


def helm_cases(by_day: int) -> settings:
    """So many cases of what starts a helm each time; a thousand at night."""
    return settings(cases(by_day), max_examples=min(cases(by_day).max_examples, 1000))


USUAL = 100  # Hypothesis's own number
SLOW = cases(40)  # of what reads a whole repository each time

DEEP = (70, 400, 1500)  # more than we take, than Python's stack takes, than a C stack should
# What is written in the place of a value. JSON has these ...
ODD_JSON = (
    *("null", "true", "false", "0", "-1", "1.5", '""', '"a"', "[]", "{}", "[[]]", "[null]", '[{"a": 1}]', '{"": null}'),
    *("1e400", "-0.0", "1e-400", "65536", "9223372036854775808", "18446744073709551616", "9" * 5000),
    *('"0"', '"-1"', '"a/b"', '"/"', '"../../x"', '"\\u0000"', '"\\ud800"', '"\\u2028\\u0085"', '"é"', '"a\\nb"'),
    *('" "', '"%s{0}{{ .Values.a }}${A}"', f'"{"a" * 300}"', '"v1"', '"2024-01-01"', '"https://[::1"', '"https://:0"'),
    *("[" * deep + "]" * deep for deep in DEEP),
    *('{"a": ' * deep + "1" + "}" * deep for deep in DEEP),
)
LAX_JSON = ("NaN", "Infinity", "-Infinity")  # ... Python reads these ...


def laughs(levels: int) -> str:
    """Each list holds the one before nine times."""
    lists = (f"&{one} [{', '.join([f'*{other}'] * 9)}]" for other, one in pairwise("abcdefghi"[: levels + 1]))
    return f"[&a [x], {', '.join(lists)}]"


ODD_YAML = (  # ... and YAML has these besides.
    *(
        "a",
        "a/b",
        "~",
        "yes",
        "no",
        "on",
        "=",
        "<<",
        "[<<]",
        "2024-01-01",
        "2024-99-99",
        "2001-12-14t21:59:43.10-05:00",
    ),
    *("0x1F", "0x_", "0b_", "0o17", "017", "0o", "1_000", "1__", "+1", "-", "+.", ".", "._", "1:30:00", ":", "1.2.3.4"),
    *(".inf", "-.INF", ".nan", "1e3", ".1e-9", "12e03", "5m", "99999h", "0s"),
    *("!!int a", "!!int 1", "!!float 1", "!!str 1", "!!null ''", "!!bool 1", "!!binary YQ==", "!!binary é", "!x y"),
    *("!!set {a}", "!!omap [a: b]", "!!pairs [a: b]", "!!timestamp a", "!!python/object/apply:os.getcwd []", "!", "!!"),
    *("!!map []", "!!seq {}", "!!merge a", "!!value a", "!<tag:yaml.org,2002:int> x", "! 5"),
    *("*nope", "&a [*a]", "&a {b: *a}", "&a {<<: *a}", "[&x a, *x, *x]", "[&x {k: v}, {<<: *x}, {<<: [*x, *x]}]"),
    *("{<<: 1}", "{<<: [{a: b}, {a: c}]}", "{<<: [1]}", "{<<: ~}", "{'<<': {a: b}}", "{a: 1, a: 2}", "{1: 2, 1.0: 3}"),
    *("{1: a, b: c}", "{~: a, yes: b, c: d}"),
    *(
        "{[a]: b}",
        "{{a: b}: c}",
        "{~: a}",
        "{yes: a}",
        "{? a}",
        "{? [a, b] : c}",
        "{=: a}",
        "{2024-01-01: a}",
        "[a: b]",
    ),
    *(
        "|\n  a",
        ">-\n  a\n\n  b",
        "'it''s'",
        '"\\x00"',
        '"\\uD800"',
        '"\\U00110000"',
        "'\u2028'",
        "\u0085",
        "\ufeff",
        "\t",
    ),
    *("{<<: " * deep + "{}" + "}" * deep for deep in DEEP),
    *("- " * deep + "a" for deep in DEEP),
    *("? " * deep + "a" for deep in DEEP[:2]),
    laughs(3),  # what more of them do is a second's work each time: it is tested by itself
)


@dataclass(slots=True)
class Raw:
    """Something that is written as it stands."""

    text: str


@dataclass(slots=True)
class Pairs:
    """A map that can hold a key twice, and keys that are no text."""

    items: list[list[Any]]


Branch = list[Any]  # with the index of what is in it: `parent[key]` is a place in the document
Place = tuple[Branch, int]


def _tree(data: Any) -> Any:
    """A document of our own, that can be changed at any place."""
    if isinstance(data, dict):
        return Pairs([[key, _tree(value)] for key, value in data.items()])
    return [_tree(item) for item in data] if isinstance(data, list) else data


def _places(branch: Branch) -> Iterator[Place]:
    """Every place below, outermost first: a list's item, or what is at index 1 of a map's pair."""
    for index, value in enumerate(branch):
        yield branch, index
        if isinstance(value, list):
            yield from _places(value)
        for pair in value.items if isinstance(value, Pairs) else ():
            yield from ((found, at) for found, at in _places(pair) if found is not pair or at == 1)


def _written(value: Any) -> str:
    """JSON where nothing odd is in it; JSON is YAML."""
    match value:
        case Raw():
            return value.text
        case Pairs():
            return "{" + ", ".join(f"{_written(key)}: {_written(item)}" for key, item in value.items) + "}"
        case list():
            return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value, default=str)


def _maps(root: Branch) -> list[Pairs]:
    return [parent[at] for parent, at in _places(root) if isinstance(parent[at], Pairs)]


def _replace(draw: st.DrawFn, place: Place, root: Branch, odd: Sequence[str]) -> None:
    parent, at = place
    parent[at] = Raw(draw(st.sampled_from(odd)))


def _move(draw: st.DrawFn, place: Place, root: Branch, odd: Sequence[str]) -> None:
    """Another branch in its place, written out, so that nothing comes to contain itself."""
    parent, at = place
    other, where = draw(st.sampled_from(list(_places(root))))
    parent[at] = Raw(_written(other[where]))


def _wrap(draw: st.DrawFn, place: Place, root: Branch, odd: Sequence[str]) -> None:
    parent, at = place
    value = parent[at]
    parent[at] = draw(st.sampled_from(([value], [value, value], Pairs([["a", value]]), str(value), f"{value}x", None)))


def _rekey(draw: st.DrawFn, place: Place, root: Branch, odd: Sequence[str]) -> None:
    """A key renamed, taken out, or given twice; or a merge key."""
    if not (maps := [item for item in _maps(root) if item.items]):
        return
    pairs = draw(st.sampled_from(maps)).items
    at = draw(st.integers(0, len(pairs) - 1))
    match draw(st.integers(0, 4)):
        case 0:
            del pairs[at]
        case 1:
            pairs.append(list(pairs[at]))
        case 2:
            pairs[at][0] = draw(st.sampled_from((*WORDS, "", f"{pairs[at][0]}s", "a.b", *_keys(odd))))
        case 3:
            pairs.append([draw(st.sampled_from(WORDS)), Raw(draw(st.sampled_from(odd)))])
        case _:
            pairs.append([Raw("<<"), Raw(_written(draw(st.sampled_from(maps))))])


def _keys(odd: Sequence[str]) -> tuple[Raw, ...]:
    """Keys that are no text, where there can be any: sorting them fails beside those that are."""
    return tuple(map(Raw, ("1", "~", "yes", ".nan", "2024-01-01"))) if "~" in odd else ()


def _relist(draw: st.DrawFn, place: Place, root: Branch, odd: Sequence[str]) -> None:
    """An item of a list taken out or given twice, or the list the other way round."""
    lists = [parent[at] for parent, at in _places(root) if isinstance(parent[at], list) and parent[at]]
    if not lists:
        return
    items = draw(st.sampled_from(lists))
    at = draw(st.integers(0, len(items) - 1))
    match draw(st.integers(0, 2)):
        case 0:
            del items[at]
        case 1:
            items.append(copy.deepcopy(items[at]))
        case _:
            items.reverse()


_CHANGES: tuple[Callable[[st.DrawFn, Place, Branch, Sequence[str]], None], ...] = (
    _replace,
    _replace,
    _move,
    _wrap,
    _rekey,
    _relist,
)


@st.composite
def near_documents(draw: st.DrawFn, goods: Sequence[Any], odd: Sequence[str]) -> bytes:
    """A good document with a few of its places changed."""
    root: Branch = [_tree(draw(st.sampled_from(goods)))]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(_places(root))))
        draw(st.sampled_from(_CHANGES))(draw, place, root, odd)
    return _written(root[0]).encode("utf-8", "surrogatepass")


def _line(draw: st.DrawFn, lines: list[bytes], odd: Sequence[str]) -> None:
    """One line changed."""
    at = draw(st.integers(0, len(lines) - 1))
    head, colon, _ = lines[at].partition(b":")
    match draw(st.integers(0, 8)):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
        case 2:
            lines[at] = b" " * draw(st.integers(1, 3)) + lines[at]
        case 3:
            lines[at] = lines[at][draw(st.integers(1, 3)) :]
        case 4:
            lines[at] = lines[at].replace(b" ", b"\t", 1)
        case 5:
            lines.insert(at, draw(st.sampled_from((b"---", b"...", b"%YAML 1.2", b"# \xc3\xa9", b"- a", b"", b"\x00"))))
        case 6:
            where = draw(st.integers(0, len(lines[at])))
            token = draw(
                st.sampled_from((b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc2\x85", b"&a ", b"*a", b"{", b"]", b'"'))
            )
            lines[at] = lines[at][:where] + token + lines[at][where:]
        case _ if colon:
            lines[at] = head + b": " + draw(st.sampled_from(odd)).encode("utf-8", "surrogatepass")
        case _:
            lines[at] += lines[at]
    lines.extend([] if lines else [b""])


@st.composite
def near_texts(draw: st.DrawFn, goods: Sequence[str], odd: Sequence[str]) -> bytes:
    """A good text with a few of its lines changed, cut short, or written in another way."""
    text = draw(st.sampled_from(goods)).encode()
    lines = text.split(b"\n")
    for _ in range(draw(st.integers(0, 3))):
        _line(draw, lines, odd)
    raw = b"\n".join(lines)
    match draw(st.integers(0, 11)):
        case 0:
            return b"\xef\xbb\xbf" + raw
        case 1:
            return raw.replace(b"\n", b"\r\n")
        case 2:
            return raw.decode("utf-8", "replace").encode("utf-16")
        case 3:
            return raw[: draw(st.integers(0, len(raw)))]
        case 4:
            return raw + b"\n---\n" + raw
    return raw


def texts(*goods: str, data: Sequence[Any] = (), odd: Sequence[str] = (*ODD_JSON, *LAX_JSON, *ODD_YAML)) -> Any:
    """Bytes; documents as JSON; and what is nearly one of `goods`, or of `data`, which are documents."""
    near = near_texts(goods, odd)
    if data:
        near = st.one_of(near, *[near_documents(data, odd)] * 2)
    return st.one_of(BYTES, DOCUMENTS.map(lambda item: json.dumps(item).encode()), *[near] * 4)


@cache
def documents(*goods: str, odd: Sequence[str] = (*ODD_JSON, *LAX_JSON, *ODD_YAML)) -> Any:
    """The same of texts that are YAML or JSON."""
    return texts(*goods, data=[yaml.load(good, yaml.CSafeLoader) for good in goods], odd=odd)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory for files that are written ten thousand times: in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
