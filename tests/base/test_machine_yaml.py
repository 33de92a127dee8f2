"""YAML as Helm reads it, and JSON that Helm reads as YAML, compared with the real helm on generated documents."""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devtools.base.machine_yaml import json_for_yaml, read_documents, read_yaml
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.kits.fuzzing import helm_cases
from tests.kits.stack import write

CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
AS_READ = """\
{{- range $path, $_ := .Files.Glob "documents/*" }}
{{ base $path }}: {{ $.Files.Get $path | fromYaml | toJson }}
{{- end }}
"""
Helm = Callable[..., str]
REFUSED = object()


@pytest.fixture
def helm(tool: Callable[[str], Path], tmp_path: Path) -> Helm:
    """Run `helm template` on a chart; what it renders."""
    runner = SubprocessRunner({"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, Cancel())

    def template(chart: Path, *words: str, stdin: bytes | None = None) -> str:
        argv = (str(tool("helm")), "template", "web", str(chart), *words)
        result = runner.run(Command(argv=argv, timeout=300, stdin=stdin))
        assert result.ok, result.stderr
        return result.stdout

    return template


def read_by_helm(helm: Helm, directory: Path, documents: Sequence[str]) -> list[Any]:
    """What each document is for helm, whose `fromYaml` reads as it reads manifests; all in one run."""
    write(directory, {"Chart.yaml": CHART, "templates/a.yaml": AS_READ})
    for old in (directory / "documents").glob("*"):
        old.unlink()
    write(directory, {f"documents/{number:04}": document for number, document in enumerate(documents)})
    found = re.findall(r"^\d+: (.*)$", helm(directory), re.MULTILINE)
    values = [json.loads(line, parse_int=float) for line in found]
    assert len(values) == len(documents)
    return [REFUSED if set(value) == {"Error"} else value for value in values]


def read_here(document: str) -> Any:
    """The same here; numbers are all floats, as in `fromYaml`."""
    try:
        return json.loads(json.dumps(read_yaml(document)), parse_int=float)
    except ValueError:
        return REFUSED


# Of YAML 1.1, of 1.2, of neither.
SCALARS = (
    *("17:45", "22:30:00", "190:20:30.15", "0777", "0o17", "0o9", "08", "0x1F", "-0x1F", "0x", "0b11", "-0b11", "0b"),
    *("1e3", "1E+3", "1.5e3", "1e400", "1e21", "1e-7", "1.e3", "1e", "1_000", "1__0", "_1", ".5", ".5_5", ".5_", "5."),
    *("y", "Y", "n", "N", "yes", "No", "on", "OFF", "true", "False", "~", "null", "Null", "NULL", "nul", "=", "<<"),
    *("2001-01-01", "2001-1-1T0:0:0Z", "2001-01-01 00:00:00 -5", "+12", "-0", "-0.0", "+.5", "-.5", "0_7", "0."),
    *("9223372036854775807", "9223372036854775808", "12345678901234567890", "123456789012345678901234", ".inf", ".nan"),
    *("!!str .inf", "!!str 5", "!!int 5", '!!int "5"', "!!int 5.0", "!!float 5", "!!bool yes", "!!bool x", "!!null x"),
    *("!foo 5", "!!foo {a: 1}", "!!binary YQ==", "!!binary /w==", "!!binary _", "!!set {a, b}", "!!omap [a: 1]"),
    *("!!map []", "!!seq {}", "'it''s'", '"\\u00e9\\x41\\t"', '"\\ud83d\\ude80"', "\U0001f680", "a:b", "a #b", "a#b"),
    *("{? a}", "[? a : b]", "{a}", "{a: }", "*none", "&a [*a]", "@x", "`x`", "%x", "- a", "a: b: c"),
)
KEYS = ("y", "N", "yes", "'y'", "1", "1.5", "1e6", "1e5", "1e-5", "0.0001", "16777217.0", "0x10", "017", "null", "[a]")
MAPS = (
    *("{a: 1, a: 2}", "{a: &x {k: 1, l: 2}, b: {k: 0, <<: *x}, c: {<<: *x, k: 0}}", "{<<: 1}", "{'<<': 1}"),
    *("{a: &x {k: 1}, b: &y {k: 2, m: 1}, c: {<<: [*x, *y]}, d: {!!merge <<: *x}}", "{a: &x {k: {l: 1}}, b: *x}"),
    *(f"{{{key}: a}}" for key in KEYS),
)


def test_every_odd_scalar_key_and_merge(helm: Helm, tmp_path: Path) -> None:
    documents = [f"v: {text}\n" for text in (*SCALARS, *MAPS)]
    by_helm = read_by_helm(helm, tmp_path / "web", documents)
    differ = {
        document: (wanted, here)
        for document, wanted in zip(documents, by_helm, strict=True)
        if (here := read_here(document)) != wanted
    }
    assert differ == {}


def _as_key(text: str) -> str:
    """What a key becomes: of two that become the same, Go takes either."""
    found = read_here(f"{{{text}: 1}}")
    return next(iter(found), text) if isinstance(found, dict) else text


# libyaml and go-yaml differ in where a plain scalar ends beside a colon in flow style.
_WORDS = st.sampled_from(SCALARS) | st.from_regex(
    r"[0-9.eE+xobyYnN][0-9.eE+_xobyYnN-]{0,7}(:[0-9.]{1,3})?", fullmatch=True
)
_KEYS = _WORDS.filter(lambda text: not text.startswith((".inf", ".nan"))) | st.sampled_from(KEYS)
_NODES = st.recursive(
    _WORDS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(_KEYS, inner), max_size=3, unique_by=lambda pair: _as_key(pair[0])).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)


@settings(helm_cases(8), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(texts=st.lists(_NODES, min_size=20, max_size=60))
def test_generated_documents_are_read_as_helm_reads_them(helm: Helm, tmp_path: Path, texts: list[str]) -> None:
    documents = [f"v: {text}\n" for text in texts]
    by_helm = read_by_helm(helm, tmp_path / "web", documents)
    for document, wanted in zip(documents, by_helm, strict=True):
        assert read_here(document) == wanted, document


_STRINGS = st.text(st.characters(codec=None), max_size=12) | st.text(
    st.sampled_from("\U0001f680\ud83d\x00\x1f\x7f\x85\xa0\u2028\ufeff\ufffe\uffff\\\"':#{}[],?&*!%@` \t\r\n")
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_STRINGS, inner, max_size=3),
    max_leaves=8,
)


def in_go(value: Any) -> Any:
    """The value as Go's JSON has it: numbers are floats, half a character is none."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {in_go(key): in_go(item) for key, item in value.items()}
    if isinstance(value, list):
        return [in_go(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _has_clash(value: Any) -> bool:
    """Whether two keys of a map become one."""
    if isinstance(value, dict):
        return len({in_go(key) for key in value}) < len(value) or any(map(_has_clash, value.values()))
    return isinstance(value, list) and any(map(_has_clash, value))


@settings(helm_cases(12), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(values=st.lists(_JSON.filter(lambda value: not _has_clash(value)), min_size=5, max_size=40))
def test_json_values_reach_helm_unchanged(helm: Helm, tmp_path: Path, values: list[Any]) -> None:
    chart = write(
        tmp_path / "web", {"Chart.yaml": CHART, "templates/a.yaml": "all: {{ .Values.all | toJson | b64enc }}\n"}
    )
    rendered = helm(chart, "--values", "-", stdin=json_for_yaml({"all": values}).encode())
    found = base64.b64decode(rendered.partition("all: ")[2])
    assert json.loads(found, parse_int=float) == in_go(values)


@pytest.mark.parametrize("length", [990, 1000, 1010, 1024, 1025, 1100, 5000])
def test_a_long_key_reaches_helm(helm: Helm, tmp_path: Path, length: int) -> None:
    chart = write(tmp_path / "web", {"Chart.yaml": CHART, "templates/a.yaml": "n: {{ index .Values .Values.k }}\n"})
    key = "k" * (length - 1) + "\U0001f680"
    rendered = helm(chart, "--values", "-", stdin=json_for_yaml({key: 7, "k": key, "x": {key: [{}]}}).encode())
    assert "n: 7" in rendered


def test_numbers_that_json_does_not_have_are_yaml() -> None:
    assert json_for_yaml({"a": [math.inf, -math.inf, math.nan]}) == '{"a": [.inf, -.inf, .nan]}'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("---\n", []),
        ("a: 1\n---\n", [{"a": 1}]),
        ("a: 1\r\n---\r\nb: 2\r\n", [{"a": 1}, {"b": 2}]),
        ("--- # first\na: 1\n---   \nb: |\n  ---\n  x\n", [{"a": 1}, {"b": "---\nx\n"}]),
        ("a: 1\n...\nb: 2\n", [{"a": 1}]),
        ("\ufeffa: 1\n", [{"a": 1}]),
    ],
)
def test_a_stream_is_split_as_kubernetes_splits_it(text: str, found: list[Any]) -> None:
    assert list(read_documents(text.encode())) == found


def test_what_follows_a_separator_is_refused() -> None:
    with pytest.raises(ValueError, match="separator is followed by 'a: 1'"):
        list(read_documents("--- a: 1\n"))
