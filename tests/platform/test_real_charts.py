"""Facts of the real charts that our values rest on, rendered where they are vendored, for every environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kits.real_charts import PINNED, VENDORED, rendered, vendored
from tests.platform.support import ENVIRONMENTS, ROOT, Tool, load, releases, render

if not VENDORED:
    pytest.skip("no third-party chart is vendored; see docs/real-programs.md", allow_module_level=True)
EVERY = pytest.mark.parametrize("environment", ENVIRONMENTS)
Objects = list[dict[str, Any]]


def objects_of(tool: Tool, environment: str, layer: str, name: str, chart: str, namespace: str) -> Objects:
    """A release's objects with its overlays."""
    places = (ROOT / "environments" / place / layer / f"{name}.yaml" for place in ("_shared", environment))
    files = tuple(file for file in places if file.exists())
    return rendered(tool("helm"), VENDORED[chart], name, *files, namespace=namespace)


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = (item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return found


def pod_of(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(objects, kind, name)["spec"]["template"]["spec"]
    return spec


def environment_of(objects: Objects, name: str) -> dict[str, Any]:
    (container,) = pod_of(objects, "Deployment", name)["containers"]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def declared(environment: str, name: str, tool: Tool) -> Objects:
    """What a release of one of our own charts renders to."""
    return render(tool("helm"), next(item for item in releases(environment) if item.name == name))


@vendored("temporalio/temporal")
@EVERY
def test_temporal_makes_no_databases_but_keeps_its_schemas(environment: str, tool: Tool) -> None:
    items = objects_of(tool, environment, "45-data-plane-ext", "temporal", "temporalio/temporal", "ameide")
    (job,) = (item for item in items if item["kind"] == "Job" and "schema" in item["metadata"]["name"])
    steps = [item["name"] for item in job["spec"]["template"]["spec"]["initContainers"]]
    assert [step for step in steps if step.startswith("create-")] == []
    assert [step for step in steps if step.startswith("manage-schema-")] != []
    databases = {
        item["spec"]["name"] for item in declared(environment, "postgres-clusters", tool) if item["kind"] == "Database"
    }
    assert {"temporal", "temporal_visibility"} <= databases


@vendored("grafana-community/loki")
@EVERY
def test_loki_writes_to_its_volume_only_and_deletes_what_is_old(environment: str, tool: Tool) -> None:
    items = objects_of(tool, environment, "55-observability", "loki", "grafana-community/loki", "observability")
    config = yaml.load(one(items, "ConfigMap", "loki")["data"]["config.yaml"], yaml.CSafeLoader)
    (container, *_) = pod_of(items, "StatefulSet", "loki")["containers"]
    mounts = {item["mountPath"]: item["name"] for item in container["volumeMounts"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    (claim,) = one(items, "StatefulSet", "loki")["spec"]["volumeClaimTemplates"]
    (volume,) = (path for path, name in mounts.items() if name == claim["metadata"]["name"])
    storage = config["common"]["storage"]
    assert list(storage) == ["filesystem"], "the schema's object_store has nowhere to write otherwise"
    assert {item["object_store"] for item in config["schema_config"]["configs"]} == {"filesystem"}
    for path in (config["common"]["path_prefix"], *storage["filesystem"].values()):
        assert Path(path).is_relative_to(volume)
    assert config["compactor"]["retention_enabled"], "limits_config.retention_period is ignored otherwise"
    assert config["compactor"]["delete_request_store"] == "filesystem"
    assert not [item for item in items if item["metadata"]["name"].endswith("-cache")], "9.8 GiB of memcached"


@vendored("langfuse/langfuse", "spotahome/redis-operator", "altinity/altinity-clickhouse-operator")
@EVERY
def test_langfuse_finds_its_stores(environment: str, tool: Tool) -> None:
    """Operators make Services by rules of their own: rfs-NAME for Sentinel, chi-NAME-CLUSTER-SHARD-REPLICA."""
    items = objects_of(tool, environment, "55-observability", "langfuse", "langfuse/langfuse", "observability")
    (redis,) = declared(environment, "redis-failover", tool)
    (clickhouse,) = declared(environment, "clickhouse", tool)
    for name in ("langfuse-web", "langfuse-worker"):
        env = environment_of(items, name)
        assert "REDIS_CONNECTION_STRING" not in env
        assert env["REDIS_SENTINEL_NODES"] == f"rfs-{redis['metadata']['name']}.ameide.svc:26379"
        assert env["REDIS_SENTINEL_MASTER_NAME"] == "mymaster"  # the operator's own configuration of Sentinel
        assert env["REDIS_PASSWORD"]["secretKeyRef"]["name"] == redis["spec"]["auth"]["secretPath"]
        (cluster,) = clickhouse["spec"]["configuration"]["clusters"]
        host = f"chi-{clickhouse['metadata']['name']}-{cluster['name']}-0-0.ameide.svc"
        assert (env["CLICKHOUSE_URL"], env["CLICKHOUSE_CLUSTER_ENABLED"]) == (f"http://{host}:8123", "false")
        secret = env["CLICKHOUSE_PASSWORD"]["secretKeyRef"]
        user, users = env["CLICKHOUSE_USER"], clickhouse["spec"]["configuration"]["users"]
        assert users[f"{user}/k8s_secret_password"] == f"{secret['name']}/{secret['key']}"
        assert users[f"{user}/networks/ip"] == ["::/0"], "the operator lets only its own hosts in otherwise"


@vendored("langfuse/langfuse")
@EVERY
def test_langfuse_has_the_keys_that_its_bootstrap_asks_with(environment: str, tool: Tool) -> None:
    items = objects_of(tool, environment, "55-observability", "langfuse", "langfuse/langfuse", "observability")
    env = environment_of(items, "langfuse-web")
    (job,) = (item for item in declared(environment, "langfuse-bootstrap", tool) if item["kind"] == "Job")
    (secret,) = (item["secretRef"]["name"] for item in job["spec"]["template"]["spec"]["containers"][0]["envFrom"])
    for key in ("PUBLIC", "SECRET"):
        assert env[f"LANGFUSE_INIT_PROJECT_{key}_KEY"]["secretKeyRef"] == {"name": secret, "key": f"LANGFUSE_{key}_KEY"}
    assert {"LANGFUSE_INIT_ORG_ID", "LANGFUSE_INIT_PROJECT_ID"} <= {*env}


@vendored("prometheus-community/prometheus", "open-telemetry/opentelemetry-collector")
@EVERY
def test_prometheus_receives_what_the_collector_sends(environment: str, tool: Tool) -> None:
    """otelcol-k8s 0.158 has no prometheusremotewrite exporter; contrib has."""
    layer, namespace = "55-observability", "observability"
    collector = objects_of(
        tool, environment, layer, "otel-collector", "open-telemetry/opentelemetry-collector", namespace
    )
    (relay,) = (item for item in collector if item["kind"] == "ConfigMap")
    config = yaml.load(relay["data"]["relay"], yaml.CSafeLoader)
    pipelines = config["service"]["pipelines"]
    assert pipelines["metrics"]["exporters"] == ["prometheusremotewrite"]
    (container,) = pod_of(collector, "Deployment", "otel-collector-opentelemetry-collector")["containers"]
    assert container["image"].startswith("otel/opentelemetry-collector-contrib:")
    prometheus = objects_of(tool, environment, layer, "prometheus", "prometheus-community/prometheus", namespace)
    address = re.fullmatch(r"http://([\w-]+)/api/v1/write", config["exporters"]["prometheusremotewrite"]["endpoint"])
    assert address
    assert one(prometheus, "Service", address[1])
    words = [
        word for item in pod_of(prometheus, "Deployment", "prometheus-server")["containers"] for word in item["args"]
    ]
    assert {"--web.enable-remote-write-receiver", "--web.enable-lifecycle"} <= {*words}


@vendored("coredns/coredns")
@EVERY
def test_coredns_answers_on_both_protocols(environment: str, tool: Tool) -> None:
    items = objects_of(tool, environment, "22-control-plane", "coredns", "coredns/coredns", "coredns")
    ports = one(items, "Service", "coredns")["spec"]["ports"]
    assert {(port["port"], port["protocol"]) for port in ports} == {(53, "UDP"), (53, "TCP")}


@vendored("altinity/altinity-clickhouse-operator")
def test_no_hook_applies_crds_that_the_engine_applies(tool: Tool) -> None:
    chart = "altinity/altinity-clickhouse-operator"
    items = objects_of(tool, "local", "20-core-operators", "clickhouse-operator", chart, "clickhouse-operator")
    assert [item["kind"] for item in items if item["kind"] == "Job"] == []


@vendored()
@EVERY
def test_every_release_renders_with_its_overlays(environment: str, tool: Tool) -> None:
    default = load(ROOT / "layers" / "_defaults.yaml")["release"]["namespace"]
    for file in sorted((ROOT / "layers").glob("[0-9]*.yaml")):
        for release in load(file).get("releases", []):
            if release["chart"] in PINNED:
                namespace = release.get("namespace", default)
                assert objects_of(tool, environment, file.stem, release["name"], release["chart"], namespace)
