"""Uninstalling on a real API server with real helm: what goes, what stays, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from devtools.errors import ExitCode
from devtools.events import Notice, RunFinished, StepFinished, StepWaiting
from devtools.model import Action, Facts, Plan, Step
from devtools.planning.uninstall import with_sweeps
from devtools.releases.cleanup import NAMESPACES, stack_crds, stack_namespaces
from devtools.releases.facts import observe
from tests.kits.run import Bench, Ran, config_map, job, plan, step

pytestmark = pytest.mark.cluster
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def crd(bench: Bench, kind: str = "Thing") -> dict[str, Any]:
    group, plural = f"{bench.namespace}.example.com", f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def things(bench: Bench) -> str:
    return f"/apis/{bench.namespace}.example.com/v1/namespaces/{bench.namespace}/things"


def thing(bench: Bench, name: str = "precious") -> dict[str, Any]:
    return {"apiVersion": f"{bench.namespace}.example.com/v1", "kind": "Thing", "metadata": {"name": name}}


def named(bench: Bench, *steps: Step) -> Plan:
    """A plan of a stack that no other test has."""
    made = plan(*steps)
    return replace(made, stack=replace(made.stack, name=bench.namespace))


def down(bench: Bench, *steps: Step, crds: bool = False, force: bool = False) -> Ran:
    kube, stack = bench.kube, bench.namespace
    facts = Facts(
        releases=observe(kube).releases,
        namespaces=stack_namespaces(kube, stack),
        crds=stack_crds(kube, stack),
    )
    return bench.run(with_sweeps(named(bench, *steps), facts, crds=crds, force=force))


def test_crds_and_their_objects_stay_until_removal_is_asked_for(bench: Bench) -> None:
    kinds = bench.release(bench.chart("kinds", crd(bench)))
    operator = bench.release(bench.chart("operator", config_map("settings"), thing(bench, "ours")))
    (operator.chart.path / "crds").mkdir()
    (operator.chart.path / "crds/other.yaml").write_text(yaml.safe_dump(crd(bench, "Other")))
    assert bench.run(named(bench, step(kinds), step(operator, kinds))).code is ExitCode.OK
    bench.kube.create(things(bench), thing(bench, "theirs"))
    going = [step(operator, action=Action.UNINSTALL), step(kinds, operator, action=Action.UNINSTALL)]
    ran = down(bench, *going)
    assert ran.code is ExitCode.OK, ran.events
    name = crd(bench)["metadata"]["name"]
    kube = bench.kube
    live = kube.get(f"{CRDS}/{name}")
    assert live is not None
    assert live["metadata"]["annotations"].get("helm.sh/resource-policy") is None  # the record is told, not the object
    assert [item["name"] for item in kube.metadata(things(bench))] == ["theirs"]
    end = ran.one(RunFinished)
    assert (end.reason, end.hint) == (
        "2 CRDs are kept, with every object of their kinds",
        "invoke down --crds removes them",
    )
    assert bench.id("kinds") not in ran.after.releases
    again = bench.run(named(bench, step(kinds)))  # what is kept is adopted
    assert again.code is ExitCode.OK, again.events
    refused = down(bench, step(kinds, action=Action.UNINSTALL), crds=True)
    assert refused.code is ExitCode.FAILED
    failed = refused.one(StepFinished, release=f"CRDs/{bench.namespace}")
    assert "still exist and would be deleted, too: 1 Thing" in failed.reason
    assert failed.details == (f"{bench.namespace}/Thing/theirs",)
    assert "--force" in failed.hint
    assert kube.get(f"{CRDS}/{name}") is not None
    assert down(bench, crds=True, force=True).code is ExitCode.OK
    assert stack_crds(kube, bench.namespace) == ()
    assert kube.get(f"{CRDS}/{name}") is None


def test_a_namespace_goes_when_nothing_is_left_in_it(bench: Bench) -> None:
    chart = bench.chart("app", config_map("settings"), job("look", "test", "true"))
    here = bench.release(chart)
    there = replace(here, namespace=f"{bench.namespace}-2")
    kube, other = bench.kube, f"{NAMESPACES}/{bench.namespace}-2"
    made = named(bench, step(here), step(there))
    assert bench.run(made).code is ExitCode.OK
    for namespace in (bench.namespace, f"{bench.namespace}-2"):  # as `helm test` would leave it
        body = {**job("look", "test", "true"), "spec": {"template": POD}}
        kube.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", body)
    kube.create(f"{NAMESPACES}/{bench.namespace}/secrets", {"metadata": {"name": "mine"}})
    ran = down(bench, *(step(item, action=Action.UNINSTALL) for item in (here, there)))
    assert ran.code is ExitCode.OK, ran.events
    assert ran.one(Notice).message == f"namespace {bench.namespace} is kept: it contains 1 Secret"
    assert ran.one(StepFinished, release=f"Namespaces/{bench.namespace}").reason == f"{bench.namespace}-2"
    assert kube.get(other) is None
    assert kube.get(f"{NAMESPACES}/{bench.namespace}") is not None
    kube.delete(f"{NAMESPACES}/{bench.namespace}/secrets/mine")
    assert down(bench).code is ExitCode.OK
    assert kube.get(f"{NAMESPACES}/{bench.namespace}") is None


POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "test", "image": "example.invalid/app:1"}]}}


def test_what_does_not_go_is_named_with_what_holds_it(bench: Bench) -> None:
    item = config_map("settings")
    item["metadata"]["finalizers"] = ["example.com/held"]
    held = bench.release(bench.chart("held", item))
    assert bench.run(named(bench, step(held))).code is ExitCode.OK
    ran = bench.run(named(bench, step(replace(held, timeout=2.0), action=Action.UNINSTALL)))
    try:
        assert ran.code is ExitCode.TIMEOUT
        what = "ConfigMap/settings (held by finalizer example.com/held)"
        printed = [event.what for event in ran.all(StepWaiting)]
        assert [line for line in printed if line != "helm uninstall"] == [what]
        assert ran.one(StepFinished).reason == f"timed out waiting for {what}"
    finally:
        path = f"/api/v1/namespaces/{bench.namespace}/configmaps/settings"
        bench.kube.merge(path, {"metadata": {"finalizers": None}})


def test_a_record_that_cannot_be_read_is_left_alone(bench: Bench) -> None:
    app = bench.release(bench.chart("app", config_map("settings")))
    assert bench.run(named(bench, step(app))).code is ExitCode.OK
    path = f"/api/v1/namespaces/{bench.namespace}/secrets/sh.helm.release.v1.app.v1"
    bench.kube.merge(path, {"data": {"release": "bm90IGd6aXA="}})
    ran = bench.run(named(bench, step(app, action=Action.UNINSTALL)))
    assert ran.code is ExitCode.FAILED
    assert "cannot be uninstalled safely: its Helm record cannot be read" in ran.one(StepFinished).reason
    assert ran.runner.commands == []
    bench.kube.delete(path)


def test_what_hooks_left_does_not_hold_the_namespace(bench: Bench) -> None:
    retained = job("kept", "pre-install", "true")
    retained["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep"
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": bench.namespace}}
    role["metadata"]["annotations"] = {"helm.sh/hook": "pre-install"}  # type: ignore[index] # a map
    chart = bench.chart("app", config_map("conf"), job("migrate", "pre-install", "true"), retained, role)
    app = bench.release(chart)
    assert bench.run(named(bench, step(app))).code is ExitCode.OK
    jobs = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"
    assert {item["name"] for item in bench.kube.metadata(jobs)} == {"migrate", "kept"}
    ran = down(bench, step(app, action=Action.UNINSTALL))
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    assert {item["name"] for item in bench.kube.metadata(jobs)} == {"kept"}
    notice = ran.one(Notice, release=str(app.id))
    assert notice.message.endswith(f": clusterrole/{bench.namespace}, job/kept -n {bench.namespace}")
    bench.kube.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{bench.namespace}")


def test_test_jobs_of_every_revision_go_with_their_release(bench: Bench) -> None:
    labelled = job("by-label", "test", "true")
    labelled["metadata"] |= {"labels": {"app.kubernetes.io/instance": "smoke"}, "namespace": bench.namespace}
    smoke = bench.release(bench.chart("smoke", job("old", "test", "true"), job("kept", "test", "true")), smoke=True)
    assert bench.run(named(bench, step(smoke))).code is ExitCode.OK
    bench.chart("smoke", job("kept", "test", "true"))
    assert bench.run(named(bench, step(smoke, action=Action.UPGRADE)), test=False).code is ExitCode.OK
    jobs = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"
    bench.kube.create(jobs, labelled)  # as a test that was killed leaves it: no record names it
    ran = down(bench, step(smoke, action=Action.UNINSTALL))
    assert ran.code is ExitCode.OK
    assert [item["name"] for item in bench.kube.metadata(jobs)] == []
    assert not any("stays" in notice.message for notice in ran.all(Notice))
