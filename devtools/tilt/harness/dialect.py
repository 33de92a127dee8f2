"""Tilt's dialect of Starlark, evaluated by a Starlark that lacks some of its features.

Starlark's grammar is a subset of Python's, so Python's parser finds the parts to rewrite. Starlark's own parser rejects
Python that is not Starlark. Positions are mapped back, so that errors name the original.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import tokenize
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from devtools.errors import EnvironmentFault
from devtools.tilt.harness.values import Blob, Step

if TYPE_CHECKING:
    from starlark import Dialect, Globals, Module

_ROUNDS = 2**31 - 1  # iterations of a `while`, which becomes a `for` with a condition
_FRAME = re.compile(r"^ +\* (.*):(\d+), in ", re.MULTILINE)
_PLACE = re.compile(r"^ *--> (.*):(\d+):(\d+)$", re.MULTILINE)
_TAB, _TAB_SPACES = re.compile("\t"), b" " * 8
_MODULUS = re.compile(rb"(?:#[^\n]*\n|[^%#])*%")


def dialect() -> Dialect:
    """Starlark as Tilt's: loops and conditions at the top level, no type annotations, no f-strings."""
    import starlark

    made = starlark.Dialect.extended()
    made.enable_types = starlark.DialectTypes.DISABLE
    made.enable_positional_only_arguments = False
    made.enable_f_strings = False
    made.enable_load_reexport = False
    return made


def library_globals() -> Globals:
    """Return the functions of the language itself, `struct`, and the call stack."""
    import starlark

    extensions = [starlark.LibraryExtension.StructType, starlark.LibraryExtension.CallStack]
    return starlark.Globals.extended_by(extensions)


def check_starlark() -> None:
    """Raise EnvironmentFault if starlark-pyo3 is missing."""
    if importlib.util.find_spec("starlark") is None:
        hint = "type: pip install starlark-pyo3"
        raise EnvironmentFault("testing a Tiltfile needs the package starlark-pyo3", hint=hint)


def evaluate(module: Module, name: str, text: str, loader: Any = None) -> Any:
    """Evaluate a text in a module."""
    import starlark

    return starlark.eval(module, starlark.parse(name, text, dialect()), library_globals(), loader)


@dataclass(slots=True)
class Source:
    """A Tiltfile's rewritten text, with a mapping back to the original."""

    original: str
    text: str = ""
    names: tuple[str, ...] = ()  # global names that it may set
    _edits: list[tuple[int, int, bytes]] = field(default_factory=list)  # start, end, replacement; offsets in bytes

    def __post_init__(self) -> None:
        """Rewrite syntax that the evaluating Starlark does not support."""
        tree = _parsed(self.original)
        if tree is not None:
            self.names = _global_names(tree)
            rewriter = _Rewriter(self.original)
            rewriter.tabs()
            rewriter.module(tree)
            self._edits = rewriter.ordered()
        data, parts, end = self.original.encode(), [], 0
        for start, stop, text in self._edits:
            parts += [data[end:start], text]
            end = stop
        self.text = b"".join([*parts, data[end:]]).decode()

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Return the original position of a position in the rewritten text, both from 1."""
        lines = self.text.encode().splitlines(keepends=True)
        offset = sum(map(len, lines[: line - 1])) + column - 1
        shift = 0
        for start, stop, text in self._edits:
            if offset < start + shift:
                break
            if offset < start + shift + len(text):  # within a replacement
                offset = start + shift
                break
            shift += len(text) - (stop - start)
        before = self.original.encode()[: offset - shift]
        return before.count(b"\n") + 1, len(before) - before.rfind(b"\n")


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _global_names(tree: ast.Module) -> tuple[str, ...]:
    """Return the names that the top level sets, loops and conditions included; not those that `load` binds."""
    names: dict[str, None] = {}
    rest: list[ast.AST] = list(reversed(tree.body))
    while rest:
        node = rest.pop()
        if isinstance(node, ast.FunctionDef):
            names[node.name] = None
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        if not isinstance(node, ast.ListComp | ast.DictComp | ast.Lambda):
            rest += reversed(list(ast.iter_child_nodes(node)))
    return tuple(names)


class _Rewriter(ast.NodeVisitor):
    """Collects the parts to rewrite: `while`, `%`, truth tests, and modules loaded at the top level."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()
        self._lines = [0]
        for line in self._data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._insertions: list[tuple[int, int, bytes]] = []  # offset, rank, text
        self._replacements: list[tuple[int, int, bytes]] = []
        self._modules = 0

    def ordered(self) -> list[tuple[int, int, bytes]]:
        edits = [(at, at, rank, text) for at, rank, text in self._insertions]
        edits += [(start, end, 0, text) for start, end, text in self._replacements]
        return [(start, end, text) for start, end, _, text in sorted(edits, key=lambda edit: (edit[0], edit[2]))]

    def tabs(self) -> None:
        """Replace tabs, which the evaluating Starlark does not accept as indentation."""
        if b"\t" not in self._data:
            return
        plain = {tokenize.STRING, tokenize.COMMENT}
        text = io.StringIO(self._data.decode())
        spans = [(item.start, item.end) for item in tokenize.generate_tokens(text.readline) if item.type in plain]
        for number, line in enumerate(self._data.decode().splitlines(keepends=True), 1):
            for match in _TAB.finditer(line):
                place = (number, match.start())
                if not any(start <= place < end for start, end in spans):
                    at = self._lines[number - 1] + len(line[: match.start()].encode())
                    self._replacements.append((at, at + 1, _TAB_SPACES if not line[: match.start()].strip() else b" "))

    def module(self, tree: ast.Module) -> None:
        """Visit the top level, where the result of load_dynamic can be loaded directly, functions included."""
        for statement in tree.body:
            match statement:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="load_dynamic") as function) as call
                ):
                    self._load(name, self._span(statement)[0], self._span(function)[1], self._span(call)[1])
            self.visit(statement)

    def _load(self, name: str, start: int, function_end: int, end: int) -> None:
        """Execute the module here, then bind it by a `load` of its exports."""
        self._modules += 1
        bound = f"__exports_{self._modules}"
        self._replacements.append((start, function_end, b"__dynamic_here"))
        self._insertions.append((end, 9, f"; load('@dynamic', {bound}='exports__'); {name} = {bound}".encode()))

    def visit_While(self, node: ast.While) -> None:
        """Rewrite `while X:` to `for …:` and `if not X: break`."""
        start, end = self._span(node.test)
        begin, first = self._span(node)[0], self._span(node.body[0])[0]
        self._replacements.append((begin, self._data.index(b":", end), f"for __round in range({_ROUNDS})".encode()))
        check = b"if not __true(" + self._data[start:end] + b"): break\n"
        if node.body[0].lineno == node.test.end_lineno:
            indent = b" " * (node.col_offset + 1)
            self._insertions.append((first, -1, b"\n" + indent + check + indent))
        else:
            indent = self._data[self._lines[node.body[0].lineno - 1] : first].replace(b"\t", _TAB_SPACES)
            self._insertions.append((first, -1, check + indent))
        for statement in node.body:
            self.visit(statement)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Rewrite `a % b` to a call, so that blobs and `%(name)s` are formatted as in Tilt."""
        self.generic_visit(node)
        if not isinstance(node.op, ast.Mod) or (
            isinstance(node.left, ast.Constant) and isinstance(node.left.value, int)
        ):
            return
        start, end = self._span(node)
        match = _MODULUS.match(self._data, self._span(node.left)[1])
        if match is not None:
            self._insertions += [(start, -2, b"__mod("), (end, -9, b")")]
            self._replacements.append((match.end() - 1, match.end(), b","))

    def visit(self, node: ast.AST) -> None:
        """Rewrite the truth tests of conditions, and of what `not` negates."""
        match node:
            case ast.If(test=test) | ast.IfExp(test=test) | ast.UnaryOp(op=ast.Not(), operand=test):
                self._truth(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    self._truth(test)
        super().visit(node)

    def _truth(self, node: ast.expr) -> None:
        """Rewrite a truth test: an empty blob is false, and only a name, a call or a part of a value can be a blob."""
        if isinstance(node, ast.BoolOp):
            for operand in node.values:
                self._truth(operand)
        elif isinstance(node, ast.Name | ast.Call | ast.Subscript | ast.Attribute):
            start, end = self._span(node)
            self._insertions += [(start, -3, b"__true("), (end, -10, b")")]

    def _span(self, node: Any) -> tuple[int, int]:
        start = self._lines[node.lineno - 1] + node.col_offset
        return start, self._lines[node.end_lineno - 1] + node.end_col_offset


def wrapped(value: Any) -> Any:
    """Return a value that Starlark can hold: blobs and steps are opaque to it."""
    import starlark

    if isinstance(value, Blob | Step):
        return starlark.OpaquePythonObject(value)
    if isinstance(value, list | tuple):
        return [wrapped(item) for item in value]
    if isinstance(value, dict):
        return {key: wrapped(item) for key, item in value.items()}
    return value


def place_of(text: str, sources: Mapping[str, Source]) -> str:
    """Return the innermost place in a Tiltfile that an error names; the whole text if it names none."""
    for file, line, column in reversed(_PLACE.findall(text)):
        if file in sources:
            number, where = sources[file].place(int(line), int(column))
            return f"at {file}:{number}:{where}"
    for file, line in reversed(_FRAME.findall(text)):
        if file in sources:
            return f"at {file}:{sources[file].place(int(line), 1)[0]}"
    return text


def place_of_call(stack: str, name: str, sources: Mapping[str, Source]) -> tuple[str, bool]:
    """Return where a function was called, in Tilt's form, and whether that line calls it more than once."""
    file, line = next(frame for frame in reversed(_FRAME.findall(stack)) if frame[0] in sources)
    number, _ = sources[file].place(int(line), 1)
    text = sources[file].original.splitlines()[number - 1]
    parenthesis = text.find(f"{name}(") + len(name) + 1 if f"{name}(" in text else 1
    return f"{file}:{number}:{parenthesis}", text.count(f"{name}(") > 1
