"""Trees of files in a temporary directory, read as a user's repository is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.charts.resolve import Charts
from devtools.config.settings import load_settings
from devtools.config.stack import load_stack
from devtools.errors import ConfigError
from devtools.model import Stack

CASES = Path(__file__).resolve().parents[1] / "cases"
CHART = "apiVersion: v2\nname: web\nversion: 0.1.0\n"


def cases(folder: str) -> list[Any]:
    """Every case of a folder of YAML files, named by its file and name."""
    return [
        pytest.param(case, id=f"{path.stem}: {case['name']}")
        for path in sorted((CASES / folder).glob("*.yaml"))
        for case in yaml.load(path.read_text(), yaml.CSafeLoader)
    ]


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a directory."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def repository(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """A repository with one chart, `platform/web`, and these files."""
    return write(root, {"charts/platform/web/Chart.yaml": CHART, **files})


def load(root: Path, environment: str = "", sets: Iterable[str] = ()) -> Stack:
    """The stack, as tasks load it."""
    settings = load_settings(root)
    return load_stack(settings, environment, Charts(settings.charts, settings.root), sets)


def printed(error: ConfigError) -> list[str]:
    """What a user reads: each problem's line, or the message with its hint."""
    if error.problems:
        return [str(problem) for problem in error.problems]
    return [f"{error.message} ({error.hint})" if error.hint else error.message]
