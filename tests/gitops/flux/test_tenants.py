"""Tenants: what is read, and the objects for kro."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.app.options import Options
from devtools.commands.values import show
from devtools.config.tenants import load_tenants
from devtools.errors import ConfigError, ExitCode
from tests.gitops.flux.conftest import Build, objects, run
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

ACME = """\
namespaces: [acme, acme-jobs]
quota: {requests.cpu: "4"}
members: [{group: developers, role: edit}, {group: auditors}]
applications: [web]
environments: [dev]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = make_shop(tmp_path / "shop")
    values = root / "tenants/acme/40-apps/web.yaml"
    values.parent.mkdir(parents=True)
    values.write_text("replicas: 2\n")
    (root / "tenants/acme/tenant.yaml").write_text(ACME)
    return root


def test_a_tenant_is_an_instance_with_its_own_values_last(shop: Path, kustomize: Build) -> None:
    assert run(shop).code is ExitCode.OK
    built = kustomize(shop / "gitops/flux/dev/tenants/instances", "--load-restrictor", "LoadRestrictionsNone")
    (tenant,) = [item for item in built if item["kind"] == "Tenant"]
    (values,) = [item for item in built if item["kind"] == "ConfigMap"]
    assert tenant["spec"] == {
        "namespaces": ["acme", "acme-jobs"],
        "quota": {"requests.cpu": "4"},
        "members": [{"group": "developers", "role": "edit"}, {"group": "auditors", "role": "view"}],
        "applications": [
            {
                "name": "web",
                "release": "web",
                "chart": "./charts/platform/app",
                "sourceKind": "GitRepository",
                "source": "shop",
                "values": ["values.yaml", "tenants.acme.40-apps.web.yaml"],
            }
        ],
    }
    assert values["metadata"]["name"] == "acme-web-values"
    assert values["data"]["tenants.acme.40-apps.web.yaml"] == "replicas: 2\n"


def test_tenants_wait_for_their_kind_and_their_applications(shop: Path) -> None:
    run(shop)
    specs = {item["metadata"]["name"]: item["spec"] for item in objects(shop / "gitops/flux/dev", "Kustomization")}
    assert specs["shop-tenants"]["dependsOn"] == [{"name": "shop-tenant-definition"}, {"name": "shop-40-apps"}]
    assert specs["shop-tenant-definition"]["healthChecks"][0]["kind"] == "ResourceGraphDefinition"


def test_a_tenant_belongs_to_its_environments_only(shop: Path) -> None:
    run(shop)
    assert not (shop / "gitops/flux/staging/tenants").exists()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("tenant.yaml", "namespace: [a]\n", "tenants/acme/tenant.yaml:1:1: unknown key 'namespace'"),
        ("tenant.yaml", "namespaces: [a]\napplications: [webb]\n", "tenants/acme/tenant.yaml:2:1: no release is named"),
        ("tenant.yaml", "members: [{role: edit}]\n", "tenants/acme/tenant.yaml:1:11: "),
        ("40-apps/webb.yaml", "{}\n", "tenants/acme/40-apps/webb.yaml"),
    ],
)
def test_mistakes_are_named_with_their_place(shop: Path, file: str, text: str, message: str) -> None:
    (shop / "tenants/acme" / file).write_text(text)
    done = run(shop)
    assert (done.code, message in done.err) == (ExitCode.CONFIG, True), done.err


def test_all_problems_of_all_tenants_are_reported(shop: Path) -> None:
    other = shop / "tenants/globex/tenant.yaml"
    other.parent.mkdir()
    other.write_text("quotas: {}\n")
    (shop / "tenants/acme/tenant.yaml").write_text("roles: []\n")
    with pytest.raises(ConfigError) as caught:
        load_tenants(shop)
    assert len(caught.value.problems) == 2


def test_a_tenant_without_keys_has_a_namespace_of_its_name(shop: Path) -> None:
    (shop / "tenants/acme/tenant.yaml").write_text("{}\n")
    (tenant,) = load_tenants(shop)
    assert (tenant.name, tenant.namespaces) == ("acme", ("acme",))


def test_values_of_a_tenant_lie_over_the_overlays(shop: Path) -> None:
    def values(tenant: str) -> Done:
        verb = lambda app: show(app, "web", Options(output="json"), explain=False, tenant=tenant)  # noqa: E731
        return call(verb, "json", environ={"DEVTOOLS_CACHE": str(shop.parent / "cache")}, cwd=shop)

    assert values("").document["values"] == {"replicas": 1}
    assert values("acme").document["values"] == {"replicas": 2}
    assert "no tenant 'acmee' in tenants/" in values("acmee").err
