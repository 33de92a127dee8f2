"""Stand-ins: what the contract says, no more, in the same bytes each time; rendered and linted by the real helm."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.base.archives import packed
from devtools.charts.archive import inspect_archive
from devtools.charts.contract import ChartContract, Crd, CrdVersion, Service, ServicePort, Workload
from devtools.charts.lock import Lock, LockEntry, load_lock
from devtools.charts.standin import FORM, LABEL, StandIns, chart_files, version_of
from devtools.clusters.provider import Cluster
from devtools.errors import EnvironmentFault, Location
from devtools.process.runner import Cancel, Command, Result, SubprocessRunner

ROOT = Path(__file__).resolve().parents[2]
WIDGETS = Crd(
    group="acme.io",
    kind="Widget",
    plural="widgets",
    scope="Namespaced",
    versions=(CrdVersion(name="v1", storage=True), CrdVersion(name="v1beta1", served=False)),
    status=False,
)
CONTRACT = ChartContract(
    crds=(WIDGETS,),
    workloads=(
        Workload(kind="Deployment", name="{fullname}"),
        Workload(kind="StatefulSet", name="{fullname}-store"),
        Workload(kind="DaemonSet", name="{release}-agent"),
    ),
    services=(
        Service(name="{fullname}", ports=(ServicePort(port=80),)),
        Service(
            name="{fullname}-store-peers",
            ports=(ServicePort(port=1, name="a"), ServicePort(port=2, name="b")),
            headless=True,
        ),
        Service(name="fixed", ports=(ServicePort(port=53, name="dns", protocol="UDP"),)),
    ),
)


def entry(contract: ChartContract = CONTRACT, version: str = "1.2.3") -> LockEntry:
    return LockEntry(
        publisher="acme",
        name="web",
        version=version,
        sha256="",
        where=Location(file=Path("lock.yaml")),
        contract=contract,
    )


@pytest.fixture(scope="session")
def helm(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    home = tmp_path_factory.mktemp("helm")
    runner = SubprocessRunner({"PATH": os.environ["PATH"], "HOME": str(home)}, Cancel())

    def run(*words: str | Path) -> Result:
        return runner.run(Command(argv=(str(tool("helm")), *map(str, words)), timeout=300))

    return run


def rendered(result: Result) -> dict[str, dict[str, Any]]:
    """Objects by `Kind/name`."""
    assert result.ok, result.stderr
    items = [item for item in yaml.load_all(result.stdout, yaml.CSafeLoader) if item]
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in items}


def test_it_brings_what_the_contract_says(tmp_path: Path, helm: Callable[..., Result]) -> None:
    path = StandIns(tmp_path)(entry())
    found = rendered(helm("template", "my", path, "--include-crds"))
    assert sorted(found) == [
        "CustomResourceDefinition/widgets.acme.io",
        "DaemonSet/my-agent",
        "Deployment/my-web",
        "Service/fixed",
        "Service/my-web",
        "Service/my-web-store-peers",
        "StatefulSet/my-web-store",
    ]
    assert all(item["metadata"]["labels"][LABEL] == "true" for item in found.values())
    crd = found["CustomResourceDefinition/widgets.acme.io"]["spec"]
    versions = [(item["name"], item["served"], item["storage"], "subresources" in item) for item in crd["versions"]]
    assert versions == [("v1", True, True, False), ("v1beta1", False, False, False)]
    peers = found["Service/my-web-store-peers"]["spec"]
    assert (peers["clusterIP"], [port["port"] for port in peers["ports"]]) == ("None", [1, 2])
    store = found["StatefulSet/my-web-store"]["spec"]
    assert (store["serviceName"], store["selector"]["matchLabels"]) == ("my-web-store-peers", peers["selector"])
    assert found["Service/my-web"]["spec"]["selector"] == found["Deployment/my-web"]["spec"]["selector"]["matchLabels"]
    assert found["Service/fixed"]["spec"]["ports"] == [{"name": "dns", "port": 53, "protocol": "UDP"}]


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("my", [], "my-web"),
        ("web", [], "web"),
        ("my-web-two", [], "my-web-two"),
        ("my", ["--set", "nameOverride=x"], "my-x"),
        ("my", ["--set", "fullnameOverride=x"], "x"),
    ],
)
def test_names_follow_the_release_as_most_charts_have_it(
    tmp_path: Path, helm: Callable[..., Result], release: str, values: list[str], name: str
) -> None:
    contract = ChartContract(workloads=(Workload(kind="Deployment", name="{fullname}-a"),))
    found = rendered(helm("template", release, StandIns(tmp_path)(entry(contract)), *values))
    assert list(found) == [f"Deployment/{name}-a"]


def test_crds_in_templates_stay_and_can_be_switched_off(tmp_path: Path, helm: Callable[..., Result]) -> None:
    contract = ChartContract(crds=(WIDGETS,), crds_in="templates", crds_keep=True, crds_switch="crds.enabled")
    path = StandIns(tmp_path)(entry(contract))
    assert rendered(helm("template", "my", path)) == {}
    (crd,) = rendered(helm("template", "my", path, "--set", "crds.enabled=true")).values()
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert rendered(helm("template", "my", path, "--set", "crds.enabled=false")) == {}


def test_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    one, two = StandIns(tmp_path / "one")(entry()), StandIns(tmp_path / "two")(entry())
    assert one.read_bytes() == two.read_bytes()
    assert one.name == two.name
    os.utime(one, (1, 1))
    assert StandIns(tmp_path / "one")(entry()).stat().st_mtime == 1, "found, not made again"
    assert [path.name for path in one.parent.iterdir()] == [one.name]


def test_another_contract_is_another_archive(tmp_path: Path) -> None:
    stand_ins = StandIns(tmp_path)
    others = {stand_ins(entry()), stand_ins(entry(ChartContract())), stand_ins(entry(version="1.2.4"))}
    assert len(others) == 3


def test_form_is_raised_with_what_is_made() -> None:
    """Made ones are found again by their form and contract: other files of the same contract need another form."""
    files = chart_files(entry())
    digest = hashlib.sha256(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()
    assert (FORM, digest[:16]) == (1, "662c8519f956e297"), "raise FORM, and put the new digest here"


def test_it_passes_as_a_chart(tmp_path: Path, helm: Callable[..., Result]) -> None:
    made = entry(version="v1.2.3")
    path = StandIns(tmp_path)(made)
    assert version_of(made) == "v1.2.3+standin"
    inspect_archive(path, entry(version="v1.2.3+standin"))
    assert helm("lint", "--quiet", path).ok
    assert helm("lint", "--strict", "--quiet", StandIns(tmp_path)(entry())).ok, "its only warning is about the v"
    assert version_of(entry(version="1.0.0+abc")) == "1.0.0+abc.standin"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot write the stand-in for chart 'acme/web'"):
        StandIns(tmp_path / "file" / "cache")(entry())


def test_packing_ignores_order() -> None:
    assert packed({"w/a": b"1", "w/b": b"2"}) == packed({"w/b": b"2", "w/a": b"1"})


LOCK: Lock = load_lock(ROOT / "charts", ROOT)


@pytest.mark.parametrize("name", sorted(LOCK.entries))
def test_every_pinned_chart_has_a_stand_in_that_renders(name: str, tmp_path: Path, helm: Callable[..., Result]) -> None:
    contract = LOCK.entries[name].contract
    switch = ["--set", f"{contract.crds_switch}=true"] if contract.crds_switch else []
    path = StandIns(tmp_path)(LOCK.entries[name])
    found = rendered(helm("template", "my", path, "--include-crds", *switch))
    assert len(found) == len(contract.crds) + len(contract.workloads) + len(contract.services)
    assert found, "a stand-in that brings nothing stands in for nothing"


@pytest.mark.cluster
def test_the_api_server_takes_all_of_it(
    cluster: Cluster, tool: Callable[[str], Path], tmp_path: Path, helm: Callable[..., Result]
) -> None:
    stand_ins = StandIns(tmp_path)
    objects = []
    for locked in LOCK.entries.values():
        switch = ["--set", f"{locked.contract.crds_switch}=true"] if locked.contract.crds_switch else []
        objects.append(helm("template", "my", stand_ins(locked), "--include-crds", *switch).stdout)
    kubectl = (str(tool("kubectl")), "--kubeconfig", str(cluster.kubeconfig))
    words = (*kubectl, "apply", "--server-side", "--dry-run=server", "--filename=-", "--output=name")
    runner = SubprocessRunner({"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, Cancel())
    result = runner.run(Command(argv=words, stdin="\n---\n".join(objects).encode(), timeout=300))
    assert result.ok, result.stderr
    contracts = [locked.contract for locked in LOCK.entries.values()]
    assert len(result.stdout.splitlines()) == sum(len(c.crds) + len(c.workloads) + len(c.services) for c in contracts)
