"""This repository's lock against what is known of the real charts: pins, names, CRDs, workloads, Services."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.app.environment import App
from devtools.charts.lock import LockEntry, load_lock
from devtools.project import Project

ROOT = Path(__file__).resolve().parents[2]
LOCK = load_lock(ROOT / "charts", ROOT)
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


@pytest.fixture(scope="session")
def facts() -> dict[tuple[str, str, str], dict[str, Any]]:
    """Facts read from the charts' sources, by publisher, name and version."""
    path = Path(os.environ.get("DEVTOOLS_CHART_FACTS") or ROOT.parent / "shared" / "third-party-charts.yaml")
    if not path.exists():
        pytest.skip(f"no facts about the real charts: {path.name} is not beside this repository")
    charts = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["charts"]
    return {(item["publisher"], item["name"], item["version"]): item for item in charts}


@pytest.fixture(params=sorted(LOCK.entries))
def entry(request: pytest.FixtureRequest) -> LockEntry:
    return LOCK.entries[request.param]


@pytest.fixture
def fact(entry: LockEntry, facts: dict[tuple[str, str, str], dict[str, Any]]) -> dict[str, Any]:
    return facts[entry.publisher, entry.name, entry.version]


def test_every_pin_is_of_use(app: App) -> None:
    used = {release.chart.name for release in Project(app).stack().releases()}
    assert set(LOCK.entries) - used == set()


def test_the_source(entry: LockEntry, fact: dict[str, Any]) -> None:
    assert entry.license == fact["license"]
    assert (entry.repository or entry.oci) in {fact["repo_url"], fact["oci"]}
    assert not fact.get("deprecated")
    assert "fails" not in fact["live_install"]["result"]


def test_the_crds(entry: LockEntry, fact: dict[str, Any]) -> None:
    def versions(item: dict[str, Any]) -> set[tuple[str, bool, bool]]:
        served = {(name, True, name == item["storage"]) for name in item["served"]}
        return served | {(name, False, name == item["storage"]) for name in item.get("not_served", ())}

    known = {
        f"{item['plural']}.{item['group']}": (
            item["kind"],
            item["scope"],
            bool(item.get("status_subresource")),
            versions(item),
        )
        for item in fact.get("crds", ())
    }
    ours = {
        crd.name: (crd.kind, crd.scope, crd.status, {(item.name, item.served, item.storage) for item in crd.versions})
        for crd in entry.contract.crds
    }
    assert ours == known


def test_where_the_crds_are(entry: LockEntry, fact: dict[str, Any]) -> None:
    contract = entry.contract
    if not contract.crds:
        return
    assert contract.crds_in == ("crds" if fact["crd_location"].startswith("crds/") else "templates")
    if contract.crds_in == "templates":
        assert contract.crds_keep == ("keep" in fact["crds_on_uninstall"])
        assert contract.crds_switch == fact.get("crd_switch", "").removesuffix("=true")


def test_the_workloads_and_services(entry: LockEntry, fact: dict[str, Any]) -> None:
    """The facts are of a release called as its chart, for which both placeholders mean that name."""

    def named(name: str) -> str:
        return name.replace("{release}", entry.name).replace("{fullname}", entry.name)

    workloads = {(item.kind, named(item.name)) for item in entry.contract.workloads}
    assert workloads == {
        (item["kind"], item["name"])
        for item in fact.get("workloads", ())
        if item["kind"] in WORKLOADS and not item.get("hook")
    }
    services = {
        (named(item.name), item.headless, tuple((port.name, port.port, port.protocol) for port in item.ports))
        for item in entry.contract.services
    }
    assert services == {
        (
            item["name"],
            bool(item.get("headless")),
            tuple((port.get("name", ""), port["port"], port.get("protocol", "TCP")) for port in item["ports"]),
        )
        for item in fact.get("services", ())
    }


def test_names_that_ignore_the_release_hold_no_placeholder(entry: LockEntry, fact: dict[str, Any]) -> None:
    fixed = set(fact.get("names_independent_of_release_name") or ())
    items: list[tuple[str, str]] = [(item.kind, item.name) for item in entry.contract.workloads]
    items += [("Service", item.name) for item in entry.contract.services]
    for kind, name in items:
        plain = name.replace("{release}", entry.name).replace("{fullname}", entry.name)
        assert (plain == name) == (f"{kind}/{plain}" in fixed), f"{kind}/{plain}"
