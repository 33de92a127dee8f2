"""The control plane, identity and observability: smoke scripts on a healthy platform and on broken ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.platform.broken_platform import broken_platform
from tests.platform.smoke import BROKEN, HEALTHY, OPERATED, broken, check_broken, check_healthy, wait_until_healthy
from tests.platform.support import Kubectl, run

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def healthy(slice_of_local: Kubectl) -> Kubectl:
    wait_until_healthy(slice_of_local)
    return slice_of_local


@pytest.mark.parametrize(("release", "job"), [pair for pair in HEALTHY if pair[0] not in OPERATED])
def test_passes(release: str, job: str, healthy: Kubectl, tmp_path: Path) -> None:
    check_healthy(healthy, release, job, tmp_path)


@pytest.mark.parametrize(
    "case",
    [case for case in BROKEN if case["release"] not in OPERATED],
    ids=lambda case: f"{case['job']}: {case['name']}",
)
def test_fails(case: dict[str, Any], healthy: Kubectl, tmp_path: Path) -> None:
    check_broken(healthy, case, tmp_path)


def test_every_job_has_a_broken_case() -> None:
    assert {(case["release"], case["job"]) for case in BROKEN} == set(HEALTHY)


SCREEN = 24  # lines
REFUSED = [
    pytest.param(
        "22-control-plane",
        "gateway/ameide",
        "no-address",
        "Programmed",
        "contract Gateway/ameide Programmed: Programmed is False (Invalid: simulated failure: no-address)",
        id="Gateway",
    ),
    pytest.param(
        "24-auth",
        "cluster.postgresql.cnpg.io/postgres",
        "disk-lost",
        "Ready",
        "contract Cluster/postgres Ready: Ready is False (ClusterIsNotReady: simulated failure: disk-lost",
        id="Cluster",
    ),
]


@pytest.mark.parametrize(("layer", "target", "fail", "condition", "says"), REFUSED)
def test_an_operators_refusal_is_quoted_on_the_first_screen(
    layer: str, target: str, fail: str, condition: str, says: str, healthy: Kubectl
) -> None:
    """Told to fail by its label; sooner than the contract's time is over, and long before the release's."""
    ask = ["get", target, "-o", f'jsonpath={{.status.conditions[?(@.type=="{condition}")].status}}']
    case = {
        "namespace": "ameide",
        "break": [["label", target, f"simulation.devtools.ameide.io/fail={fail}"]],
        "mend": [["label", target, "simulation.devtools.ameide.io/fail-"]],
        "until": {"ask": ask, "answer": "False"},
        "mended": {"ask": ask, "answer": "True"},
    }
    with broken(healthy, case):
        typed = run([sys.executable, "-m", "invoke", "layer", layer], env=broken_platform(), timeout=300)
    observed = (typed.stderr + typed.stdout).splitlines()
    assert typed.returncode == 1, "\n".join(observed)
    for screen in (
        observed[:SCREEN],
        observed[-SCREEN:],
    ):  # where it is begun to be read, and what stays before the prompt
        assert says in " ".join(" ".join(screen).split()), "\n".join(observed)
    assert f"Retry:  invoke layer {layer}" in typed.stdout
