"""What a run leaves on disk, also on a bad one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest

from devtools.errors import EnvironmentFault, ExitCode
from devtools.report.files import RunFiles, prune, run_directory
from tests.kits.marks import readable_by_others
from tests.report.scenarios import SCENARIOS, START, play


def unexpected(line: str) -> NoReturn:
    raise AssertionError(line)


def test_names_sort_by_time_and_are_never_shared(tmp_path: Path) -> None:
    made = [run_directory(tmp_path, "layer 40-data-plane --env dev", START + at) for at in (0, 0, 0, 1)]
    assert [path.name for path in made] == [
        "20260101T000000Z-layer-40-data-plane-env-dev",
        "20260101T000000Z-layer-40-data-plane-env-dev-2",
        "20260101T000000Z-layer-40-data-plane-env-dev-3",
        "20260101T000001Z-layer-40-data-plane-env-dev",
    ]
    assert all(path.is_dir() for path in made)
    assert (tmp_path / ".devtools" / ".gitignore").read_text() == "*\n"


def test_only_their_owner_reads_them(tmp_path: Path) -> None:
    (tmp_path / ".devtools" / "runs").mkdir(mode=0o777, parents=True)
    mask = os.umask(0)
    try:
        directory = run_directory(tmp_path, "layer 40-data-plane", START)
        play(SCENARIOS["failed-smoke"](), RunFiles(directory, unexpected))
    finally:
        os.umask(mask)
    assert readable_by_others(directory.parent) == []


def test_a_run_leaves_events_logs_and_a_summary(tmp_path: Path) -> None:
    directory = run_directory(tmp_path, "layer 40-data-plane", START)
    script = SCENARIOS["failed-smoke"]()
    play(script, RunFiles(directory, unexpected))
    assert {path.name for path in directory.iterdir()} == {
        "events.jsonl",
        "summary.json",
        "clickhouse-operator_clickhouse-operator.log",
        "ameide_clickhouse.log",
        "ameide_clickhouse-schema.log",
        "ameide_redis.log",
        "ameide_kafka.log",
        "ameide_data-plane-smoke.log",
        "ameide_data-plane-smoke.redis-ping.log",
        "ameide_data-plane-smoke.kafka-topics.log",
    }
    assert len((directory / "events.jsonl").read_text().splitlines()) == len(script)
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["result"] == "failed"
    logs = [item["log"] for item in (*summary["releases"], *summary["tests"])]
    assert all((directory / log).is_file() for log in logs)
    assert (directory / "ameide_clickhouse.log").read_text().splitlines() == [
        "00:00:01.700 start    install (layer 40-data-plane)",
        "00:00:02.400 waiting  for ClickHouseInstallation/clickhouse: Creating",
        "00:00:03.000 stderr   level=INFO msg=waiting",
        "00:00:09.000 contract ClickHouseInstallation/clickhouse {.status.status} = Completed: passed",
        "00:00:09.000 end      installed after 7.3s",
    ]
    assert len((directory / "ameide_data-plane-smoke.kafka-topics.log").read_text().splitlines()) == 49


def test_what_nothing_was_done_to_leaves_no_log(tmp_path: Path) -> None:
    play(SCENARIOS["unchanged"](), RunFiles(tmp_path / "run", unexpected))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "events.jsonl",
        "summary.json",
        "ameide_kafka.log",  # its contract was looked at
    }


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    for at in (0, 5):
        directory = run_directory(tmp_path, "up", START + at)
        RunFiles(directory, unexpected).close()
        assert (directory.parent / "latest").resolve() == directory


def test_the_events_are_there_while_the_run_goes_on(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / "run", unexpected)
    script = SCENARIOS["green"]()
    for event, at in script[:5]:
        files.emit(event, START + at)
    assert len((tmp_path / "run" / "events.jsonl").read_text().splitlines()) == 5
    files.close()


def test_only_the_newest_runs_remain(tmp_path: Path) -> None:
    made = [run_directory(tmp_path, "up", START + at) for at in range(6)]
    runs = made[0].parent
    (runs / "notes").mkdir()
    assert prune(runs, keep=3, never=made[0]) == tuple(made[1:3])
    assert {path.name for path in runs.iterdir()} == {path.name for path in (made[0], *made[3:], runs / "notes")}


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / ".devtools").write_text("a file")
    with pytest.raises(EnvironmentFault) as caught:
        run_directory(tmp_path, "up", START)
    assert str(tmp_path / ".devtools" / "runs") in caught.value.message
    assert caught.value.exit_code is ExitCode.ENVIRONMENT


def test_files_that_cannot_be_made_are_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(EnvironmentFault):
        RunFiles(tmp_path / "run", unexpected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to stand for a full disk")
def test_a_full_disk_is_reported_once_and_the_run_continues(tmp_path: Path) -> None:
    directory, warnings = tmp_path / "run", list[str]()
    directory.mkdir()
    (directory / "events.jsonl").symlink_to("/dev/full")
    (directory / "ameide_redis.log").symlink_to("/dev/full")
    play(SCENARIOS["green"](), RunFiles(directory, warnings.append))
    assert len(warnings) == 1
    assert "No space left on device; the run continues" in warnings[0]
    assert json.loads((directory / "summary.json").read_text())["result"] == "passed"
    assert (directory / "ameide_kafka.log").is_file()


def test_a_directory_that_vanishes_is_reported_once(tmp_path: Path) -> None:
    directory, warnings = tmp_path / "runs" / "run", list[str]()
    files = RunFiles(directory, warnings.append)
    (directory / "events.jsonl").unlink()
    directory.rmdir()
    play(SCENARIOS["green"](), files)
    assert len(warnings) == 1
