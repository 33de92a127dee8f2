"""What becomes of builds that no pin names any more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from devtools.commands import toolchain as verb
from devtools.errors import EnvironmentFault, ExitCode
from devtools.process.runner import Cancel
from devtools.toolchain.prune import Decision
from devtools.toolchain.store import DAY, Store
from tests.kits.verbs import call
from tests.toolchain.test_toolchain import House

OLD = "etcd-0123456789abcdef"
GONE = "sailfish-fedcba9876543210"  # of a family that nobody here knows any more


@pytest.fixture
def house(tmp_path: Path) -> House:
    """With today's etcd in its cache."""
    made = House(tmp_path)
    made.toolchain().ensure(["etcd"])
    return made


def root(house: House) -> Path:
    return house.cache / "toolchain"


def build(house: House, name: str, days: float, version: str = "3.5.0") -> Path:
    """A build that was used last so long ago, with a program that sleeps."""
    path = root(house) / name
    (path / "bin").mkdir(parents=True)
    shutil.copy("/bin/sleep", path / "bin" / "etcd")
    size = (path / "bin" / "etcd").stat().st_size
    family = name.rpartition("-")[0]
    (path / "built.json").write_text(json.dumps({"family": family, "version": version, "sizes": {"etcd": size}}))
    aged(path, days)
    return path


def aged(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path / "built.json", (then, then))


def pruned(
    house: House, *, days: int = 30, dry_run: bool = False, users: Mapping[Path, str] | None = None
) -> list[str]:
    """`removed etcd-…: why`, a line for each build."""
    decisions = house.toolchain().prune({} if users is None else users, days=days, dry_run=dry_run)
    return [_line(item) for item in decisions]


def _line(item: Decision) -> str:
    return f"{'removed' if item.goes else 'kept'} {item.build.name}: {item.reason}"


def today(house: House) -> str:
    return house.toolchain().path("etcd").parents[1].name


def test_an_unpinned_build_is_pruned_when_long_unused(house: House) -> None:
    aged(root(house) / today(house), 400)
    old, gone = build(house, OLD, 45), build(house, GONE, 31)
    recent = build(house, "etcd-00000000000000aa", 3)
    (root(house) / "logs").mkdir(exist_ok=True)
    (root(house) / "etcd-00000000000000bb").symlink_to(house.root)
    assert pruned(house) == [
        "kept etcd-00000000000000aa: used 3 days ago",
        f"removed {OLD}: no pin names it, last used 45 days ago",
        f"kept {today(house)}: pinned",
        f"removed {GONE}: no pin names it, last used 31 days ago",
    ]
    assert not old.exists()
    assert not gone.exists()
    assert (recent / "bin" / "etcd").is_file()
    assert (root(house) / "logs").is_dir()
    assert (root(house) / "etcd-00000000000000bb").is_symlink()
    assert house.leftovers() == []
    assert pruned(house, days=2)[0] == "removed etcd-00000000000000aa: no pin names it, last used 3 days ago"
    assert house.toolchain().path("etcd").is_file()


def test_a_dry_run_says_the_same_and_touches_nothing(house: House) -> None:
    build(house, OLD, 45)
    before = sorted(house.cache.rglob("*"))
    planned = pruned(house, dry_run=True)
    assert sorted(house.cache.rglob("*")) == before
    assert planned == pruned(house)


def test_finding_a_build_marks_it_as_used(house: House) -> None:
    path = build(house, OLD, 45)
    store = Store(root(house), Cancel(), 10.0)
    assert store.find(OLD, "etcd") == path / "bin" / "etcd"
    assert f"kept {OLD}: used today" in pruned(house)


def test_what_runs_stays(house: House) -> None:
    path = build(house, OLD, 45)
    with subprocess.Popen([path / "bin" / "etcd", "60"]) as process:
        try:
            assert f"kept {OLD}: used by process {process.pid} (etcd)" in pruned(house)
        finally:
            process.kill()
    assert f"removed {OLD}: no pin names it, last used 45 days ago" in pruned(house)


def test_a_tool_that_is_being_built_stays(house: House) -> None:
    path = build(house, OLD, 45)
    with Store(root(house), Cancel(), 10.0).claim(OLD, print):
        assert f"kept {OLD}: being built" in pruned(house)
    assert path.is_dir()


def test_what_is_used_at_the_last_moment_comes_back(house: House) -> None:
    path = build(house, OLD, 45)

    class Late(dict[Path, str]):
        """Asked who holds the build, it begins to use it."""

        def items(self) -> Any:
            os.utime(path / "built.json")
            return super().items()

    assert f"kept {OLD}: used just now" in pruned(house, users=Late())
    assert (path / "bin" / "etcd").is_file()
    assert house.leftovers() == []


@pytest.mark.parametrize("damage", ["", "[]", "{}"])
def test_what_is_no_whole_build_goes(house: House, damage: str) -> None:
    (build(house, OLD, 0) / "built.json").write_text(damage)
    scratch = root(house) / f".building-{GONE}-0a1b2c3d"
    (scratch / "bin").mkdir(parents=True)
    with Store(root(house), Cancel(), 10.0).claim(GONE, print):
        assert f"kept {scratch.name}: being built" in pruned(house, dry_run=False)
    assert not (root(house) / OLD).exists()
    assert f"removed {scratch.name}: left by a build that was stopped" in pruned(house)
    assert house.leftovers() == []


def test_two_at_once_do_not_disturb_each_other(house: House) -> None:
    for number in range(20):
        build(house, f"etcd-{number:016x}", 45)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            pruned(house)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            failures.append(error)

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in root(house).iterdir() if path.is_dir()] == [today(house)]


def test_what_cannot_be_removed_is_an_error_with_a_way_out(house: House) -> None:
    build(house, OLD, 45)
    (root(house) / f"{OLD}.lock").mkdir()
    with pytest.raises(EnvironmentFault, match=f"cannot remove {OLD}: ") as caught:
        pruned(house)
    assert caught.value.hint == f"remove {root(house) / OLD} by hand"


@pytest.fixture
def surroundings(house: House) -> dict[str, Any]:
    """Of a task on that machine; a cluster that is stopped was made with the old build."""
    path = build(house, OLD, 45)
    state = house.root / "state"
    (state / "clusters/dev/kwok/clusters/dev/bin").mkdir(parents=True)
    (state / "clusters/dev/kwok/clusters/dev/bin/etcd").symlink_to(path / "bin" / "etcd")
    environ = {"DEVTOOLS_CACHE": str(house.cache), "DEVTOOLS_STATE": str(state), "PATH": "/usr/bin:/bin"}
    return {"environ": environ, "cwd": house.root}


def test_what_a_stopped_cluster_was_made_with_stays(house: House, surroundings: dict[str, Any]) -> None:
    build(house, GONE, 31, version="1.2.3")
    found = call(lambda app: verb.prune(app, "json", days="30", dry_run=False), "json", **surroundings).document
    old, ours, gone = found["builds"]
    assert (old["build"], old["goes"], old["reason"]) == (OLD, False, "used by cluster dev")
    assert (ours["goes"], ours["reason"]) == (False, "pinned")
    assert (gone["family"], gone["version"], gone["goes"]) == ("sailfish", "1.2.3", True)
    assert found["freed"] == gone["bytes"] > 0
    assert not (root(house) / GONE).exists()
    shutil.rmtree(house.root / "state")
    assert (
        "1.2.3" not in call(lambda app: verb.prune(app, "text", days="30", dry_run=False), "text", **surroundings).out
    )
    assert not (root(house) / OLD).exists()


def test_people_read_what_goes_why_and_how_much_that_is(house: House, surroundings: dict[str, Any]) -> None:
    (build(house, GONE, 31) / "bin" / "big").write_bytes(b"x" * 5 * 2**20)

    def typed(*, dry_run: bool) -> list[str]:
        return call(
            lambda app: verb.prune(app, "text", days="30", dry_run=dry_run), "text", **surroundings
        ).out.splitlines()

    assert typed(dry_run=True)[2:] == [
        "to remove  sailfish 3.5.0      5 MiB  no pin names it, last used 31 days ago",
        "5 MiB would be freed",
    ]
    assert typed(dry_run=False)[2:] == [
        "removed    sailfish 3.5.0      5 MiB  no pin names it, last used 31 days ago",
        "5 MiB freed",
    ]
    assert typed(dry_run=False)[2:] == ["nothing to remove"]


@pytest.mark.parametrize("days", ["0", "x", "-1", "9" * 5000], ids=["zero", "a word", "negative", "long"])
def test_days_are_a_number(surroundings: dict[str, Any], days: str) -> None:
    done = call(lambda app: verb.prune(app, "text", days=days, dry_run=False), "text", **surroundings)
    assert (done.code, done.out) == (ExitCode.CONFIG, "")
    assert done.err.startswith(f"error: --days {days[:20]} is not a number of days")


def test_flags_that_do_not_go_together(house: House, surroundings: dict[str, Any]) -> None:
    done = call(lambda app: verb.show(app, "text", dry_run=True), "text", **surroundings)
    assert (done.code, done.out) == (ExitCode.CONFIG, "")
    assert "invoke toolchain --prune --dry-run" in done.err
    assert (root(house) / OLD).is_dir()
