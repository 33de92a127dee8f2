"""Whatever a chart's archive or directory holds, it is read or refused in a sentence.

Archives are made as bytes, header by header, so that what no tool would write is in them, too.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import event, example, given
from hypothesis import strategies as st

from devtools.charts.archive import inspect_archive
from devtools.charts.crds import has_crds, objects_in_crds
from devtools.charts.lock import LockEntry
from devtools.charts.random_functions import random_templates
from devtools.charts.sources.packing import missing_dependencies
from devtools.config.values import chart_values
from devtools.errors import ConfigError, Location
from devtools.releases.crds import compare
from tests.kits.fuzzing import SLOW, documents, scratch
from tests.kits.stack import write

ENTRY = LockEntry(publisher="acme", name="web", version="1.0.0", sha256="", where=Location(file=Path("lock.yaml")))
CHART = """\
apiVersion: v2
name: web
version: 1.0.0
dependencies:
  - {name: one, version: 1.x, repository: "https://charts.example.com", condition: "one.enabled,global.one", tags: [a]}
  - {name: one, alias: two, repository: "oci://example.com/charts"}
"""
VALUES = "one: {enabled: true, a: 1}\ntwo: null\ntags: {a: true, b: false}\nglobal: {one: true}\n"
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tools.acme.io, labels: {a: b}, annotations: {c: d}}
spec:
  group: acme.io
  names: {kind: Tool, plural: tools}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
TEMPLATE = '{{- define "a" }}{{ randAlphaNum 5 }}{{ end }}\nb: {{ include "a" . }}{{/* now */}}\n'
FILES = {
    "Chart.yaml": CHART,
    "values.yaml": VALUES,
    "crds/a.yaml": CRD,
    "templates/a.yaml": TEMPLATE,
    "charts/one/Chart.yaml": "apiVersion: v2\nname: one\nversion: 1.0.0\n",
    "charts/one/crds/b.yaml": CRD,
}


def use(chart: Path) -> int:
    """What a run and the tasks make of a chart; ConfigError for one that cannot be read."""
    has_crds(chart)
    chart_values(chart)
    found = objects_in_crds(chart, {"one": {"enabled": True}})
    for item in found:
        json.dumps(item.data, allow_nan=False)  # what is applied
        if item.is_crd:
            compare(item.data, {})
    return len(found) + len(random_templates(chart, {}))


@pytest.fixture(scope="module")
def chart() -> Iterator[Path]:
    with scratch() as directory:
        yield write(Path(directory), FILES)


def test_the_good_chart_is_read(chart: Path) -> None:
    assert use(chart) == 3


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("templates")])
@SLOW
@given(data=st.data())
def test_whatever_a_file_of_a_chart_holds(chart: Path, name: str, data: st.DataObject) -> None:
    good = (chart / name).read_bytes()
    write(chart, {name: data.draw(documents(FILES[name]))})
    try:
        event("read" if use(chart) == 3 else "read in part")
    except ConfigError:
        event("refused")
    finally:
        (chart / name).write_bytes(good)


# --- archives

NAMES = (
    *("web/Chart.yaml", "./web/Chart.yaml", "web//Chart.yaml", "web/./values.yaml", "web/values.yaml", "web", "web/"),
    *("web/crds/a.yaml", "web/templates/a.yaml", "web/charts/one-1.0.0.tgz", "web/charts/one/Chart.yaml", "web/charts"),
    *("", ".", "..", "/", "web/../x", "/etc/passwd", "other/a", "web\\..\\..\\x", "web/é", "web/a" * 60, "web/\n"),
)
TYPES = (*[tarfile.REGTYPE] * 6, *(bytes([code]) for code in b"\x00124567SLKxgXDMVNA\xff"))
SIZES = (
    *(b"00000000000\0", b"77777777777\0", b"-0000000001\0", b"           \0", b"\xff" * 12, b"\x80" + b"\xff" * 11),
    *(b"\x80" + b"\0" * 7 + b"\x7f\xff\xff\xff", b"\xff" * 8 + b"\xff\xff\xfe\0", b"9999999999\0\0", b"0x000000010\0"),
)
RECORDS = (  # of a pax header
    *("path=web/values.yaml", "path=", "path=web/\0", "linkpath=x", "size=-1", "size=99999999999999999999", "size=a"),
    *("size=1.5", "mtime=nan", "mtime=1e999", "uid=x", "hdrcharset=BINARY", "hdrcharset=x", "GNU.sparse.map=0,1,x"),
    *("GNU.sparse.map=9,9", "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.size=x", "GNU.sparse.numbytes=1"),
    *("GNU.sparse.offset=-1", "GNU.sparse.realsize=-5", "GNU.sparse.name=../x", "=", "", "path", "VENDOR.a=b"),
)
CONTENTS = st.sampled_from([text.encode() for text in FILES.values()]) | documents(CHART) | st.binary(max_size=40)


def with_checksum(header: bytes) -> bytes:
    """https://www.gnu.org/software/tar/manual/html_node/Standard.html."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 512)


@st.composite
def pax_records(draw: st.DrawFn) -> bytes:
    """Records that say how long they are, and some that lie."""
    found = b""
    for text in draw(st.lists(st.sampled_from(RECORDS), min_size=1, max_size=4)):
        body = f" {text}\n".encode()
        length = next(size for size in range(len(body), len(body) + 9) if size == len(str(size)) + len(body))
        shown = draw(st.sampled_from((str(length),) * 8 + ("0", "-1", "999", "x", "9" * 30)))
        found += shown.encode() + body
    return found


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """A header and what follows it."""
    kind = draw(st.sampled_from(TYPES))
    content: bytes = draw(pax_records() if kind in (b"x", b"g", b"X") else CONTENTS)
    info = tarfile.TarInfo(draw(st.sampled_from(NAMES)))
    info.size, info.type, info.linkname = len(content), kind, draw(st.sampled_from(("", "a", "../x", "web/Chart.yaml")))
    info.mtime = draw(st.sampled_from((0, 0, 2**40)))
    header = info.tobuf(tarfile.GNU_FORMAT)[-512:]
    if draw(st.integers(0, 3)) == 0:
        header = header[:124] + draw(st.sampled_from(SIZES)) + header[136:]
    if draw(st.integers(0, 7)) == 0:  # the end of a sparse file's map, prefixes, devices
        at = draw(st.integers(0, 511))
        header = header[:at] + draw(st.binary(min_size=1, max_size=8)) + header[at:]
    return with_checksum(header[:512]) + padded(content)


def plain(name: str, content: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content.encode())
    return info.tobuf() + padded(content.encode())


GOOD = b"".join(plain(f"web/{name}", text) for name, text in FILES.items())


LINK = tarfile.TarInfo("web/Chart.yaml")  # once more, as a link to what is not there
LINK.type, LINK.linkname = tarfile.SYMTYPE, "a"


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A good archive with members put before or after; and what is wrong with the whole."""
    odd = b"".join(draw(st.lists(members(), max_size=3)))
    tar = draw(st.sampled_from((odd + GOOD, GOOD + odd, odd, plain("web/Chart.yaml", CHART) + odd))) + b"\0" * 1024
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(tar) - 1))
        tar = tar[:at] + draw(st.binary(min_size=1, max_size=4)) + tar[at + 1 :]
    raw = gzip.compress(tar, 1, mtime=0)
    match draw(st.integers(0, 9)):
        case 0:
            return raw[: draw(st.integers(0, len(raw)))]
        case 1:
            at = draw(st.integers(0, len(raw) - 1))
            return raw[:at] + draw(st.binary(min_size=1, max_size=2)) + raw[at + 1 :]
        case 2:
            return draw(st.sampled_from((raw + raw, raw + b"x", tar, b"\x1f\x8b", b"", gzip.compress(raw))))
    return raw


def test_the_good_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "web-1.0.0.tgz"
    path.write_bytes(gzip.compress(GOOD + b"\0" * 1024))
    inspect_archive(path, ENTRY)
    assert use(path) == 3
    assert missing_dependencies(path) == ()
    assert chart_values(path).data == yaml.safe_load(VALUES)


@SLOW
@example(gzip.compress(plain("./web/Chart.yaml", CHART) + b"\0" * 1024))
@example(gzip.compress(GOOD + LINK.tobuf() + b"\0" * 1024))
@given(archives())
def test_whatever_an_archive_of_a_chart_holds(raw: bytes) -> None:
    with scratch() as directory:
        path = Path(directory) / "web-1.0.0.tgz"
        path.write_bytes(raw)
        with contextlib.suppress(ConfigError):
            inspect_archive(path, ENTRY)
            event("safe")
            missing_dependencies(path)
        with contextlib.suppress(ConfigError):
            event("read" if use(path) else "empty")


@SLOW
@given(archives())
def test_whatever_an_archive_of_a_subchart_holds(raw: bytes) -> None:
    """That of a chart of ours nobody has verified."""
    with scratch() as directory:
        write(Path(directory), {"Chart.yaml": CHART, "charts/one-1.0.0.tgz": raw})
        with contextlib.suppress(ConfigError):
            event("read" if use(Path(directory)) else "empty")
