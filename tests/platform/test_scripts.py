"""Smoke scripts: the words they use, by a real shell; and that all of ours parse."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.platform.support import CHARTS, ENVIRONMENTS, HERE, Declared, load, releases, run

CASES = load(HERE / "cases" / "prelude.yaml")
PRELUDE = (CHARTS / "helm-test-jobs" / "prelude.sh").read_text()
SMOKE = [release for environment in ENVIRONMENTS for release in releases(environment) if release.smoke]


@pytest.fixture(scope="session")
def shell() -> list[str]:
    """busybox's sh, or the system's where there is no busybox."""
    busybox = shutil.which("busybox")
    return [busybox, "sh"] if busybox else ["sh"]


def jobs(release: Declared) -> list[dict[str, Any]]:
    return [job for file in release.overlays for job in load(file).get("jobs", [])]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_prelude(case: dict[str, Any], shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "prelude.sh").write_text(PRELUDE)
    script = tmp_path / "script.sh"
    script.write_text(f"set -eu\n. {tmp_path}/prelude.sh\n{case['script']}")
    env = {"HOME": str(tmp_path), "TEST_OPTIONAL": str(case.get("optional", False)).lower()}
    if "timeout" in case:
        env["TEST_TIMEOUT"] = str(case["timeout"])
    result = run([*shell, str(script)], env=env)
    assert result.returncode == case.get("exit", 0), result.stdout + result.stderr
    if "prints" in case:
        assert result.stdout == case["prints"]
    assert case.get("contains", "") in result.stdout + result.stderr


@pytest.mark.parametrize("release", SMOKE, ids=str)
def test_scripts_parse(release: Declared, shell: list[str], tmp_path: Path) -> None:
    assert jobs(release)
    for job in jobs(release):
        script = tmp_path / f"{job['name']}.sh"
        script.write_text(job["script"])
        result = run([*shell, "-n", script])
        assert result.ok, f"{job['name']}: {result.stderr}"


@pytest.mark.parametrize("release", SMOKE, ids=str)
def test_jobs_are_described_and_may_only_read(release: Declared) -> None:
    for job in jobs(release):
        assert job["description"]
        for rule in [*job.get("rules", []), *job.get("clusterRules", [])]:
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, job["name"]
            if "secrets" in rule["resources"]:
                assert rule["resourceNames"], job["name"]


def test_secrets_are_never_printed() -> None:
    for release in SMOKE:
        for job in jobs(release):
            for line in job["script"].splitlines():
                assert not re.search(r"secret/\S+ \.data", line) or "not_empty" in line, line
