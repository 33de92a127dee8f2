"""How drift is looked for on a real API server: what it costs, and what it makes of what cannot be had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from devtools.drift.comparison import find_drift
from devtools.errors import Interrupted
from devtools.kube.client import Kube
from devtools.kube.wire import Request
from devtools.model import Ignore, ObjectRef
from devtools.process.runner import Cancel
from devtools.releases.facts import record_path
from tests.kits.run import Bench, config_map, deployment, plan, step
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster


class Counting(Kube):
    """The real client, remembering what it was asked."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.cluster.kubeconfig, bench.cluster.context, Cancel())
        self.asked: list[str] = []

    def _json(self, request: Request) -> dict[str, Any]:
        self.asked.append(f"{request.method} {request.path}")
        return super()._json(request)


def crd(bench: Bench) -> dict[str, Any]:
    group = f"{bench.namespace}.example.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    meta = {"name": f"things.{group}"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta, "spec": spec}


def test_everything_is_asked_once_and_every_object_compared(bench: Bench) -> None:
    many = [deployment(f"web-{number}") for number in range(5)]
    app = bench.release(bench.chart("app", *many, config_map("conf", a="1")), wait=False)
    other = bench.release(bench.chart("other", deployment("other"), config_map("more", a="1")), wait=False)
    absent = bench.release(bench.chart("absent", config_map("absent")))
    assert bench.run(plan(step(app), step(other))).code == 0
    kube = Counting(bench)
    found = find_drift(kube, [absent, other, app], Cancel(), lambda _: None)
    assert [(item.release.name, item.status, item.objects) for item in found] == [
        ("absent", "absent", 0),
        ("other", "deployed", 2),
        ("app", "deployed", 6),
    ]
    assert not any(item.drifts for item in found)
    assert len(set(kube.asked)) == len(kube.asked), sorted(kube.asked)
    patched = [path for path in kube.asked if path.startswith("PATCH ")]
    assert len(patched) == 8
    got = [path for path in kube.asked if path.startswith("GET ") and path.count("/deployments")]
    assert got == ["GET /apis/apps/v1/deployments"]  # five of a kind and more are one list


def test_an_unreadable_record_is_named_and_the_rest_compared(bench: Bench) -> None:
    bad, good = (bench.release(bench.chart(name, config_map(name, a="1"))) for name in ("bad", "good"))
    assert bench.run(plan(step(bad), step(good))).code == 0
    bench.kube.merge(record_path(bad.id, 1), {"data": {"release": "Z2FyYmFnZQ=="}})
    unread, other = find_drift(bench.kube, [bad, good], Cancel(), lambda _: None)
    assert (unread.basis, unread.reason) == (None, "revision 1: its Helm record cannot be read")
    assert not unread.settled
    assert (other.settled, other.objects) == (True, 1)


def test_a_removed_kind_and_an_interrupt(bench: Bench) -> None:
    kind = crd(bench)
    bench.kube.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", kind)
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind['metadata']['name']}"
    version = f"{kind['spec']['group']}/v1"
    thing = {"apiVersion": version, "kind": "Thing", "metadata": {"name": "one"}, "spec": {"a": 1}}
    app = bench.release(bench.chart("app", thing))
    try:
        for _ in range(50):
            if bench.run(plan(step(app))).code == 0:
                break
        (found,) = find_drift(bench.kube, [app], Cancel(), lambda _: None)
        assert (found.objects, found.drifts) == (1, ())
    finally:
        bench.kube.delete(path)
    while bench.kube.get(path):
        pass
    (found,) = find_drift(bench.kube, [app], Cancel(), lambda _: None)
    (drift,) = found.drifts
    assert (drift.ref, drift.state) == (ObjectRef(version, "Thing", drift.ref.namespace, "one"), "missing")
    enough = Cancel()
    enough.set("interrupted by the user")
    with pytest.raises(Interrupted, match="interrupted by the user"):
        find_drift(bench.kube, [app], enough, lambda _: None)


def test_an_ignored_field_is_no_drift_and_the_others_are(bench: Bench) -> None:
    app = bench.release(bench.chart("app", config_map("conf", a="1", b="1")))
    assert bench.run(plan(step(app))).code == 0
    path = f"/api/v1/namespaces/{bench.namespace}/configmaps/conf"
    bench.kube.merge(path, {"data": {"a": "2", "b": "2"}})
    ignored = Ignore(kind="ConfigMap", paths=("/data/a",))
    (found,) = find_drift(bench.kube, [replace(app, ignore=(ignored,))], Cancel(), lambda _: None)
    assert [field.change.path for drift in found.drifts for field in drift.fields] == [".data.b"]
    both = replace(ignored, paths=("/data",))
    (found,) = find_drift(bench.kube, [replace(app, ignore=(both,))], Cancel(), lambda _: None)
    assert found.settled


def test_the_crds_of_a_chart_are_compared_with_those_deployed(bench: Bench) -> None:
    """Changed by hand, or gone: helm has them in its record, among the chart's files."""
    app, other = (bench.release(bench.chart(name, config_map(name, a="1"))) for name in ("app", "other"))
    kind = crd(bench)
    for release in (app, other):
        (release.chart.path / "crds").mkdir()
        (release.chart.path / "crds/thing.yaml").write_text(yaml.safe_dump({**kind, "status": {"storedVersions": []}}))
    names = {**kind["spec"]["names"], "shortNames": ["th"]}
    later = {**kind, "spec": {**kind["spec"], "names": names}}
    (other.chart.path / "crds/thing.yaml").write_text(yaml.safe_dump(later))
    assert bench.run(plan(step(app), step(other, app))).code == 0
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind['metadata']['name']}"

    def drifts() -> list[list[tuple[str, str]]]:
        found = find_drift(bench.kube, [app, other], Cancel(), lambda _: None)
        return [[(str(drift.ref), drift.state) for drift in item.drifts] for item in found]

    assert drifts() == [[], []]  # both declare it: that of the later release is on the cluster
    bench.kube.merge(path, {"spec": {"names": {"singular": "by-hand"}}})
    name = f"CustomResourceDefinition/{kind['metadata']['name']}"
    assert drifts() == [[(name, "changed")], [(name, "changed")]]
    bench.kube.delete(path)
    eventually(lambda: bench.kube.get(path) is None)
    assert drifts() == [[(name, "missing")], [(name, "missing")]]
