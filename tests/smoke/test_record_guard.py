"""The record of a release survives a run that is cancelled while `helm test` rewrites it."""

from __future__ import annotations

import pytest

from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from devtools.smoke.record_guard import RecordGuard
from tests.kits.run import Bench, config_map, plan, step

pytestmark = pytest.mark.cluster


def test_a_record_is_restored_after_a_cancel(bench: Bench) -> None:
    release = bench.release(bench.chart("smoke", config_map("x")))
    bench.run(plan(step(release)))
    cancel = Cancel()
    guard = RecordGuard(Kube(bench.cluster.kubeconfig, bench.cluster.context, cancel), release.id)
    path = f"/api/v1/namespaces/{bench.namespace}/secrets/sh.helm.release.v1.{release.name}.v1"
    record = bench.kube.get(path)
    assert record is not None
    bench.kube.merge(path, {"data": {"release": "dHJ1bmNhdGVk"}})
    cancel.set("stopped")
    guard.restore_after_cancel()
    restored = bench.kube.get(path)
    assert restored is not None
    assert restored["data"] == record["data"]
