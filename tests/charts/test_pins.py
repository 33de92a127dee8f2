"""The lock against what is recorded of the real charts, and the record against their archives where they are here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.app.environment import App
from devtools.charts.lock import LockEntry
from devtools.project import Project
from tests.kits.real_charts import PINNED, VENDORED, each_vendored, rendered, switches_of
from tests.platform.support import Tool

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
FACTS: dict[str, dict[str, Any]] = {
    f"{item['publisher']}/{item['name']}": item
    for item in yaml.load(Path(__file__).with_name("facts.yaml").read_text(), yaml.CSafeLoader)["charts"]
}


@pytest.fixture(params=sorted(PINNED))
def entry(request: pytest.FixtureRequest) -> LockEntry:
    return PINNED[request.param]


@pytest.fixture
def fact(entry: LockEntry) -> dict[str, Any]:
    return FACTS[entry.chart]


def crd_facts(fact: dict[str, Any]) -> dict[str, Any]:
    """By name: kind, scope, whether there is a status, and the versions with whether they are served and stored."""

    def versions(item: dict[str, Any]) -> set[tuple[str, bool, bool]]:
        served = {(name, True, name == item["storage"]) for name in item["served"]}
        return served | {(name, False, name == item["storage"]) for name in item.get("not_served", ())}

    return {
        f"{item['plural']}.{item['group']}": (item["kind"], item["scope"], item.get("status", False), versions(item))
        for item in fact.get("crds", ())
    }


def service_facts(fact: dict[str, Any]) -> set[tuple[str, bool, tuple[tuple[str, int, str], ...]]]:
    return {
        (
            item["name"],
            bool(item.get("headless")),
            tuple((port.get("name", ""), port["port"], port.get("protocol", "TCP")) for port in item["ports"]),
        )
        for item in fact.get("services", ())
    }


def test_every_pin_is_of_use(app: App) -> None:
    used = {release.chart.name for release in Project(app).stack().releases()}
    assert set(PINNED) - used == set()


def test_the_source(entry: LockEntry, fact: dict[str, Any]) -> None:
    assert (entry.version, entry.license) == (fact["version"], fact["license"])
    assert (entry.repository or entry.oci) in {fact.get("repo_url"), fact.get("oci")}


def test_the_crds(entry: LockEntry, fact: dict[str, Any]) -> None:
    ours = {
        crd.name: (crd.kind, crd.scope, crd.status, {(item.name, item.served, item.storage) for item in crd.versions})
        for crd in entry.contract.crds
    }
    assert ours == crd_facts(fact)


def test_where_the_crds_are(entry: LockEntry, fact: dict[str, Any]) -> None:
    contract = entry.contract
    if not contract.crds:
        return
    assert contract.crds_in == fact["crds_in"]
    if contract.crds_in == "templates":
        assert (contract.crds_keep, contract.crds_switch) == (fact["crds_keep"], fact.get("crd_switch", ""))


def test_the_workloads_and_services(entry: LockEntry, fact: dict[str, Any]) -> None:
    """The facts are of a release called as its chart, for which both placeholders mean that name."""

    def named(name: str) -> str:
        return name.replace("{release}", entry.name).replace("{fullname}", entry.name)

    workloads = {(item.kind, named(item.name)) for item in entry.contract.workloads}
    assert workloads == {(item["kind"], item["name"]) for item in fact.get("workloads", ())}
    services = {
        (named(item.name), item.headless, tuple((port.name, port.port, port.protocol) for port in item.ports))
        for item in entry.contract.services
    }
    assert services == service_facts(fact)


def test_names_that_ignore_the_release_hold_no_placeholder(entry: LockEntry, fact: dict[str, Any]) -> None:
    fixed = set(fact.get("fixed_names") or ())
    items: list[tuple[str, str]] = [(item.kind, item.name) for item in entry.contract.workloads]
    items += [("Service", item.name) for item in entry.contract.services]
    for kind, name in items:
        plain = name.replace("{release}", entry.name).replace("{fullname}", entry.name)
        assert (plain == name) == (f"{kind}/{plain}" in fixed), f"{kind}/{plain}"


@pytest.mark.parametrize("name", each_vendored())
def test_the_record_is_what_the_archive_renders(name: str, tool: Tool) -> None:
    fact, entry = FACTS[name], PINNED[name]
    values = dict(fact.get("minimal_values") or {})
    items = rendered(tool("helm"), VENDORED[name], entry.name, values=values, switches=switches_of(entry))
    crds = [item for item in items if item["kind"] == "CustomResourceDefinition"]
    found = {
        item["metadata"]["name"]: (
            item["spec"]["names"]["kind"],
            item["spec"]["scope"],
            any("status" in (version.get("subresources") or {}) for version in item["spec"]["versions"]),
            {(version["name"], version["served"], version["storage"]) for version in item["spec"]["versions"]},
        )
        for item in crds
    }
    assert found == crd_facts(fact)
    lasting = [item for item in items if "helm.sh/hook" not in (item["metadata"].get("annotations") or {})]
    workloads = {(item["kind"], item["metadata"]["name"]) for item in lasting if item["kind"] in WORKLOADS}
    assert workloads == {(item["kind"], item["name"]) for item in fact.get("workloads", ())}
    services = {
        (
            item["metadata"]["name"],
            item["spec"].get("clusterIP") == "None",
            tuple((p.get("name", ""), p["port"], p.get("protocol", "TCP")) for p in item["spec"]["ports"]),
        )
        for item in lasting
        if item["kind"] == "Service"
    }
    assert services == service_facts(fact)
