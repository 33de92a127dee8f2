"""What a chart's directory may hold: what helm reads is read, and what helm cannot read is refused before."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.base.open_file import LARGEST_FILE, read_source
from devtools.charts.crds import has_crds, objects_in_crds
from devtools.charts.resolve import Charts
from devtools.charts.tree import files_of_tree, tree_of
from devtools.errors import ConfigError
from devtools.model import ChartRef
from tests.kits.stack import load, printed, repository, write

CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.acme.example.com}
spec:
  group: acme.example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
FILES = {
    "charts/platform/web/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n",
    "shared/templates/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\n",
    "shared/crds/widget.yaml": CRD,
    "layers/10-a.yaml": "stage: a\nreleases: [{name: a, namespace: ns, chart: platform/web}]\n",
}


def _socket(path: Path) -> None:
    """A socket's path must be short: it is bound from its directory."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


STRANGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a pipe": ("pipe", os.mkfifo, "is a pipe"),
    "a pipe among templates": ("templates/pipe.yaml", os.mkfifo, "is a pipe"),
    "a pipe for values": ("values.yaml", os.mkfifo, "is a pipe"),
    "a pipe for CRDs": ("crds/pipe.yaml", os.mkfifo, "is a pipe"),
    "a pipe for a subchart": ("charts/db-1.0.0.tgz", os.mkfifo, "is a pipe"),
    "a socket": ("agent.sock", _socket, "is a socket"),
    "a device": ("zero", _link("/dev/zero"), "is a device"),
    "a link to nothing": ("templates/.#a.yaml", _link("me@host.1"), "is a link to nothing: me@host.1"),
    "a ring": ("templates/more", _link(".."), "is a link to one of its parent directories"),
    "a link to itself": ("self", _link("self"), "is a link to nothing: self"),
}
STRANGE_HINT = "helm takes files and directories only: move it out of the chart"


def _chart(root: Path) -> Path:
    return repository(root, dict(FILES)) / "charts/platform/web"


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_no_file_is_named_before_anything_is_done(
    case: str, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    name, make, says = STRANGE[case]
    chart = _chart(tmp_path)
    (chart / name).parent.mkdir(exist_ok=True)
    make(chart / name)
    stack = load(tmp_path)
    charts = Charts(tmp_path / "charts", tmp_path)
    expected = f"charts/platform/web/{name}:1:1: {says} ({STRANGE_HINT})"
    assert [str(problem) for problem in charts.verify(stack.releases())] == [expected]
    with pytest.raises(ConfigError) as caught:
        charts.digest(stack.layers[0].releases[0].chart)
    assert printed(caught.value) == [expected]
    with pytest.raises(ConfigError):
        objects_in_crds(chart, {})
    assert has_crds(chart), "who looks into it will say"
    helm = subprocess.run([tool("helm"), "template", chart], capture_output=True, text=True, timeout=300, check=False)
    assert helm.returncode == 1, "helm refuses it, too"


@pytest.mark.parametrize("name", ["Chart.yaml", ".helmignore"])
def test_a_pipe_that_helm_would_wait_for(name: str, tmp_path: Path) -> None:
    chart = _chart(tmp_path)
    stack = load(tmp_path)
    (chart / name).unlink(missing_ok=True)
    os.mkfifo(chart / name)
    problems = Charts(tmp_path / "charts", tmp_path).verify(stack.releases())
    assert [str(problem) for problem in problems] == [f"charts/platform/web/{name}:1:1: is a pipe ({STRANGE_HINT})"]
    if name == "Chart.yaml":
        with pytest.raises(ConfigError) as caught:
            load(tmp_path)
        assert (
            "charts/platform/web/Chart.yaml:1:1: cannot be read: it is not a regular file; needed by"
            in printed(caught.value)[0]
        )


def test_a_file_that_is_too_large_is_named_and_not_read(tmp_path: Path) -> None:
    """Templates, and .helmignore, which is read before anything else; unless .helmignore names it."""
    chart = _chart(tmp_path)
    charts, stack = Charts(tmp_path / "charts", tmp_path), load(tmp_path)
    for name in ("templates/big.yaml", "values.yaml"):
        with (chart / name).open("ab") as file:
            file.truncate(LARGEST_FILE + 1)
    (problem,) = (str(one) for one in tree_of(chart).problems if "big" in str(one))
    assert problem.startswith(f"{chart}/templates/big.yaml:1:1: is larger than 100 MiB, which is the limit for a chart")
    with pytest.raises(ConfigError) as caught:
        charts.digest(stack.layers[0].releases[0].chart)
    assert len(printed(caught.value)) == 2
    with pytest.raises(OSError, match="it is larger than 100 MiB"):
        read_source(chart / "values.yaml")
    write(chart, {".helmignore": "big.yaml\nvalues.yaml\n"})
    assert tree_of(chart).problems == ()
    os.truncate(chart / ".helmignore", LARGEST_FILE + 1)
    assert "it is larger than 100 MiB" in str(tree_of(chart).problems[0])


def test_an_archive_that_is_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "web-1.0.0.tgz"
    os.mkfifo(path)
    with pytest.raises(ConfigError) as caught:
        Charts(tmp_path).digest(ChartRef(name="acme/web", path=path))
    assert caught.value.message == "chart 'acme/web' cannot be read: it is not a regular file"


def test_links_are_followed_as_helm_follows_them(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """What helm renders counts: a change there is a change of the chart, and CRDs there are its CRDs."""
    chart = _chart(tmp_path)
    ref = ChartRef(name="platform/web", path=chart)
    digests = [Charts(tmp_path).digest(ref)]
    (chart / "templates/shared").symlink_to("../../../../shared/templates")
    (chart / "crds").symlink_to("../../../shared/crds")
    digests.append(Charts(tmp_path).digest(ref))
    write(tmp_path, {"shared/templates/b.yaml": FILES["shared/templates/b.yaml"] + "data: {a: b}\n"})
    digests.append(Charts(tmp_path).digest(ref))
    assert len(set(digests)) == 3
    names = ["Chart.yaml", "crds/widget.yaml", "templates/a.yaml", "templates/shared/b.yaml"]
    assert list(files_of_tree(chart)) == names
    assert has_crds(chart)
    assert [item.file for item in objects_in_crds(chart, {})] == ["crds/widget.yaml"]
    shown = subprocess.run(
        [tool("helm"), "template", "--include-crds", chart], capture_output=True, text=True, timeout=300, check=True
    ).stdout
    assert "# Source: web/templates/shared/b.yaml" in shown
    assert "widgets.acme.example.com" in shown


def test_a_directory_that_may_not_be_read_is_no_empty_one(tmp_path: Path) -> None:
    """Of one that is gone it is the same: it went while we looked."""
    assert [str(problem) for problem in tree_of(tmp_path / "gone").problems] == [
        f"{tmp_path / 'gone'}:1:1: cannot be read: No such file or directory (check its owner and mode)"
    ]


def test_only_charts_that_are_used_are_looked_at(tmp_path: Path) -> None:
    _chart(tmp_path)
    other = write(tmp_path, {"charts/platform/other/Chart.yaml": "name: other\nversion: 1.0.0\n"})
    os.mkfifo(other / "charts/platform/other/pipe")
    assert Charts(tmp_path / "charts", tmp_path).verify(load(tmp_path).releases()) == []
