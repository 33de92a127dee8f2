"""What is said while a release is waited for: the cause, where one is known."""

from __future__ import annotations

from typing import Any

import pytest

from devtools.events import StepWaiting
from devtools.model import Action
from tests.faults.workloads import container, pod, workload
from tests.kits.run import Bench, plan, step


@pytest.mark.cluster
@pytest.mark.real
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (
            {"image": "localhost/none:1", "imagePullPolicy": "Never"},
            "ErrImageNeverPull: Container image",
        ),
        (
            {"envFrom": [{"secretRef": {"name": "absent"}}]},
            'CreateContainerConfigError: secret "absent" not found',
        ),
    ],
    ids=["image", "secret"],
)
def test_new_pods_that_cannot_start_are_blamed(bench: Bench, change: dict[str, Any], cause: str) -> None:
    spec = container(bench.cluster)
    web = bench.release(bench.chart("web", workload("web", pod(bench.cluster, spec))))
    bench.run(plan(step(web)))
    bench.chart("web", workload("web", pod(bench.cluster, {**spec, **change})))
    ran = bench.run(plan(step(web, action=Action.UPGRADE, digest="e" * 40, revision=1)))
    waits = [event.what for event in ran.all(StepWaiting) if event.what.startswith("Deployment/web ")]
    blames = [what for what in waits if cause in what]
    assert blames, waits
    assert all("old pods to go" not in what for what in blames)
    assert waits[-1] == blames[-1], "while the cause lasts, it is what is said"
