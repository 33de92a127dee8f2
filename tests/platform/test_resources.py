"""The custom resources of every environment, against the operators' CRDs, by a real API server.

Where the operators' charts are not vendored, their CRDs are those of stand-ins, which take any field of a spec.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import yaml

from devtools.kube.client import ApiError
from tests.kits.real_charts import VENDORED, Kinds
from tests.platform.support import CHARTS, ENVIRONMENTS, Declared, Kubectl, Tool, documents, releases, render, run

pytestmark = pytest.mark.cluster
DATA = [release for environment in ENVIRONMENTS for release in releases(environment)]
OPEN = next(release for release in releases("local") if release.name == "keycloak-operator")


def dry_run(kubectl: Kubectl, item: dict[str, Any]) -> tuple[bool, str]:
    """Whether the server takes it, unknown fields being errors; what it said."""
    if "namespace" in item["metadata"]:
        item["metadata"]["namespace"] = "default"  # the release's own is not made here
    kube = kubectl.kube()
    resource = kube.resource(item["kind"], item["apiVersion"])
    if resource is None:
        return False, f"no kind {item['kind']} in {item['apiVersion']}"
    try:
        kube.create(f"{resource.path('default')}?dryRun=All&fieldValidation=Strict", item)
    except ApiError as error:
        return False, error.message
    return True, ""


@pytest.mark.parametrize("release", [release for release in DATA if not release.smoke], ids=str)
def test_valid(release: Declared, kinds_server: Kubectl, tool: Tool) -> None:
    for item in render(tool("helm"), release):
        if item["kind"] == "CustomResourceDefinition":
            continue  # the real one is there already; below they are compared
        ok, printed = dry_run(kinds_server, item)
        assert ok, f"{item['kind']}/{item['metadata']['name']}: {printed}"


def test_more_of_the_values_is_valid(kinds_server: Kubectl, tool: Tool) -> None:
    """What the environments do not use: stores, passwords, Keeper, settings."""
    values = {
        "redis-failover": {"auth": {"secretName": "redis"}, "redis": {"config": ["maxmemory 64mb"]}},
        "kafka-cluster": {"version": "4.1.0", "entityOperator": {"topicOperator": False, "userOperator": False}},
        "clickhouse": {
            "replicas": 2,
            "zookeeper": [{"host": "keeper", "port": 2181}],
            "profiles": {"default/max_memory_usage": 1000000000},
            "settings": {"logger/level": "information"},
        },
        "pgadmin": {"auth": {"source": "store"}},
        "vault-secrets": {
            "store": {"name": "v", "namespace": "team", "auth": {"method": "token", "token": {"development": "t"}}},
            "secrets": {"a": {"path": "a", "labels": {"a": "b"}, "keys": {"a": "b"}, "values": {"c": "d"}}},
        },
        "postgres-clusters": {
            "clusters": {
                "a": {
                    "instances": 3,
                    "storage": {"size": "1Gi", "storageClass": "fast"},
                    "parameters": {"max_connections": "10"},
                    "backup": {"retentionPolicy": "7d"},
                    "roles": {"a": {"secretName": "a", "createdb": True}},
                    "databases": {"a_b": {"owner": "a", "extensions": ["pgcrypto"]}},
                }
            }
        },
        "keycloak": {"strictHostname": False, "image": "x", "bootstrapAdmin": "", "options": {"log-level": "debug"}},
        "coredns-config": {"forwards": [{"zone": "corp.example", "servers": ["10.0.0.53"]}]},
    }
    for chart, provided in values.items():
        result = run([tool("helm"), "template", "x", CHARTS / chart, "-f", "-"], yaml.safe_dump(provided))
        assert result.ok, result.stderr
        for item in documents(result.stdout):
            ok, printed = dry_run(kinds_server, item)
            assert ok, f"{chart}: {item['kind']}: {printed}"


@pytest.mark.skipif(not (VENDORED or os.environ.get("DEVTOOLS_CRDS")), reason="no operator's chart is vendored")
def test_an_unknown_field_is_refused(kinds: Kinds, kinds_server: Kubectl, tool: Tool) -> None:
    """The check above can fail, for every kind whose own CRD is here."""
    observed: set[tuple[str, str]] = set()
    for release in DATA:
        for item in [] if release.smoke else render(tool("helm"), release):
            kind = (item["apiVersion"], item["kind"])
            resource = kinds_server.kube().resource(item["kind"], item["apiVersion"])
            crd = f"{resource.plural}.{item['apiVersion'].partition('/')[0]}" if resource else ""
            if crd in kinds.real and kind not in observed:
                observed.add(kind)
                item["spec"]["replcias"] = 1
                ok, printed = dry_run(kinds_server, item)
                assert not ok
                assert 'unknown field "spec.replcias"' in printed


@pytest.mark.skipif(not os.environ.get("DEVTOOLS_CRDS"), reason="DEVTOOLS_CRDS names no directory of Keycloak's CRDs")
def test_open_crds_are_named_as_the_real_ones(kinds_server: Kubectl, tool: Tool) -> None:
    for item in render(tool("helm"), OPEN):
        if item["kind"] != "CustomResourceDefinition":
            continue
        real = kinds_server.get("crd", item["metadata"]["name"])["spec"]
        spec = item["spec"]
        version = spec["versions"][0]
        real_version = next(each for each in real["versions"] if each["name"] == version["name"])
        assert (spec["scope"], spec["names"]["kind"], spec["group"]) == (
            real["scope"],
            real["names"]["kind"],
            real["group"],
        )
        assert spec["names"].get("shortNames", []) == real["names"].get("shortNames", [])
        assert ("status" in version.get("subresources", {})) == ("status" in real_version.get("subresources", {}))
        assert real_version["storage"]
