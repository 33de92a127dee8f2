"""On a cluster that had a stand-in, the real chart's CRDs take over: no version is lost, no field is fought over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
import yaml

from devtools.charts.contract import ChartContract, Crd, CrdVersion, Service, ServicePort, Workload
from devtools.charts.crds import objects_in_crds
from devtools.charts.lock import LockEntry
from devtools.charts.standin import StandIns, crd_object
from devtools.errors import ExitCode
from devtools.events import Notice
from devtools.model import STAND_IN, Action, ChartRef
from devtools.releases.crds import CRDS
from tests.kits.real_charts import PINNED, VENDORED, each_vendored
from tests.kits.run import HERE, Bench, config_map, deployment, plan, step

REAL = {
    "strimzi/strimzi-kafka-operator": "strimzi.io",
    "altinity/altinity-clickhouse-operator": "altinity.com",
    "envoyproxy/gateway-helm": "envoyproxy.io",
}


@pytest.fixture
def domain(bench: Bench) -> Iterator[str]:
    """In place of the real domain of API groups: the cluster is shared. What is below it is removed."""
    name = f"d{uuid4().hex[:8]}.example.com"
    yield name
    for item in bench.kube.metadata(CRDS):
        if item["name"].endswith(f".{name}"):
            bench.kube.delete(f"{CRDS}/{item['name']}")


@pytest.mark.cluster
@pytest.mark.parametrize("name", each_vendored(REAL))
def test_from_the_stand_in_to_the_real_crds(bench: Bench, domain: str, name: str) -> None:
    entry, real_domain = PINNED[name], REAL[name]
    ours = tuple(crd for crd in entry.contract.crds if crd.group.endswith(real_domain))
    moved = tuple(replace(crd, group=crd.group.replace(real_domain, domain)) for crd in ours)
    made = StandIns(bench.root)(replace(entry, contract=replace(entry.contract, crds=moved, workloads=(), services=())))
    stand_in = bench.release(ChartRef(name=name, path=made, kind="stand-in", version="1.0.0"), name="op")
    assert bench.run(plan(step(stand_in))).code is ExitCode.OK
    chart = bench.chart("op", config_map("op"))
    (chart.path / "crds").mkdir()
    real = [item.data for item in objects_in_crds(VENDORED[name], {}) if real_domain in item.data["spec"]["group"]]
    (chart.path / "crds" / "all.yaml").write_text(yaml.safe_dump_all(real).replace(real_domain, domain))
    assert len(objects_in_crds(chart.path, {})) == len(moved)
    ran = bench.run(plan(step(bench.release(chart, name="op"), action=Action.UPGRADE, digest="e" * 40)))
    assert ran.code is ExitCode.OK, ran.events[-3:]
    assert ran.all(Notice) == [], "the stand-in had every version"
    for crd in moved:
        live = bench.kube.get(f"{CRDS}/{crd.name}")
        assert live is not None
        served = {item["name"]: (item["served"], item["storage"]) for item in live["spec"]["versions"]}
        assert served == {item.name: (item.served, item.storage) for item in crd.versions}
        schemas = [item["schema"]["openAPIV3Schema"]["properties"] for item in live["spec"]["versions"]]
        assert any(schema.get("spec", {}).get("properties") for schema in schemas), f"{crd.name} has its own schema now"


@pytest.mark.cluster
def test_the_real_chart_replaces_its_stand_in(bench: Bench, domain: str) -> None:
    """Selectors and headlessness cannot change in place; CRDs and objects of their kinds survive."""
    crd = Crd(
        group=domain,
        kind="Widget",
        plural="widgets",
        scope="Namespaced",
        versions=(CrdVersion(name="v1", storage=True),),
    )
    entry = LockEntry(
        publisher="acme",
        name="op",
        version="1.0.0",
        sha256="",
        contract=ChartContract(
            crds=(crd,),
            crds_in="templates",
            workloads=(Workload(kind="Deployment", name="op"),),
            services=(Service(name="op", headless=True, ports=(ServicePort(port=80),)),),
        ),
        where=HERE,
    )
    made = ChartRef(name="acme/op", path=StandIns(bench.root)(entry), kind="stand-in", version="1.0.0+standin")
    assert bench.run(plan(step(bench.release(made, name="op")))).code is ExitCode.OK
    widgets = f"/apis/{domain}/v1/namespaces/{bench.namespace}/widgets"
    widget = {"apiVersion": f"{domain}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
    bench.kube.apply(f"{widgets}/w", widget)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "op"}, "spec": {"ports": [{"port": 80}]}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    real_crd = crd_object(crd, keep=False)
    real_crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    chart = replace(bench.chart("op", deployment("op"), service, real_crd), kind="vendored")
    release = bench.release(chart, name="op")
    change = step(release, digest="e" * 40, recover=STAND_IN)
    ran = bench.run(plan(change))
    assert ran.code is ExitCode.OK, ran.events[-3:]
    assert (ran.before.releases[release.id].chart, ran.after.releases[release.id].chart) == ("stand-in", "vendored")
    assert ran.after.releases[release.id].revision == 1
    retained = bench.kube.get(f"{widgets}/w")
    assert retained is not None
    assert retained["spec"] == {"size": 1}
    live = bench.kube.get(f"{CRDS}/{crd.name}")
    assert live is not None
    assert live["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] == {
        "size": {"type": "integer"}
    }
    assert bench.run(plan(change)).code is ExitCode.OK, "the real release is not uninstalled again"
    assert bench.kube.get(f"{widgets}/w") is not None
