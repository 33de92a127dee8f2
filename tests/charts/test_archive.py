"""Archives that are what the lock says, and every way in which one is not."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from devtools.base.open_file import LARGEST_FILE, sha256_of
from devtools.charts.archive import verify_archive
from devtools.charts.crds import has_crds, objects_in_crds
from devtools.charts.lock import LockEntry
from devtools.charts.resolve import Charts
from devtools.config.values import chart_values
from devtools.errors import ConfigError, Location
from tests.kits.charts import CHART, archive, link, vendored
from tests.kits.stack import load, write

LINK = "holds a link that points out of it: 'web/l'"
FIRST = "and helm takes the first part of each path for the chart's directory"


def entry(path: Path, version: str = "1.0.0", sha256: str = "") -> LockEntry:
    return LockEntry(
        publisher="acme",
        name="web",
        version=version,
        sha256=sha256 or sha256_of(path),
        repository="https://charts.example.com",
        where=Location(file=Path("charts/third_party/lock.yaml"), line=2, column=5),
    )


def test_a_good_archive(tmp_path: Path) -> None:
    path = archive(tmp_path, {"web/Chart.yaml": CHART, "web/templates/a.yaml": b"a"}, link("web/b", "templates/a.yaml"))
    verify_archive(path, entry(path))
    path = archive(tmp_path, {"any/Chart.yaml": CHART, "any\\schema.json": b"\0" * (5 * 2**20 + 1)})
    verify_archive(path, entry(path))


@pytest.mark.parametrize(
    ("members", "links", "why"),
    [
        ({"web/x": b""}, [], "holds no web/Chart.yaml"),
        ({"web/Chart.yaml": b"name: other\nversion: 1.0.0\n"}, [], "has name 'other', but the lock has 'web'"),
        ({"web/Chart.yaml": b"name: web\nversion: 2.0.0\n"}, [], "has version '2.0.0', but the lock has '1.0.0'"),
        ({"web/Chart.yaml": CHART, "../x": b""}, [], "holds a path that points out of it: '../x'"),
        ({"web/Chart.yaml": CHART, "/etc/x": b""}, [], "holds a path that points out of it: '/etc/x'"),
        ({"web/Chart.yaml": CHART, "web/../../x": b""}, [], "holds a path that points out of it: 'web/../../x'"),
        ({"web/Chart.yaml": CHART, "web\\..\\x": b""}, [], "holds a path that points out of it: 'web\\\\..\\\\x'"),
        ({"web/Chart.yaml": CHART, "other/x": b""}, [], "holds 'other/x', which is not below web/ as the rest"),
        ({"web/Chart.yaml": CHART}, [link("web/l", "/etc/p")], f"{LINK} to '/etc/p'"),
        ({"web/Chart.yaml": CHART}, [link("web/l", "../x")], f"{LINK} to '../x'"),
        ({"web/Chart.yaml": CHART}, [link("web/l", "x/y", hard=True)], f"{LINK} to 'x/y'"),
        ({"./web/Chart.yaml": CHART}, [], f"holds './web/Chart.yaml', {FIRST}"),
        ({"Chart.yaml": CHART}, [], f"holds 'Chart.yaml', {FIRST}"),
        ({"web/Chart.yaml": b"- a\n"}, [], "contains a Chart.yaml that helm cannot read: it is not a map of keys"),
    ],
)  # fmt: skip
def test_what_is_inside(tmp_path: Path, members: dict[str, bytes], links: list[tarfile.TarInfo], why: str) -> None:
    path = archive(tmp_path, members, *links)
    with pytest.raises(ConfigError) as caught:
        verify_archive(path, entry(path))
    assert caught.value.message == f"chart archive web-1.0.0.tgz of 'acme/web' {why}"


def test_a_device_is_no_file(tmp_path: Path) -> None:
    device = tarfile.TarInfo("web/dev")
    device.type = tarfile.CHRTYPE
    path = archive(tmp_path, {"web/Chart.yaml": CHART}, device)
    with pytest.raises(ConfigError, match="neither a file nor a directory"):
        verify_archive(path, entry(path))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "web-1.0.0.tgz"
    assert LARGEST_FILE == 100 * 2**20
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for number in range(21):
            member = tarfile.TarInfo(f"web/{number}")
            member.size = 5 * 2**20
            file.addfile(member, io.BytesIO(b"\0" * member.size))
    with pytest.raises(ConfigError, match="is larger than 100 MiB or 10000 files when unpacked"):
        verify_archive(path, entry(path))


@pytest.mark.parametrize(
    "raw",
    [b"not gzip", gzip.compress(b"not tar" * 1000), b"", gzip.compress(b"x" * 5000)[:-30], b"\x1f\x8b\x08"],
    ids=["not gzip", "not tar", "empty", "cut short", "a header"],  # gzip writes the time into its bytes
)
def test_not_an_archive(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "web-1.0.0.tgz"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        verify_archive(path, entry(path))
    assert caught.value.message.startswith("chart archive web-1.0.0.tgz of 'acme/web' is not a gzipped tar archive: ")


def header(kind: bytes, size: bytes, name: str = "web/x") -> bytes:
    """Of a tar's member, with a size as it stands."""
    blank = tarfile.TarInfo(name).tobuf()[:124] + size + b"00000000000\0" + b" " * 8 + kind + b"\0" * 355
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


@pytest.mark.parametrize(
    "tar",
    [
        header(b"0", b"\xff" * 10 + b"\xfe\0"),  # where the next one begins, this one does
        header(b"0", b"\x80" + b"\0" * 3 + b"\x7f" * 8),
        header(b"x", b"00000000000\0") * 2000,
    ],
    ids=["backwards", "endless", "headers of headers"],
)
def test_a_tar_that_no_tool_makes(tmp_path: Path, tar: bytes) -> None:
    path = tmp_path / "web-1.0.0.tgz"
    path.write_bytes(gzip.compress(tar + b"\0" * 1024))
    with pytest.raises(ConfigError):
        verify_archive(path, entry(path))
    with pytest.raises(ConfigError, match=r"^chart web-1\.0\.0\.tgz cannot be read: "):
        objects_in_crds(path, {})
    assert has_crds(path)  # which is asked further, and said then
    assert chart_values(path).data == {}


def test_a_few_bytes_that_stand_for_many(tmp_path: Path) -> None:
    """A sparse file of 8 GiB: its holes are read as zeros."""
    records = b"".join(
        b"%d %s\n" % (len(text) + 4, text)
        for text in (b"GNU.sparse.major=0", b"GNU.sparse.minor=1", b"GNU.sparse.size=8589934592", b"GNU.sparse.map=0,1")
    )
    path = tmp_path / "web-1.0.0.tgz"
    for name in ("web/values.yaml", "web/Chart.yaml"):
        tar = header(b"x", b"%011o\0" % len(records)) + records.ljust(512, b"\0")
        tar += header(b"0", b"00000000001\0", name) + b"a" * 512
        path.write_bytes(gzip.compress(tar + b"\0" * 1024))
        assert chart_values(path).data == {}
        with pytest.raises(ConfigError, match="is larger than 100 MiB"):
            objects_in_crds(path, {})
        with pytest.raises(ConfigError, match="is larger than 100 MiB"):
            verify_archive(path, entry(path))


def test_truncated_after_its_first_members(tmp_path: Path) -> None:
    import random

    noise = random.Random(1).randbytes(300_000)
    path = archive(tmp_path, {"web/Chart.yaml": CHART, "web/noise": noise})
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(ConfigError, match="is not a gzipped tar archive"):
        verify_archive(path, entry(path))


def test_every_problem_before_a_replay(tmp_path: Path) -> None:
    """A corrupted archive and a missing one: both named, with the lock's line and what to do."""
    root = vendored(tmp_path, "web", "api")
    corrupted = root / "charts/third_party/acme/web/web-1.0.0.tgz"
    raw = bytearray(corrupted.read_bytes())
    raw[len(raw) // 2] ^= 1
    corrupted.write_bytes(raw)
    (root / "charts/third_party/acme/api/api-1.0.0.tgz").unlink()
    stack = load(root)
    charts = Charts(root / "charts", root)
    problems = charts.verify(stack.releases())
    was, now = charts.lock.entries["acme/web@1.0.0"].sha256[:12], sha256_of(corrupted)[:12]
    lock = "charts/third_party/lock.yaml"
    corrupt, missing = map(str, problems)
    assert corrupt == (
        f"{lock}:2:5: chart archive web-1.0.0.tgz of 'acme/web' is corrupted: its sha256 is {now}…, and "
        f"{lock}:2:5 says {was}… (restore it from version control, or vendor and lock it again)"
    )
    assert missing == (
        f"{lock}:7:5: chart archive api-1.0.0.tgz of 'acme/api' is missing (invoke charts.vendor --name acme/api)"
    )


def test_disabled_releases_need_no_archive(tmp_path: Path) -> None:
    root = vendored(tmp_path, "web")
    (root / "charts/third_party/acme/web/web-1.0.0.tgz").unlink()
    layer = (root / "layers/10-a.yaml").read_text().replace("chart:", "installed: false, chart:")
    write(root, {"layers/10-a.yaml": layer})
    assert Charts(root / "charts", root).verify(load(root).releases()) == []
