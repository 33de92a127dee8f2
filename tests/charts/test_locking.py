"""One value of the lock changes, whatever people wrote around it; versions are compared as SemVer says."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.charts.lock import with_sha256
from devtools.errors import ConfigError
from devtools.helm.chart_commands import newer, newest, oci_reference

SHA = "0123456789abcdef" * 4
FILE = Path("lock.yaml")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sha256: null", f"sha256: {SHA}"),
        ("sha256: null  # to come", f"sha256: {SHA}  # to come"),
        ("sha256:    ~", f"sha256: {SHA}"),
        ("sha256:", f"sha256: {SHA}"),
        ("sha256:   # to come", f"sha256: {SHA} # to come"),
        (f"sha256: {'f' * 64}", f"sha256: {SHA}"),
        (f'"sha256": "{"f" * 64}"', f'"sha256": {SHA}'),
        (f"'sha256' : '{'f' * 64}' # x", f"'sha256' : {SHA} # x"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_block_style(before: str, after: str, end: str) -> None:
    text = f"# ours{end}charts:{end}  - {{publisher: a, name: c, version: 1.0.0, sha256: null}}{end}"
    text += f"  - publisher: a{end}    name: c{end}    version: 1.1.0{end}"
    rest = f"    # é\n    oci: x{end}"
    found = with_sha256(f"{text}    {before}{end}{rest}".encode(), "a/c@1.1.0", SHA, FILE)
    assert found.decode() == f"{text}    {after}{end}{rest}"


def test_flow_style() -> None:
    raw = b"charts: [{publisher: a, name: b, sha256: null}, {sha256: null, publisher: a, name: c, version: 1.0.0}]\n"
    found = with_sha256(raw, "a/c@1.0.0", SHA, FILE)
    assert found == raw.replace(b"{sha256: null", b"{sha256: " + SHA.encode())


@pytest.mark.parametrize(
    "text",
    [
        "charts: []\n",
        "charts: [{publisher: a, name: b, version: 1.0.0}]\n",
        "charts: [{publisher: a, name: b, version: 1.0.0, sha256:\n  null}]\n",
        "charts: [{publisher: a, name: b, version: 1.0.0, sha256: !!null null}]\n",
        "charts: [\n",
    ],
)
def test_where_it_cannot_be_done_safely(text: str) -> None:
    with pytest.raises(ConfigError):
        with_sha256(text.encode(), "a/b@1.0.0", SHA, FILE)


def test_versions_in_order() -> None:
    """The example of Semantic Versioning 2.0.0, item 11, and what people put before and after."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    ordered += ["1.0.0-rc.1", "v1.0.0", "1.0.1+build", "1.2.0", "1.10.0", "2.0.0"]
    for index, version in enumerate(ordered):
        assert all(newer(version, lower) for lower in ordered[:index])
        assert not any(newer(version, higher) for higher in ordered[index:])
    assert not newer("1.0.0", "v1.0.0+build")
    assert newest(["1.9.0", "1.10.0", "2.0.0-rc.1", "nonsense"]) == "1.10.0"
    assert newest(["2.0.0-rc.1", "2.0.0-rc.2"]) == "2.0.0-rc.2"
    assert newest([]) == ""


def test_references() -> None:
    assert oci_reference("oci://r/charts", "web") == oci_reference("oci://r/charts/web/", "web") == "oci://r/charts/web"
