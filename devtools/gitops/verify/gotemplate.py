"""The part of Go templates that ApplicationSets use: fields, pipelines, if, with, range and a few functions.

Other syntax raises `Unsupported`; then no finding is made. https://pkg.go.dev/text/template.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devtools.gitops.verify.functions import ABSENT, TemplateFailure, Unsupported, call, is_true, show

_ACTION = re.compile(r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`])*?)\s*(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)|(?P<field>(?:\$\w*)?(?:\.\w+)+|\$\w*|\.)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<mark>:=|[()|,=]))"""
)
_CONSTANTS = {"true": True, "false": False, "nil": None}
_Tokens = deque[re.Match[str]]


class MissingKey(TemplateFailure):
    """A field that the parameters do not have, with missingkey=error."""

    def __init__(self, chain: str) -> None:
        """`chain` is the field as written: `.chart.version`."""
        super().__init__(f"the parameters have no {chain}")
        self.chain = chain


@dataclass(slots=True, kw_only=True)
class _Node:
    """Text, an action, or a block with its branches."""

    kind: str  # text, action, if, with, range, define
    text: str = ""
    body: list[_Node] = field(default_factory=list)
    otherwise: list[_Node] = field(default_factory=list)


def actions(template: str) -> Iterator[str]:
    """Yield the text of each action of a template."""
    return (match[2] for match in _ACTION.finditer(template) if not match[2].startswith("/*"))


def render(template: str, data: Mapping[str, Any], *, strict: bool = True) -> str:
    """Return the text of a template; `strict` is missingkey=error. Raises TemplateFailure or Unsupported."""
    if "{{" not in template:
        return template
    scope = _Scope(data, strict=strict)
    return "".join(scope.write(_parse(template), data))


def _parse(template: str) -> list[_Node]:
    root: list[_Node] = []
    stack: list[tuple[_Node, list[_Node]]] = []
    current = root
    for piece in _pieces(template):
        word = piece.text.split(None, 1)[0] if piece.kind == "action" and piece.text else ""
        if word in {"if", "with", "range"}:
            node = _Node(kind=word, text=piece.text[len(word) :].strip())
            current.append(node)
            stack.append((node, current))
            current = node.body
        elif word == "else":
            if not stack:
                raise TemplateFailure("else without if")
            node, outer = stack[-1]
            current = node.otherwise
            rest = piece.text[len(word) :].strip()
            if rest:
                inner = _Node(kind=rest.split(None, 1)[0], text=rest.split(None, 1)[-1])
                current.append(inner)
                stack[-1] = (inner, outer)
                current = inner.body
        elif word == "end":
            if not stack:
                raise TemplateFailure("end without if, with or range")
            _, current = stack.pop()
        elif word in {"define", "template", "block", "break", "continue"}:
            raise Unsupported(f"{word} is not evaluated")
        else:
            current.append(piece)
    if stack:
        raise TemplateFailure(f"{stack[-1][0].kind} without end")
    return root


def _pieces(template: str) -> Iterator[_Node]:
    at, trim = 0, False
    for match in _ACTION.finditer(template):
        text = template[at : match.start()]
        text = text.lstrip() if trim else text
        yield _Node(kind="text", text=text.rstrip() if match[1] else text)
        at, trim = match.end(), bool(match[3])
        if not match[2].startswith("/*"):
            yield _Node(kind="action", text=match[2].strip())
    text = template[at:]
    if "{{" in text:
        raise TemplateFailure("an action is not closed by }}")
    yield _Node(kind="text", text=text.lstrip() if trim else text)


class _Scope:
    def __init__(self, root: Mapping[str, Any], *, strict: bool) -> None:
        self._root, self._strict = root, strict
        self._variables: dict[str, Any] = {"$": root}

    def write(self, nodes: Sequence[_Node], dot: Any) -> Iterator[str]:
        for node in nodes:
            if node.kind == "text":
                yield node.text
            elif node.kind == "action":
                yield self._action(node.text, dot)
            elif node.kind == "range":
                yield from self._range(node, dot)
            else:
                value = self._value(node.text, dot)
                inner = value if node.kind == "with" and is_true(value) else dot
                yield from self.write(node.body if is_true(value) else node.otherwise, inner)

    def _action(self, text: str, dot: Any) -> str:
        name = re.match(r"(\$\w+)\s*:?=\s*", text)
        if name:
            self._variables[name[1]] = self._value(text[name.end() :], dot)
            return ""
        return show(self._value(text, dot))

    def _range(self, node: _Node, dot: Any) -> Iterator[str]:
        names = re.match(r"(\$\w+)\s*(?:,\s*(\$\w+)\s*)?:=\s*", node.text)
        value = self._value(node.text[names.end() :] if names else node.text, dot)
        if isinstance(value, Mapping):
            pairs: list[tuple[Any, Any]] = sorted(value.items())
        elif isinstance(value, Sequence) and not isinstance(value, str):
            pairs = list(enumerate(value))
        elif value is None or value is ABSENT:
            pairs = []
        else:
            raise TemplateFailure(f"range over {show(value)!r}, which is not a list or map")
        if not pairs:
            yield from self.write(node.otherwise, dot)
        for key, item in pairs:
            if names and names[2]:
                self._variables |= {names[1]: key, names[2]: item}
            elif names:
                self._variables[names[1]] = item
            yield from self.write(node.body, item)

    def _value(self, text: str, dot: Any) -> Any:
        tokens = deque(_tokens(text))
        value = self._pipeline(tokens, dot)
        if tokens:
            raise Unsupported(f"{text!r} is not evaluated")
        return value

    def _pipeline(self, tokens: _Tokens, dot: Any) -> Any:
        value = self._command(tokens, dot, [])
        while tokens and tokens[0]["mark"] == "|":
            tokens.popleft()
            value = self._command(tokens, dot, [value])
        return value

    def _command(self, tokens: _Tokens, dot: Any, piped: list[Any]) -> Any:
        if not tokens:
            raise TemplateFailure("an action is empty")
        name = tokens[0]["word"]
        if not name or name in _CONSTANTS:
            return self._operand(tokens, dot)
        tokens.popleft()
        arguments: list[Any] = []
        while tokens and tokens[0]["mark"] not in {"|", ")"}:
            arguments.append(self._operand(tokens, dot))
        return call(name, [*arguments, *piped])

    def _operand(self, tokens: _Tokens, dot: Any) -> Any:
        token = tokens.popleft()
        if text := token["text"]:
            return text[1:-1] if text[0] == "`" else json.loads(text)
        if token["number"]:
            return json.loads(token["number"])
        if token["field"]:
            return self._field(token["field"], dot)
        if word := token["word"]:
            return _CONSTANTS[word] if word in _CONSTANTS else call(word, [])
        if token["mark"] == "(":
            return self._parenthesis(tokens, dot)
        raise Unsupported(f"{token.group().strip()!r} is not evaluated")

    def _parenthesis(self, tokens: _Tokens, dot: Any) -> Any:
        value = self._pipeline(tokens, dot)
        if not tokens or tokens.popleft()["mark"] != ")":
            raise TemplateFailure("a parenthesis is not closed")
        chain = tokens[0]["field"] if tokens else None
        if not chain or not tokens[0].group().startswith("."):
            return value
        tokens.popleft()
        return self._chain(value, chain, chain)

    def _field(self, text: str, dot: Any) -> Any:
        if text == ".":
            return dot
        if text.startswith("$"):
            name, _, rest = text.partition(".")
            if name not in self._variables:
                raise TemplateFailure(f"variable {name} is not defined")
            return self._chain(self._variables[name], f".{rest}", text) if rest else self._variables[name]
        return self._chain(dot, text, text)

    def _chain(self, value: Any, chain: str, shown: str) -> Any:
        for name in chain.strip(".").split("."):
            if isinstance(value, Mapping):
                if name not in value:
                    if self._strict:
                        raise MissingKey(shown)
                    value = ABSENT
                    continue
                value = value[name]
            elif value is None or value is ABSENT:
                raise TemplateFailure(f"{shown} reads {name} of nothing")
            else:
                raise TemplateFailure(f"{shown} reads {name} of {show(value)!r}, which is not a map")
        return value


def _tokens(text: str) -> Iterator[re.Match[str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unsupported(f"{text!r} is not evaluated")
        yield match
        at = match.end()
