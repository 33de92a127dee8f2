"""A chart that would use all of the machine's memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.helm import commands
from devtools.process.runner import Cancel, SubprocessRunner
from devtools.rendering.renderer import RenderingFailed, renderer
from tests.kits import run

BOMB = '{{- $x := "0123456789abcdef" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}a: {{ $x }}\n'


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the memory of another process")
def test_a_template_that_grows_without_end_is_ended(
    tmp_path: Path, tool: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MEMORY", 512 * 1024**2)  # gone in a second
    chart = run.chart(tmp_path, "bomb")
    (chart.path / "templates" / "all.yaml").write_text(BOMB)
    runner = SubprocessRunner(os.environ, Cancel())
    with renderer(tool("helm"), runner) as rendering, pytest.raises(RenderingFailed) as failed:
        rendering.offline(run.release(chart, "x"), {})
    assert failed.value.message == "helm ran out of memory; it may have 2 GiB"
