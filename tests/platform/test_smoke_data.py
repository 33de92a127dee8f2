"""Secrets, operators and the data plane: smoke scripts on a healthy platform and on broken ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.platform.smoke import BROKEN, HEALTHY, OPERATED, check_broken, check_healthy, wait_until_healthy
from tests.platform.support import Kubectl

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def healthy(slice_of_local: Kubectl) -> Kubectl:
    wait_until_healthy(slice_of_local)
    return slice_of_local


@pytest.mark.parametrize(("release", "job"), [pair for pair in HEALTHY if pair[0] in OPERATED])
def test_passes(release: str, job: str, healthy: Kubectl, tmp_path: Path) -> None:
    check_healthy(healthy, release, job, tmp_path)


@pytest.mark.parametrize(
    "case", [case for case in BROKEN if case["release"] in OPERATED], ids=lambda case: f"{case['job']}: {case['name']}"
)
def test_fails(case: dict[str, Any], healthy: Kubectl, tmp_path: Path) -> None:
    check_broken(healthy, case, tmp_path)
