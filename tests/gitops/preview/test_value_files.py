"""Where value files of an Application are, and what Argo CD does with those that are missing."""

from __future__ import annotations

from typing import Any

import pytest

from devtools.gitops.preview.value_files import ValueFile, helm_sources
from devtools.gitops.tree.applications import Application

HERE = "https://git.example.com/platform"
FILES = {"environments/dev/a.yaml", "charts/a/values-dev.yaml", "a.yaml"}


def _files(written: str, *, ref: dict[str, Any] | None = None, **chart: Any) -> ValueFile:
    source = {"repoURL": HERE, "path": "charts/a", **chart}
    source["helm"] = {"valueFiles": [written], **chart.get("helm", {})}
    values = {"repoURL": HERE, "ref": "values"} if ref is None else ref
    application = Application(data={"metadata": {"name": "a"}, "spec": {"sources": [source, values]}})
    found, *_ = helm_sources(application, FILES.__contains__, lambda url: url == HERE)
    return found.value_files[0]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("$values/environments/dev/a.yaml", "environments/dev/a.yaml"),
        ("$values/charts/../a.yaml", "a.yaml"),
        ("values-dev.yaml", "charts/a/values-dev.yaml"),
        ("../../environments/dev/a.yaml", "environments/dev/a.yaml"),
        ("/a.yaml", "a.yaml"),  # from the root of the chart's repository
    ],
)
def test_a_value_file_is_found(written: str, path: str) -> None:
    assert _files(written) == ValueFile(written=written, path=path)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("$values/environments/none.yaml", "the file does not exist"),
        ("none.yaml", "the file does not exist"),
        ("$other/a.yaml", "no source has the ref 'other'"),
        ("../../../a.yaml", "it leads out of the repository"),
    ],
)
def test_a_missing_value_file_fails_the_sync(written: str, why: str) -> None:
    found = _files(written)
    assert (found.state, found.why) == ("missing", why)


def test_a_missing_value_file_is_dropped_where_that_is_asked_for() -> None:
    found = _files("$values/none.yaml", helm={"ignoreMissingValueFiles": True, "valueFiles": ["$values/none.yaml"]})
    assert (found.state, found.path) == ("dropped", "none.yaml")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (_files("https://example.com/a.yaml"), "it is a URL"),
        (_files("values-x.yaml", path="", chart="a"), "it is in the chart's archive"),
        (_files("$values/a.yaml", ref={"repoURL": "https://other", "ref": "values"}), "it is in https://other"),
    ],
)
def test_a_value_file_that_is_elsewhere(found: ValueFile, why: str) -> None:
    assert (found.state, found.why) == ("elsewhere", why)


def test_a_ref_on_a_chart_gives_no_files() -> None:
    found = _files("$values/a.yaml", ref={"repoURL": HERE, "ref": "values", "chart": "b"})
    assert (found.state, found.why) == ("missing", "the source with the ref 'values' is a chart")
