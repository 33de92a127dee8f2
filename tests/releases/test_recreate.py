"""Changes that the API server refuses, on a real one: named, and overcome by the flag that is offered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from devtools.errors import ExitCode
from devtools.events import Notice, StepFinished, StepOutput
from devtools.model import Action, Release
from tests.kits.run import Bench, Ran, config_map, deployment, plan, step

pytestmark = pytest.mark.cluster


def migration(version: str) -> dict[str, Any]:
    container = {"name": "app", "image": f"example.invalid/app:{version}"}
    container_env = [{"name": "DB_PASSWORD", "value": f"marker-{version}"}]
    spec = {"restartPolicy": "Never", "containers": [{**container, "env": container_env}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate"},
        "spec": {"template": {"spec": spec}},
    }


def database(service: str, **more: Any) -> dict[str, Any]:
    pod = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "app", "image": "example.invalid/db"}]},
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    spec = {"serviceName": service, "selector": {"matchLabels": {"app": "db"}}, "template": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {**spec, "volumeClaimTemplates": [claim], **more},
    }


def upgrade(bench: Bench, item: Release, **more: Any) -> Ran:
    return bench.run(plan(step(item, action=Action.UPGRADE, digest="e" * 40, revision=1, **more)))


def uid(bench: Bench, path: str) -> str:
    found = bench.kube.get(path)
    assert found, path
    return str(found["metadata"]["uid"])


def edit(bench: Bench, path: str, patch: Mapping[str, Any]) -> None:
    bench.kube.merge(path, patch, "kubectl-edit")


def test_a_job_and_a_stateful_set_are_recreated_on_request(bench: Bench) -> None:
    namespace = bench.namespace
    gone = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    objects = [migration("1"), database("one", persistentVolumeClaimRetentionPolicy=gone), config_map("conf", a="1")]
    app = bench.release(bench.chart("app", *objects))
    assert bench.run(plan(step(app))).code is ExitCode.OK
    job, sts, claim = (
        f"/apis/batch/v1/namespaces/{namespace}/jobs/migrate",
        f"/apis/apps/v1/namespaces/{namespace}/statefulsets/db",
        f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/data-db-0",
    )
    conf = f"/api/v1/namespaces/{namespace}/configmaps/conf"
    before = [uid(bench, path) for path in (job, sts, claim, conf)]

    bench.chart("app", migration("2"), database("two", persistentVolumeClaimRetentionPolicy=gone), config_map("conf"))
    refused = upgrade(bench, app)
    end = refused.one(StepFinished)
    assert refused.code is ExitCode.FAILED
    printed = "\n".join((end.reason, *end.details))
    assert "StatefulSet/db: .spec.serviceName cannot be changed" in printed
    assert 'StatefulSet/db .spec.serviceName: "one" → "two"' in printed
    assert (
        'Job/migrate: .spec.template.spec.containers[name="app"].env[name="DB_PASSWORD"].value, '
        '.spec.template.spec.containers[name="app"].image cannot be changed' in printed
    )
    assert 'image: "example.invalid/app:1" → "example.invalid/app:2"' in printed
    assert end.hint == f"invoke layer 40-data-plane --recreate {app.id}"
    assert "marker" not in printed + str(refused.all(StepOutput))
    assert [uid(bench, path) for path in (job, sts, claim, conf)] == before

    ran = upgrade(bench, app, recreate=True)
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    text = {notice.message for notice in ran.all(Notice)}
    assert text == {
        f"Job/migrate in {namespace} was deleted and will be recreated",
        f"StatefulSet/db in {namespace} was deleted and will be recreated; its volume claims are kept",
    }
    after = [uid(bench, path) for path in (job, sts, claim, conf)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, True]
    assert bench.kube.get(sts)["spec"]["serviceName"] == "two"  # type: ignore[index]
    again = upgrade(bench, app, recreate=True)
    assert (again.code, again.all(Notice)) == (ExitCode.OK, [])  # nothing is refused, so nothing is deleted


def test_nothing_is_deleted_for_a_workload_that_is_invalid(bench: Bench) -> None:
    app = bench.release(bench.chart("app", deployment("web"), migration("1")))
    assert bench.run(plan(step(app))).code is ExitCode.OK
    path = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments/web"
    before = uid(bench, path)
    wrong = deployment("web")
    wrong["spec"]["selector"] = {"matchLabels": {"app": "marker"}}  # not that of its pods
    bench.chart("app", wrong, migration("1"))
    ran = upgrade(bench, app, recreate=True)
    end = ran.one(StepFinished)
    assert ran.code is ExitCode.FAILED
    assert end.reason == (
        'Deployment/web was not deleted, because the new one would be refused, too: Deployment.apps "web" is invalid: '
        "spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`"
    )
    assert uid(bench, path) == before
    assert ran.all(Notice) == []


def test_what_holds_data_is_never_recreated(bench: Bench) -> None:
    def claim(mode: str) -> dict[str, Any]:
        spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}

    app = bench.release(bench.chart("app", claim("ReadWriteOnce")))
    assert bench.run(plan(step(app))).code is ExitCode.OK
    bench.chart("app", claim("ReadWriteMany"))
    ran = upgrade(bench, app, recreate=True)
    end = ran.one(StepFinished)
    assert ran.code is ExitCode.FAILED
    assert end.reason == "PersistentVolumeClaim/data: .spec.accessModes cannot be changed"
    assert end.hint.startswith("PersistentVolumeClaim/data is not recreated: its data would be lost")
    assert ran.all(Notice) == []


def test_a_conflict_names_the_manager_and_is_forced_on_request(bench: Bench) -> None:
    app = bench.release(bench.chart("app", deployment("web"), config_map("conf", a="1", b="1")))
    assert bench.run(plan(step(app))).code is ExitCode.OK
    web = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments/web"
    edit(bench, web, {"spec": {"replicas": 3, "template": {"metadata": {"labels": {"mine": "yes"}}}}})
    conf = f"/api/v1/namespaces/{bench.namespace}/configmaps/conf"
    edit(bench, conf, {"data": {"a": "2", "b": "2"}})
    refused = upgrade(bench, app)
    end = refused.one(StepFinished)
    assert refused.code is ExitCode.FAILED
    assert {end.reason, *end.details} == {
        "Deployment/web: kubectl-edit owns .spec.replicas",
        "ConfigMap/conf: kubectl-edit owns .data.a, .data.b",
    }
    assert end.hint == f"invoke layer 40-data-plane --take-ownership {app.id}"
    ran = upgrade(bench, app, take=True)
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    live = bench.kube.get(web)
    assert live
    assert live["spec"]["replicas"] == 1
    assert live["spec"]["template"]["metadata"]["labels"]["mine"] == "yes"  # what nobody declares stays
    assert upgrade(bench, app).code is ExitCode.OK


def test_an_object_in_the_place_of_ours_is_deleted_on_request(bench: Bench) -> None:
    def service(port: int) -> dict[str, Any]:
        spec = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": port}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}

    app = bench.release(bench.chart("app", service(80)))
    assert bench.run(plan(step(app))).code is ExitCode.OK
    web = f"/api/v1/namespaces/{bench.namespace}/services/web"
    address = (bench.kube.get(web) or {})["spec"]["clusterIP"]
    edit(bench, web, {"spec": {"ports": [{"name": "http", "port": 81}]}})
    refused = upgrade(bench, app)
    end = refused.one(StepFinished)
    strange = '.spec.ports[port=81,protocol="TCP"]'
    printed = f"Service/web: kubectl-edit replaced declared items with {strange}"
    assert (refused.code, end.reason) == (ExitCode.FAILED, printed)
    assert end.hint == f"invoke layer 40-data-plane --take-ownership {app.id}"
    ran = upgrade(bench, app, take=True)
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    assert [notice.message for notice in ran.all(Notice)] == [f"{printed}: removed"]
    for port in (80, 82):  # and Helm alone manages the ports again: nothing of the old ones stays with a new one
        live = bench.kube.get(web)
        assert live
        assert (live["spec"]["clusterIP"], [item["port"] for item in live["spec"]["ports"]]) == (address, [port])
        bench.chart("app", service(82))
        assert upgrade(bench, app).code is ExitCode.OK


def test_a_chart_that_is_invalid_by_itself_is_nobodys_doing(bench: Bench) -> None:
    def service(*ports: int) -> dict[str, Any]:
        spec = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": port} for port in ports]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}

    app = bench.release(bench.chart("app", service(80)))
    assert bench.run(plan(step(app))).code is ExitCode.OK
    bench.chart("app", service(80, 81))
    end = upgrade(bench, app, take=True).one(StepFinished)
    assert 'spec.ports[1].name: Duplicate value: "http"' in end.reason
    assert end.hint == ""


def test_a_foreign_object_is_named_and_adopted_on_request(bench: Bench) -> None:
    root = f"/api/v1/namespaces/{bench.namespace}/configmaps"
    other = bench.release(bench.chart("other", config_map("theirs", a="1")))
    assert bench.run(plan(step(other))).code is ExitCode.OK
    bench.kube.create(root, config_map("stray", a="0"))
    app = bench.release(bench.chart("app", config_map("stray", a="1")))
    first = bench.run(plan(step(app)))
    end = first.one(StepFinished)
    assert (first.code, end.reason) == (ExitCode.FAILED, "ConfigMap/stray already exists, and no release created it")
    assert end.hint == f"invoke layer 40-data-plane --take-ownership {app.id}"
    ran = bench.run(plan(step(app, take=True)))
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    stray = bench.kube.get(f"{root}/stray")
    assert stray
    assert (stray["data"], stray["metadata"]["annotations"]["meta.helm.sh/release-name"]) == ({"a": "1"}, "app")
    bench.chart("app", config_map("stray", a="1"), config_map("theirs", a="2"))
    reason = upgrade(bench, app).one(StepFinished).reason
    assert reason == "ConfigMap/theirs already exists, and belongs to release other"
