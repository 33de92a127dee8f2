"""A plan renders what changed, and one release of each chart if there are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.app.environment import App
from devtools.app.notices import broken_releases
from devtools.events import Bus, Notice
from devtools.model import ChartRef, Facts, Inputs, Planned
from devtools.rendering.rendered_before import RenderedBefore
from devtools.testing import RecordingSink
from tests.kits import run

GOOD = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {a: "{{ .Values.a }}"}\n'
BROKEN = "a: {{ nosuch . }}\n"


class Counting:
    """Plans of releases, and how many of them helm rendered."""

    def __init__(self, app: App, cache: Path) -> None:
        self.app = replace(app, environ={**app.environ, "DEVTOOLS_CACHE": str(cache)})
        self.recorder = run.Recorder(app.cancel)
        self.app.__dict__["runner"] = self.recorder
        self.app.__dict__["toolchain"] = app.toolchain

    def plan(self, *charts: ChartRef, digest: str = "d") -> tuple[int, list[str]]:
        """How many releases were rendered, and the messages; the digest of every release's inputs is the same."""
        releases = [run.release(chart, f"r{number}") for number, chart in enumerate(charts)]
        self.recorder.commands.clear()
        values = {release.id: {"a": "b"} for release in releases}
        inputs = Inputs(values=values, digests=dict.fromkeys(values, digest))
        planned = Planned(plan=run.plan(*map(run.step, releases)), facts=Facts(), inputs=inputs)
        sink = RecordingSink()
        broken_releases(self.app, planned, Bus((sink,), self.app.clock))
        return len(self.recorder.commands), [event.message for event in sink.events if isinstance(event, Notice)]


@pytest.fixture
def counting(app: App, tmp_path: Path, tool: Callable[[str], Path]) -> Counting:
    tool("helm")
    return Counting(app, tmp_path / "cache")


@pytest.fixture
def good(tmp_path: Path) -> ChartRef:
    return _chart(tmp_path, "good", GOOD)


@pytest.fixture
def broken(tmp_path: Path) -> ChartRef:
    return _chart(tmp_path, "broken", BROKEN)


def _chart(directory: Path, name: str, template: str) -> ChartRef:
    chart = run.chart(directory, name)
    (chart.path / "templates" / "all.yaml").write_text(template)
    return chart


def test_only_changed_inputs_are_rendered_again(counting: Counting, good: ChartRef) -> None:
    assert counting.plan(good) == (1, [])
    assert counting.plan(good) == (0, [])
    assert counting.plan(good, good) == (1, [])
    assert counting.plan(good, digest="e") == (1, [])


def test_what_fails_is_rendered_each_time(counting: Counting, broken: ChartRef) -> None:
    for _ in range(2):
        rendered, [message] = counting.plan(broken)
        assert rendered == 1
        assert message.startswith("helm cannot render chart")


def test_of_many_releases_one_of_each_chart_is_rendered(counting: Counting, good: ChartRef, broken: ChartRef) -> None:
    rendered, [sample, failure] = counting.plan(*[good] * 40, *[broken] * 20)
    assert rendered == 2
    assert sample == "rendered one release of each chart, 2 of 60; to render all: invoke check"
    assert failure.startswith("helm cannot render chart")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", None])
def test_a_file_that_cannot_be_read_is_made_again(tmp_path: Path, content: bytes | None) -> None:
    RenderedBefore(tmp_path / "memory", "x").add(["a@1", "b@2"])
    [file] = (tmp_path / "memory").iterdir()
    if content is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)
    again = RenderedBefore(tmp_path / "memory", "x")
    assert "a@1" not in again
    again.add(["a@1"])
    assert ("a@1" in RenderedBefore(tmp_path / "memory", "x")) is (content is not None)
