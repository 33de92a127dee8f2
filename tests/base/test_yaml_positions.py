"""YAML as people write it: places, problems, and the same reading as Helm's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.base.yaml_positions import LARGEST, parse, read
from devtools.base.yaml_scalars import BadScalar, plain

FILE = Path("f.yaml")

# What `helm template` printed for each, with a chart of `{{ .Values | toJson }}` (helm 4.3.1).
AS_HELM_READS = {
    "y": True, "N": False, "yes": True, "on": True, "Off": False, "~": None, "Null": None, "": None,
    "1:30": "1:30", "190:20:30.15": "190:20:30.15", "2024-01-01": "2024-01-01", "=": "=",
    "0o14": 12, "014": 12, "0o9": "0o9", "089": 89, "0x1f": 31, "-0x1f": -31, "0b11": 3, "+12": 12,
    "1_000": 1000, "1__0": 10, "_1": "_1", "1_000.5": 1000.5, "1e3": 1000, "1.5e3": 1500, "1e": "1e",
    ".5": 0.5, "1.": 1, "-.5": -0.5, "+.5": 0.5, ".5e": ".5e",
    "9223372036854775808": 9223372036854775808, "12345678901234567890123": 1.2345678901234568e22,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), AS_HELM_READS.items())
def test_a_plain_scalar_is_read_as_helm_reads_it(text: str, value: Any) -> None:
    read_value = plain(text)
    assert read_value == value
    assert isinstance(read_value, bool) == isinstance(value, bool)
    assert isinstance(read_value, str) == isinstance(value, str)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan"])
def test_infinities_are_refused(text: str) -> None:
    with pytest.raises(BadScalar):
        plain(text)


def test_places() -> None:
    document = parse(b"a: 1\nb:\n  - c: 2\n  - {d: 3,\n     e: 4}\n", FILE)
    assert document.data == {"a": 1, "b": [{"c": 2}, {"d": 3, "e": 4}]}
    places = {path: str(document.at(path)) for path in [("a",), ("b",), ("b", 0, "c"), ("b", 1), ("b", 1, "e")]}
    assert list(places.values()) == ["f.yaml:1:1", "f.yaml:2:1", "f.yaml:3:5", "f.yaml:4:5", "f.yaml:5:6"]
    assert str(document.at(("b", 1, "nothing", "here"))) == "f.yaml:4:5"


def test_anchors_aliases_and_merges() -> None:
    raw = b"x: &x {a: 1, b: 1}\nz: &y {b: 2, c: 2}\nm: {<<: [*x, *y], c: 3}\nl: [*x, *x]\n"
    document = parse(raw, FILE)
    assert document.problems == ()
    assert document.data["m"] == {"a": 1, "b": 1, "c": 3}
    assert document.data["l"] == [{"a": 1, "b": 1}] * 2


def test_a_merge_may_be_written_with_its_tag() -> None:
    """As in the CRDs of real charts."""
    document = parse(b"x: &x {a: 1, b: 1}\nm: {!!merge <<: *x, b: 2}\n", Path("f.yaml"))
    assert not document.problems
    assert document.data["m"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: key 'a' is given twice (first on line 1)"),
        (b"a: {b: 1, b: 2}\n", "f.yaml:1:11: key 'b' is given twice (first on line 1)"),
        (b"8080: x\n", 'f.yaml:1:1: key 8080 is not text (quote it: "8080")'),
        (b"on: x\n", 'f.yaml:1:1: key on is not text (quote it: "on")'),
        (b"~: x\n", 'f.yaml:1:1: key ~ is not text (quote it: "~")'),
        (b"? \n: x\n", "f.yaml:1:2: key null is not text"),
        (b"? [a]\n: 1\n", "f.yaml:1:3: a key must be text, not a list or map"),
        (b"a: 1\n---\nb: 2\n", "f.yaml:3:1: holds more than one YAML document"),
        (b"a: \xff\n", "f.yaml:1:4: is not UTF-8 text"),
        (b"a: &x [*x]\n", "f.yaml:1:4: contains itself through an alias"),
        (b"a: *x\n", "f.yaml:1:4: is not YAML: found undefined alias"),
        (b"a: !!binary aGk=\n", "f.yaml:1:4: tag !binary is not allowed"),
        (b"a: !!python/name:os.system x\n", "f.yaml:1:4: tag !python/name:os.system is not allowed"),
        (b"a: !Ref [x]\n", "f.yaml:1:4: tag !Ref is not allowed"),
        (b"a: !!int x\n", "f.yaml:1:4: 'x' cannot be read as !!int"),
        (b"a: {<<: 3}\n", "f.yaml:1:9: '<<' takes a map or a list of maps"),
        (b"- a\n", "f.yaml:1:1: must be a map of keys at the top"),
        (b"a: .inf\n", "f.yaml:1:4: .inf cannot be passed to Helm: values are JSON, which has no such number"),
        (b"a: \x00\n", "f.yaml:1:1: is not YAML: unacceptable character #x0000: control characters are not allowed"),
        (b"a: b: c\n", "f.yaml:1:5: is not YAML: mapping values are not allowed in this context"),
        (b"a: " + b"[" * 100 + b"]" * 100, "f.yaml:1:63: is nested deeper than 60 levels"),
        (b"[" * 200_000, "f.yaml:1:1: is nested deeper than 60 levels"),
        (b"- " * 100_000, "f.yaml:1:1: is nested deeper than 60 levels"),
        (b"{<<: " * 70 + b"{}" + b"}" * 70, "f.yaml:1:301: is nested deeper than 60 levels"),
        (b"{<<: " * 900 + b"{}" + b"}" * 900, "f.yaml:1:301: is nested deeper than 60 levels"),
        (b"a: " + b"-  " * 100_000, "f.yaml:1:4: is not YAML: block sequence entries are not allowed in this context"),
        (b" " * (LARGEST + 1), "f.yaml:1:1: is larger than 8 MiB"),
    ],
)
def test_problems(raw: bytes, line: str) -> None:
    assert [str(problem) for problem in parse(raw, FILE).problems] == [line]


def test_a_billion_laughs() -> None:
    levels = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10)]
    (problem,) = parse(b"\n".join(levels), FILE).problems
    assert problem.message == "holds more than 200000 values once its aliases are expanded"


@pytest.mark.parametrize("raw", [b"", b"---\n", b"# nothing\n", b"null\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_map(raw: bytes) -> None:
    document = parse(raw, FILE)
    assert (document.data, document.problems) == ({}, ())


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert [str(problem) for problem in read(tmp_path, FILE).problems] == ["f.yaml:1:1: cannot be read: Is a directory"]
    (problem,) = read(tmp_path / "none", FILE).problems
    assert problem.message == "cannot be read: No such file or directory"
    os.mkfifo(tmp_path / "pipe")
    (problem,) = read(tmp_path / "pipe", FILE).problems
    assert problem.message == "cannot be read: it is not a regular file"


@given(st.binary(max_size=300) | st.text(alphabet="ab:-[]{}&*!<>|\n\t '\"#?%=~1.", max_size=80).map(str.encode))
def test_any_bytes_are_a_map_or_problems(raw: bytes) -> None:
    document = parse(raw, FILE)
    assert isinstance(document.data, dict)
    for path in document.marks:
        assert document.at(path).line >= 1


@given(st.text(max_size=30))
def test_any_scalar_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadScalar):
        assert isinstance(plain(text), str | int | float | bool | None)
