"""CRDs of `crds/` on a real API server: installed, upgraded, never taken away from stored objects."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
import yaml

from devtools.errors import ExitCode
from devtools.events import Bus, Event, Notice, Outcome, StepFinished, StepWaiting
from devtools.model import Action, ChartRef
from devtools.releases.crds import CRDS, Change, compare
from devtools.testing import RecordingSink
from tests.kits.run import Bench, Ran, config_map, plan, step

Version = tuple[str, bool, bool]  # name, served, storage
V1: Version = ("v1", True, True)
V1_BETA: Version = ("v1beta1", True, True)


def crd(group: str, *versions: Version, kind: str = "Widget", **schema: Any) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **schema}
    listed = [
        {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": anything}}
        for name, served, storage in versions
    ]
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": listed}
    metadata = {"name": f"{plural}.{group}", "creationTimestamp": None}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
        "status": {"conditions": [], "storedVersions": []},  # as old generators write it
    }


@pytest.fixture
def group(bench: Bench) -> Iterator[str]:
    """An API group of this test's own; its CRDs are removed."""
    name = f"g{uuid4().hex[:8]}.example.com"
    yield name
    for item in bench.kube.metadata(CRDS):
        if item["name"].endswith(f".{name}"):
            bench.kube.delete(f"{CRDS}/{item['name']}")


def with_crds(bench: Bench, *items: Mapping[str, Any]) -> ChartRef:
    """A chart with these in `crds/` and one ConfigMap."""
    ref = bench.chart("op", config_map("op"))
    (ref.path / "crds").mkdir(exist_ok=True)
    (ref.path / "crds" / "all.yaml").write_text(yaml.safe_dump_all([dict(item) for item in items]))
    return ref


def sync(bench: Bench, ref: ChartRef, action: Action = Action.INSTALL, **more: Any) -> Ran:
    return bench.run(plan(step(bench.release(ref, **more), action=action)))


def versions(bench: Bench, name: str) -> Sequence[str]:
    live = bench.kube.get(f"{CRDS}/{name}")
    assert live is not None
    return [item["name"] for item in live["spec"]["versions"]]


@pytest.mark.cluster
def test_crds_are_usable_before_the_release_is_installed(bench: Bench, group: str) -> None:
    ref = with_crds(bench, crd(group, V1))
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}}
    (ref.path / "templates" / "widget.yaml").write_text(yaml.safe_dump(widget))
    ran = sync(bench, ref)
    assert (ran.code, ran.one(StepFinished).outcome) == (ExitCode.OK, Outcome.INSTALLED)
    assert ran.all(Notice) == []
    live = bench.kube.get(f"{CRDS}/widgets.{group}")
    assert live is not None
    managers = {item["manager"] for item in live["metadata"]["managedFields"]}
    assert "devtools" in managers
    assert "helm" not in managers
    assert live["metadata"]["labels"] == {"devtools.ameide.io/stack": "test"}


@pytest.mark.cluster
def test_they_are_upgraded_and_new_versions_are_reported(bench: Bench, group: str) -> None:
    sync(bench, with_crds(bench, crd(group, V1_BETA)))
    both = crd(group, V1, ("v1beta1", True, False))
    ran = sync(bench, with_crds(bench, both), Action.UPGRADE)
    assert ran.code is ExitCode.OK
    summary = ran.one(Notice)
    assert (summary.level, summary.message) == ("info", f"CRDs upgraded: widgets.{group} gains v1")
    assert versions(bench, f"widgets.{group}") == ["v1", "v1beta1"]
    ran = sync(bench, with_crds(bench, crd(group, V1, ("v1beta1", False, False))), Action.UPGRADE)
    summary = ran.one(Notice)
    assert (summary.level, summary.message) == ("warning", f"CRDs upgraded: widgets.{group} loses v1beta1")
    assert sync(bench, ran_chart(bench), Action.UPGRADE).all(Notice) == []


def ran_chart(bench: Bench) -> ChartRef:
    """The chart as it lies there."""
    return ChartRef(name="platform/op", path=bench.root / "op", version="0.1.0")


@pytest.mark.cluster
def test_a_schema_is_upgraded_what_it_drops_goes_too(bench: Bench, group: str) -> None:
    """Also where Helm brought the CRD first, and so owns its fields."""
    old = crd(group, V1, properties={"spec": {"type": "object"}, "old": {"type": "string"}})
    bench.kube.create(CRDS, {**old, "status": {}})
    ran = sync(bench, with_crds(bench, crd(group, V1, properties={"spec": {"type": "string"}})))
    assert ran.code is ExitCode.OK
    live = bench.kube.get(f"{CRDS}/widgets.{group}")
    assert live is not None
    schema = live["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"] == {"spec": {"type": "string"}}


@pytest.mark.cluster
def test_dropping_a_stored_version_is_refused_before_any_apply(bench: Bench, group: str) -> None:
    sync(bench, with_crds(bench, crd(group, V1_BETA)))
    other = crd(group, V1, kind="Other")
    ran = sync(bench, with_crds(bench, other, crd(group, V1)), Action.UPGRADE)
    done = ran.one(StepFinished)
    assert (ran.code, done.outcome) == (ExitCode.FAILED, Outcome.FAILED)
    assert done.reason == f"CRD widgets.{group} would lose version v1beta1, in which objects may be stored"
    assert "status.storedVersions" in done.hint
    assert versions(bench, f"widgets.{group}") == ["v1beta1"]
    assert bench.kube.get(f"{CRDS}/others.{group}") is None
    mine = bench.id("op")
    assert ran.after.releases[mine] == ran.before.releases[mine]


@pytest.mark.cluster
def test_larger_than_any_annotation(bench: Bench, group: str) -> None:
    properties = {f"field{number}": {"type": "string", "description": "x" * 300} for number in range(1200)}
    ref = with_crds(bench, crd(group, V1, properties=properties))
    assert len((ref.path / "crds" / "all.yaml").read_bytes()) > 262_144
    assert sync(bench, ref).code is ExitCode.OK
    assert sync(bench, ref, Action.UPGRADE).code is ExitCode.OK


@pytest.mark.cluster
def test_a_refusal_is_quoted_from_the_api_server(bench: Bench, group: str) -> None:
    wrong = crd(group, V1)
    wrong["spec"]["scope"] = "Nowhere"
    done = sync(bench, with_crds(bench, wrong)).one(StepFinished)
    assert done.reason.startswith(f"CustomResourceDefinition widgets.{group} was refused: ")
    assert 'Unsupported value: "Nowhere"' in done.reason
    assert done.hint == "it is in crds/all.yaml of the chart"


@pytest.mark.cluster
def test_names_that_another_crd_has(bench: Bench, group: str) -> None:
    sync(bench, with_crds(bench, crd(group, V1)))
    clash = crd(group, V1)
    clash["metadata"]["name"] = f"gadgets.{group}"
    clash["spec"]["names"] |= {"plural": "gadgets"}
    done = sync(bench, with_crds(bench, clash), Action.UPGRADE).one(StepFinished)
    assert done.reason == f'CRD gadgets.{group} cannot be used: "WidgetList" is already in use'


@pytest.mark.cluster
def test_one_that_is_being_deleted_is_waited_for(bench: Bench, group: str) -> None:
    ref = with_crds(bench, crd(group, V1))
    sync(bench, ref)
    path, kube = f"{CRDS}/widgets.{group}", bench.kube
    kube.merge(path, {"metadata": {"finalizers": ["example.com/held"]}})
    kube.delete(path)
    late = sync(bench, ref, Action.UPGRADE, timeout=1.0).one(StepFinished)
    assert late.reason == f"timed out waiting for CustomResourceDefinition/widgets.{group} (being deleted)"

    awaited = f"CustomResourceDefinition/widgets.{group} (being deleted)"

    class Releasing(RecordingSink):
        """Lets go of it when somebody waits for that."""

        def emit(self, event: Event, at: float) -> None:
            super().emit(event, at)
            if isinstance(event, StepWaiting) and event.what == awaited:
                live = kube.get(path)
                assert live is not None
                retained = [name for name in live["metadata"]["finalizers"] if name != "example.com/held"]
                kube.merge(path, {"metadata": {"finalizers": retained}})

    made = plan(step(bench.release(ref), action=Action.UPGRADE))
    assert bench.run(made, bus=Bus((Releasing(),), time.time)).code is ExitCode.OK
    assert versions(bench, f"widgets.{group}") == ["v1"]


@pytest.mark.cluster
def test_other_objects_of_crds_come_after_the_kinds(bench: Bench, group: str) -> None:
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}}
    assert sync(bench, with_crds(bench, widget, crd(group, V1))).code is ExitCode.OK
    assert bench.kube.get(f"/apis/{group}/v1/namespaces/{bench.namespace}/widgets/w")
    stranger = {"apiVersion": f"{group}/v9", "kind": "Stranger", "metadata": {"name": "s"}}
    done = sync(bench, with_crds(bench, stranger), Action.UPGRADE).one(StepFinished)
    assert done.reason == "Stranger s in crds/all.yaml of the chart: the API server has no such kind"


@pytest.mark.parametrize(
    ("live", "wanted", "stored", "change"),
    [
        ([V1], [V1], ["v1"], Change(name="widgets.g")),
        ([V1_BETA], [V1, ("v1beta1", True, False)], ["v1beta1"], Change(name="widgets.g", added=("v1",))),
        ([("v1", False, False), V1_BETA], [V1, V1_BETA], [], Change(name="widgets.g", added=("v1",))),
        ([V1, V1_BETA], [V1], ["v1"], Change(name="widgets.g", dropped=("v1beta1",))),
        ([V1, V1_BETA], [V1, ("v1beta1", False, False)], [], Change(name="widgets.g", dropped=("v1beta1",))),
        ([V1_BETA], [V1], ["v1beta1"], Change(
            name="widgets.g", added=("v1",), dropped=("v1beta1",), stored=("v1beta1",))),
        ([("v1beta1", False, False), V1], [V1], ["v1beta1", "v1"], Change(name="widgets.g", stored=("v1beta1",))),
    ],
)  # fmt: skip
def test_what_changes(live: list[Version], wanted: list[Version], stored: list[str], change: Change) -> None:
    before = {**crd("g", *live), "status": {"storedVersions": stored}}
    assert compare(crd("g", *wanted), before) == change


def test_how_a_change_is_reported() -> None:
    assert Change(name="w.g", added=("v1", "v2"), dropped=("v0",)).summary == "w.g gains v1, v2, loses v0"
    assert Change(name="w.g").summary == ""
