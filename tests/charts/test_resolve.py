"""Charts by name, the lock's own problems, and digests of bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.charts.lock import load_lock
from devtools.charts.resolve import Charts
from devtools.config.finder import ChartUnknown
from devtools.errors import ConfigError
from devtools.model import ChartRef
from tests.kits.charts import lock_text, vendored
from tests.kits.stack import printed, write


def test_local_and_vendored_charts(tmp_path: Path) -> None:
    root = vendored(tmp_path, "api")
    charts = Charts(root / "charts", root)
    assert charts.names() == ("acme/api", "platform/web")
    local, remote = charts.find("platform/web"), charts.find("acme/api")
    assert (local.kind, local.version, local.path) == ("local", "0.1.0", root / "charts/platform/web")
    assert (remote.kind, remote.version) == ("vendored", "1.0.0")
    assert remote.path == root / "charts/third_party/acme/api/api-1.0.0.tgz"
    assert remote.sha256 == charts.digest(remote)


def test_a_chart_that_is_not_vendored_may_have_a_stand_in(tmp_path: Path) -> None:
    root = write(tmp_path, {"charts/third_party/lock.yaml": "charts:\n" + lock_text("api", "null")})
    made = write(tmp_path / "cache", {"api.tgz": b"made"}) / "api.tgz"
    charts = Charts(root / "charts", root, stand_in=lambda entry: made if entry.name == "api" else None)
    found = charts.find("acme/api")
    assert (found.kind, found.path, found.version) == ("stand-in", made, "1.0.0+standin")
    assert Charts(root / "charts", root).find("acme/api").kind == "vendored"


def test_a_vendored_chart_never_has_a_stand_in(tmp_path: Path) -> None:
    """Neither where its archive is gone, nor where one lies there that the lock does not know: both are said."""
    root = vendored(tmp_path, "api")
    made = write(tmp_path / "cache", {"api.tgz": b"made"}) / "api.tgz"
    archive = root / "charts/third_party/acme/api/api-1.0.0.tgz"
    raw = archive.read_bytes()
    archive.unlink()
    assert Charts(root / "charts", root, stand_in=lambda _: made).find("acme/api").kind == "vendored"
    archive.write_bytes(raw)
    write(root, {"charts/third_party/lock.yaml": "charts:\n" + lock_text("api", "null")})
    assert Charts(root / "charts", root, stand_in=lambda _: made).find("acme/api").kind == "vendored"


@pytest.mark.parametrize("name", ["acme/apo", "other/api", "platform/api", "platform/../x"])
def test_an_unknown_chart(tmp_path: Path, name: str) -> None:
    charts = Charts(vendored(tmp_path, "api") / "charts")
    with pytest.raises(ChartUnknown):
        charts.find(name)


def test_the_digest_of_a_directory_is_of_its_paths_and_bytes(tmp_path: Path) -> None:
    files = {"Chart.yaml": "name: a\n", "templates/a.yaml": "a", "templates/b.yaml": "b"}

    def digest(name: str, files: dict[str, str]) -> str:
        root = write(tmp_path / name, dict(files))
        return Charts(tmp_path).digest(ChartRef(name="platform/a", path=root))

    base = digest("one", files)
    assert base == digest("two", dict(reversed(files.items())))
    others = [
        digest("three", {**files, "templates/a.yaml": "ab", "templates/b.yaml": ""}),
        digest("four", {**files, "templates/c.yaml": ""}),
        digest("five", {"Chart.yaml": "name: a\n", "templates/a.yaml": "a", "templates/x.yaml": "b"}),
    ]
    assert len({base, *others}) == 4


def test_a_digest_is_computed_once(tmp_path: Path) -> None:
    charts = Charts(vendored(tmp_path, "api") / "charts")
    chart = charts.find("acme/api")
    before = charts.digest(chart)
    chart.path.unlink()
    assert charts.digest(chart) == before
    with pytest.raises(ConfigError) as caught:
        Charts(tmp_path / "charts").digest(chart)
    assert caught.value.message == "chart 'acme/api' cannot be read: No such file or directory"


def test_problems_of_the_lock(tmp_path: Path) -> None:
    sha = "a" * 64
    text = f"""charts:
  - {{publisher: acme, name: one, version: 1.0.0, sha256: {sha}, oci: "oci://x/y", contract: {{}}, license: MIT}}
  - {{publisher: acme, name: one, version: 1.0.0, sha256: {sha}}}
  - {{publisher: platform, name: two, version: 1.0.0, sha256: {sha}, repository: "https://x", oci: "oci://x"}}
"""
    write(tmp_path, {"charts/third_party/lock.yaml": text})
    with pytest.raises(ConfigError) as caught:
        load_lock(tmp_path / "charts", tmp_path)
    lock = "charts/third_party/lock.yaml"
    assert printed(caught.value) == [
        f"{lock}:3:5: chart 'acme/one' needs exactly one of 'repository', 'oci' and 'git'",
        f"{lock}:3:5: chart 'acme/one@1.0.0' is locked twice (first at {lock}:2:5)",
        f"{lock}:4:5: chart 'platform/two' needs exactly one of 'repository', 'oci' and 'git'",
        f"{lock}:4:6: publisher 'platform' is reserved for charts of this repository",
    ]


def test_wrong_keys_of_the_lock(tmp_path: Path) -> None:
    text = (
        "charts:\n  - {publisher: Acme, name: ../x, version: latest, sha256: abc, repository: ftp://x}\n  - {name: 3}\n"
    )
    write(tmp_path, {"charts/third_party/lock.yaml": text})
    with pytest.raises(ConfigError) as caught:
        load_lock(tmp_path / "charts", tmp_path)
    messages = [problem.message.split(" must ")[0] for problem in caught.value.problems]
    assert messages == [
        "'publisher'",
        "'name'",
        "'version'",
        "'sha256'",
        "'repository'",
        "key 'publisher' is missing in item 2 of 'charts'",
        "key 'sha256' is missing in item 2 of 'charts'",
        "key 'version' is missing in item 2 of 'charts'",
        "'name'",
    ]


def test_other_keys_of_the_lock_are_allowed(tmp_path: Path) -> None:
    text = f"charts:\n  - {{publisher: a, name: b, version: v1.0.0, sha256: {'a' * 64}, oci: 'oci://x', notes: [1]}}\n"
    write(tmp_path, {"charts/third_party/lock.yaml": text})
    (entry,) = load_lock(tmp_path / "charts", tmp_path).entries.values()
    assert entry.archive == Path("a/b/b-v1.0.0.tgz")
    assert load_lock(tmp_path / "none", tmp_path).entries == {}
