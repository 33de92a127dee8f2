"""Which templates render differently each time, from what they call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devtools.base.archives import packed
from devtools.charts.random_functions import describe, random_templates
from devtools.errors import ConfigError

CHART = "apiVersion: v2\nname: c\nversion: 0.1.0\n"

CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({"templates/a.yaml": "a: {{ .Values.a | quote }}"}, []),
    "a password": (
        {"templates/a.yaml": "a: {{ randAlphaNum 10 | b64enc }}\nb: {{- uuidv4 }}"},
        ["randAlphaNum, uuidv4 in templates/a.yaml"],
    ),
    "one that is looked up first": (
        {"templates/a.yaml": '{{ $s := lookup "v1" "Secret" "a" "b" }}{{ if not $s }}{{ genCA "ca" 365 }}{{ end }}'},
        ["genCA in templates/a.yaml, unless its lookup finds an existing object"],
    ),
    "the time": ({"templates/sub/a.yaml": 'a: {{ now | date "2006" }}'}, ["now in templates/sub/a.yaml"]),
    "the revision": ({"templates/a.yaml": "a: r{{ $.Release.Revision }}"}, [".Release.Revision in templates/a.yaml"]),
    "what only sounds so": (
        {"templates/a.yaml": 'now: {{ .Values.now }}{{ $now := 1 }}{{ $now }}{{ "randInt" }}{{/* uuidv4 */}} now'},
        [],
    ),
    "by a helper": (
        {
            "templates/_h.tpl": '{{ define "a" }}{{ include "b" . }}{{ end }}{{ define "b" }}{{ uuidv4 }}{{ end }}',
            "templates/a.yaml": 'a: {{ include "a" . }}',
            "templates/b.yaml": "b: 1",
        },
        ["uuidv4 in templates/a.yaml"],
    ),
    "a helper that nobody includes": ({"templates/_h.tpl": '{{ define "a" }}{{ randAlpha 1 }}{{ end }}'}, []),
    "helpers that include each other": (
        {
            "templates/_a.tpl": '{{ define "a" }}{{ include "b" . }}{{ end }}',
            "templates/_b.tpl": '{{ define "b" }}{{ include "a" . }}{{ end }}',
            "templates/a.yaml": '{{ template "a" . }}',
        },
        [],
    ),
    "notes, tests and files": (
        {"templates/NOTES.txt": "{{ uuidv4 }}", "templates/tests/t.yaml": "{{ uuidv4 }}", "files/a": "{{ uuidv4 }}"},
        [],
    ),
    "a subchart": (
        {"charts/s/Chart.yaml": CHART.replace("c", "s"), "charts/s/templates/a.yaml": "{{ uuidv4 }}"},
        ["uuidv4 in charts/s/templates/a.yaml"],
    ),
}


def unpacked(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in {"Chart.yaml": CHART, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("case", CASES)
def test_random_templates(case: str, tmp_path: Path) -> None:
    files, expected = CASES[case]
    assert list(describe(random_templates(unpacked(tmp_path / "c", files), {}))) == expected
    archive = tmp_path / "c.tgz"
    archive.write_bytes(packed({f"c/{name}": text.encode() for name, text in {"Chart.yaml": CHART, **files}.items()}))
    assert list(describe(random_templates(archive, {}))) == expected


@pytest.mark.parametrize(("values", "found"), [({}, 0), ({"s": {"enabled": True}}, 1)], ids=["off", "on"])
def test_a_subchart_counts_where_it_is_switched_on(tmp_path: Path, values: dict[str, Any], found: int) -> None:
    chart = CHART + "dependencies: [{name: s, version: 0.1.0, condition: s.enabled}]\n"
    inside = {"s/Chart.yaml": CHART.replace("c", "s").encode(), "s/templates/a.yaml": b"{{ uuidv4 }}"}
    root = unpacked(tmp_path / "c", {"Chart.yaml": chart, "values.yaml": "s: {enabled: false}"})
    (root / "charts").mkdir()
    (root / "charts" / "s-0.1.0.tgz").write_bytes(packed(inside))
    assert len(random_templates(root, values)) == found


def test_a_chart_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "c.tgz").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=r"chart c.tgz cannot be read"):
        random_templates(tmp_path / "c.tgz", {})
